import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { openPage, startServer, until } from './harness.js';

const server = await startServer();
const url = `${server.url}quotes/`;

const open = async (t, address = url) => {
  const page = await openPage(t, address);
  await until(async () => Number(await firstPrice(page).textContent()) > 0, 'prices come');
  return page;
};
const firstPrice = (page) => page.locator('#rows .quote:not([hidden]) .price').first();
const number = async (page, id) => Number((await page.locator(`#${id}`).textContent()).replaceAll(',', ''));

/** The prices of all symbols, as a person sees them who scrolls through the table, on a high screen. */
const prices = (page) => page.evaluate(async () => {
  const scroller = document.getElementById('scroller');
  const all = {};
  const drawn = () => new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); });
  scroller.style.height = '5000px';
  for (let top = 0; top < scroller.scrollHeight; top += scroller.clientHeight) {
    scroller.scrollTop = top;
    await drawn();
    for (const row of scroller.querySelectorAll('.quote:not([hidden])')) all[row.dataset.symbol] = row.querySelector('.price').textContent;
  }
  scroller.scrollTop = 0;
  scroller.style.height = '';
  await drawn();
  return all;
});

/** How many pixels of the chart have been drawn on. */
const drawn = (page) => page.evaluate(() => {
  const canvas = document.querySelector('#chart canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 3; i < data.length; i += 4) count += data[i] > 0 ? 1 : 0;
  return count;
});

test('a slow phone misses messages, and ends with the same newest prices as everybody', async (t) => {
  const fast = await open(t);
  const slow = await open(t);
  await slow.getByText('Slow phone', { exact: true }).click();
  await slow.getByText('This page is on a line of 8 KB a second').waitFor();
  const conflated = async (page) => Number(await page.locator('#conflated').getAttribute('data-count'));
  await until(async () => await conflated(slow) > 200, 'messages are conflated for the slow one');
  const before = await conflated(slow);
  await until(async () => await conflated(slow) > before, 'and ever more of them');
  assert.equal(await conflated(fast), 0);
  await until(async () => await number(fast, 'changes') > 4000, '5,000 changes a second');
  await until(async () => await number(slow, 'received') < await number(fast, 'received') / 3, 'the slow one receives less');
  for (const page of [fast, slow]) await page.locator('#rows .price[data-flash]').first().waitFor();

  await fast.getByRole('button', { name: 'Halt trading for 30 s' }).click();
  for (const page of [fast, slow]) await page.getByText('Trading is halted').waitFor();
  const late = await open(t); // nothing changes any more, and it is told all the same
  const wanted = await prices(late);
  assert.equal(Object.keys(wanted).length, 500);
  const rows = await fast.locator('#rows .quote').count();
  assert.ok(rows < 40, `${rows} rows are drawn`);
  for (const page of [fast, slow]) {
    await until(async () => JSON.stringify(await prices(page)) === JSON.stringify(wanted), 'the newest prices are shown');
  }
  await slow.getByText('Slow phone', { exact: true }).click();
  await slow.getByText('This page gets all that the server sends').waitFor();
  await fast.getByRole('button', { name: 'Let trading go on' }).click();
  await fast.getByText('Trading is halted').waitFor({ state: 'hidden' });
});

test('one finds, sorts and watches symbols, and the list is there after a reload', async (t) => {
  const page = await open(t);
  const symbols = () => page.locator('#rows .quote:not([hidden]) .symbol').allTextContents();
  await page.fill('#filter', 'steel');
  await page.getByText('20 of 500 symbols').waitFor();
  assert.ok((await symbols()).every((symbol) => symbol.endsWith('ST')));
  await page.fill('#filter', '<b>');
  await page.getByText('No symbol is called that').waitFor();
  await page.fill('#filter', '');
  await page.selectOption('#sector', 'Wine');
  await page.getByText('20 of 500 symbols').waitFor();
  await page.getByRole('button', { name: 'Price', exact: true }).click();
  const shown = await page.evaluate(() => [...document.querySelectorAll('#rows .quote:not([hidden])')]
    .sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map((row) => Number(row.querySelector('.price').textContent)));
  const apart = shown.filter((price, i) => i > 0 && price > shown[i - 1] * 1.01); // they go on changing while they are read
  assert.deepEqual(apart, [], 'the highest first');

  await page.getByRole('button', { name: 'Watch RAWI' }).click();
  await page.reload();
  const watched = page.locator('#watch [data-symbol="RAWI"] .price');
  await until(async () => Number(await watched.textContent()) > 0, 'the watch list has a price');
  await page.locator('#watch .price[data-flash]').first().waitFor();
  await page.evaluate(() => localStorage.setItem('duplex.quotes.watch', '["RAWI", "<b>", 7, null]'));
  await page.reload();
  await watched.waitFor();
  assert.equal(await page.locator('#watch li').count(), 1);
});

test('the chart of a symbol has a past and goes on', async (t) => {
  const page = await open(t);
  await page.locator('#rows [data-symbol="ALDA"] .symbol').press('Enter');
  await page.locator('#detail-symbol').getByText('ALDA').waitFor();
  await until(async () => await page.locator('#chart canvas').count() && await drawn(page) > 5000, 'the chart is drawn');
  const picture = () => page.evaluate(() => document.querySelector('#chart canvas').toDataURL());
  const before = await picture();
  await until(async () => await picture() !== before, 'the chart goes on');
  await page.getByRole('button', { name: '1 h', exact: true }).click();
  await page.click('#site-language');
  await page.getByRole('heading', { name: '自选列表' }).waitFor();
  await page.getByRole('button', { name: '停牌 30 秒' }).waitFor();
});

test('prices go on where they were when the server is started again', async (t) => {
  const data = mkdtempSync(path.join(tmpdir(), 'duplex-quotes-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const first = await startServer('127.0.0.1:0', ['--data', data, '--drain-spread', '1ms']);
  const page = await open(t, `${first.url}quotes/`);
  const before = await prices(page);
  await first.kill('SIGTERM');
  await page.locator('#state[data-state="waiting"]').waitFor();
  await startServer(new URL(first.url).host, ['--data', data, '--drain-spread', '1ms']);
  await until(async () => {
    await page.evaluate(() => document.getElementById('banner').hidden || document.getElementById('banner-action').click());
    return page.locator('#state[data-state="open"]').isVisible();
  }, 'the page is connected again');
  await until(async () => (await prices(page)).ALAI !== before.ALAI, 'prices come again');
  const after = await prices(page);
  for (const [symbol, price] of Object.entries(before)) {
    assert.ok(Math.abs(after[symbol] / price - 1) < 0.05, `${symbol} went from ${price} to ${after[symbol]}`);
  }
});

test('only operators halt trading', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'duplex-quotes-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'duplex.yaml');
  writeFileSync(file, 'api: {keys: [a-key-for-the-tests-of-quotes]}\n');
  const guarded = await startServer('127.0.0.1:0', ['--config', file]);
  const page = await open(t, `${guarded.url}quotes/`);
  await page.click('#halt');
  await page.getByLabel('Key').fill('not a key');
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByText('That is not a key of the API').waitFor();
  assert.ok(await page.locator('#halted').isHidden());
  await page.getByLabel('Key').fill('a-key-for-the-tests-of-quotes');
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByText('Trading is halted').waitFor();
});
