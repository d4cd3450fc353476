import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { openPage, startServer, until } from './harness.js';

const server = await startServer();

/** Somebody with a name, at the inbox or at the desk. */
async function come(t, name, side = '', { url } = server, options = {}) {
  const page = await openPage(t, 'about:blank', options);
  await page.addInitScript((chosen) => location.protocol === 'http:' && localStorage.setItem('duplex.name', chosen), name);
  await page.goto(`${url}notify/${side}`);
  await page.locator('#state[data-state="open"]').waitFor();
  return page;
}

/** Writes a notification and sends it; with seconds, then. */
async function push(page, to, title, { text = '', seconds } = {}) {
  const value = await page.locator('#order-to option').filter({ hasText: to }).first().getAttribute('value');
  await page.selectOption('#order-to', value);
  await page.fill('#order-title', title);
  await page.fill('#order-text', text);
  await page.check(`[name="when"][value="${seconds ? 'later' : 'now'}"]`);
  if (seconds) {
    await page.fill('#order-at', await page.evaluate((ahead) => {
      const at = new Date(Date.now() + 1000 * ahead);
      return new Date(at.getTime() - 60_000 * at.getTimezoneOffset()).toISOString().slice(0, 19);
    }, seconds));
  }
  await page.click('#order-send');
}

const known = (desk, n) => desk.locator('#people').getByText(n === 1 ? 'One person' : `${n} people`).waitFor();
const titles = (page) => page.locator('.notice strong').allTextContents();
const got = (page, title) => page.locator('.notice').filter({ hasText: title }).waitFor();
const marks = (desk, title) => desk.locator('#sent .item').filter({ hasText: title }).locator('.marks .pill').allTextContents();
const comeBack = (...pages) => Promise.all(pages.map((page) => page.locator('#banner-action').click({ timeout: 1000 })
  .catch(() => {}))); // by itself, perhaps

test('to all, a group and one person, with receipts as they come, to a page that is closed as well', async (t) => {
  const olga = await come(t, 'Olga', '?desk');
  const [ann, bob] = [await come(t, 'Ann'), await come(t, 'Bob')];
  await ann.click('[data-group="kitchen"]');
  await known(olga, 2);
  await olga.locator('#order-to option').filter({ hasText: 'Kitchen (1)' }).waitFor({ state: 'attached' });
  await push(olga, 'Everybody', 'For <b>all</b>', { text: 'line one\n<i>line two</i>' });
  await Promise.all([ann, bob].map((page) => got(page, 'For <b>all</b>')));
  await until(async () => (await marks(olga, 'For')).join() === '2 of 2 delivered,0 read', 'both have got it');
  await bob.locator('.notice .summary').click();
  await bob.locator('.notice .body').getByText('<i>line two</i>').waitFor();
  await until(async () => (await marks(olga, 'For')).join() === '2 of 2 delivered,1 read', 'one has read it');
  await olga.locator('#sent .summary').click();
  await until(async () => {
    const rows = await olga.locator('#sent tbody tr').allInnerTexts();
    const row = (name) => rows.find((one) => one.startsWith(name))?.trim() ?? '';
    return rows.length === 2 && row('Ann').endsWith('–') && /\d (AM|PM)$/.test(row('Bob'));
  }, 'who has read it');

  const closed = ann.url();
  await ann.goto('about:blank');
  await push(olga, 'Kitchen', 'For the kitchen');
  await push(olga, 'Ann', 'For Ann');
  await push(olga, 'Bob', 'For Bob');
  await got(bob, 'For Bob');
  assert.deepEqual(await marks(olga, 'For Ann'), ['0 of 1 delivered', '0 read']);
  await ann.goto(closed);
  await ann.locator('#missed').getByText('2 came while this page was away.').waitFor();
  await ann.locator('#unread').getByText('3 unread').waitFor();
  assert.equal(await ann.title(), '(3) Inbox · Duplex');
  assert.deepEqual(await titles(ann), ['For Ann', 'For the kitchen', 'For <b>all</b>']);
  assert.deepEqual(await titles(bob), ['For Bob', 'For <b>all</b>']);
  await until(async () => (await marks(olga, 'For Ann')).join() === '1 of 1 delivered,0 read', 'Ann has got it');
  await ann.click('#all-read');
  await until(async () => (await marks(olga, 'For the kitchen')).join() === '1 of 1 delivered,1 read', 'Ann has read all');
  // What the operator's page has followed is what the server knows.
  const sent = () => olga.locator('#sent .summary').allInnerTexts();
  const followed = await sent();
  await Promise.all([ann, olga].map((page) => page.reload()));
  await until(async () => JSON.stringify(await sent()) === JSON.stringify(followed), `it is ${followed} after a reload, too`);
  await got(ann, 'For Ann');
  assert.equal(await ann.locator('.notice.unread, #missed:visible').count(), 0, 'what was read stays so');
});

test('what is planned is sent once, although the server is killed around that time', async (t) => {
  const data = mkdtempSync(path.join(tmpdir(), 'duplex-notify-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const before = await startServer('127.0.0.1:0', ['--data', data]);
  const [olga, ann] = [await come(t, 'Olga', '?desk', before), await come(t, 'Ann', '', before)];
  await known(olga, 1);
  await push(olga, 'Everybody', 'Sent before');
  await got(ann, 'Sent before');
  await push(olga, 'Everybody', 'Cancelled', { seconds: 3600 });
  await olga.locator('#planned').getByText(/in (60|59) minutes/).waitFor();
  await olga.locator('#planned button').getByText('Cancel').click();
  await olga.locator('#sent .item').getByText('Cancelled', { exact: true }).first().waitFor();
  await push(olga, 'Everybody', 'Due later', { seconds: 3600 });
  await olga.locator('#planned').getByText('Due later').waitFor();
  await push(olga, 'Everybody', 'Due meanwhile', { seconds: 3 });
  const due = Date.now() + 3000;
  await olga.locator('#planned').getByText('Due meanwhile').waitFor();
  await before.kill();
  await until(() => Date.now() > due, 'its time comes while there is no server');
  await startServer(new URL(before.url).host, ['--data', data]);
  await comeBack(olga, ann);
  await got(ann, 'Due meanwhile');
  await olga.locator('#sent').getByText('Due meanwhile').waitFor();
  await ann.reload();
  await got(ann, 'Due meanwhile');
  assert.deepEqual(await titles(ann), ['Due meanwhile', 'Sent before']);
  assert.deepEqual(await olga.locator('#planned .item strong').allTextContents(), ['Due later']);
});

test('the browser shows them when nobody looks, if it was asked and allowed', async (t) => {
  const olga = await come(t, 'Olga', '?desk');
  const eva = await come(t, 'Eva', '', server, { permissions: ['notifications'] });
  await eva.locator('#alerts-text').getByText('They are shown outside of the page').waitFor();
  await eva.evaluate(() => {
    window.shown = [];
    window.Notification = class { // a screen is not there to show them
      static permission = 'granted';
      constructor(title, { body, tag }) { window.shown.push({ title, body, tag, click: () => this.onclick() }); }
      close() {}
    };
    Object.defineProperty(document, 'hidden', { value: true, configurable: true });
  });
  await olga.locator('#order-to option').filter({ hasText: 'Eva' }).waitFor({ state: 'attached' });
  await push(olga, 'Eva', 'Look here', { text: 'at this' });
  await got(eva, 'Look here');
  const shown = await eva.evaluate(() => window.shown.map(({ title, body }) => ({ title, body })));
  assert.deepEqual(shown, [{ title: 'Look here', body: 'at this' }]);
  await eva.evaluate(() => window.shown[0].click());
  await eva.locator('.notice .body').getByText('at this').waitFor();
  await until(async () => (await marks(olga, 'Look here')).join() === '1 of 1 delivered,1 read', 'that counts as reading');

  const dan = await openPage(t, 'about:blank');
  await dan.addInitScript(() => Object.defineProperty(Notification, 'permission', { value: 'default', writable: true }));
  await dan.addInitScript(() => { Notification.requestPermission = async () => (Notification.permission = 'denied'); });
  await dan.goto(`${server.url}notify/`);
  await dan.click('#alerts-ask');
  await dan.locator('#alerts-text').getByText('You have not allowed this page to show notifications').waitFor();
});

test('what cannot be sent is refused in words, and a server that has forgotten everything says so', async (t) => {
  const own = await startServer();
  const [olga, ann] = [await come(t, 'Olga', '?desk', own), await come(t, 'Ann', '', own)];
  await known(olga, 1);
  await push(olga, 'Everybody', ' ');
  await olga.locator('#order-error').getByText('A notification needs a title').waitFor();
  await push(olga, 'Everybody', 'Too late', { seconds: -7200 });
  await olga.locator('#order-error').getByText('Choose a time that is not over').waitFor();
  await push(olga, 'Everybody', 'Too early', { seconds: 31 * 86_400 });
  await olga.locator('#order-error').getByText('at most 30 days ahead').waitFor();
  await olga.evaluate(() => { document.getElementById('order-title').maxLength = 500; });
  await push(olga, 'Everybody', 'x'.repeat(81));
  await olga.locator('#order-error').getByText('at most 80 characters').waitFor();
  await push(olga, 'Everybody', 'Fine');
  await got(ann, 'Fine');
  assert.deepEqual(await titles(ann), ['Fine']);
  await own.kill();
  await startServer(new URL(own.url).host);
  await comeBack(olga, ann);
  await ann.locator('#lost').getByText('The server has forgotten what was sent before').waitFor();
  await known(olga, 1);
  await push(olga, 'Ann', 'Anew');
  await got(ann, 'Anew');
  assert.deepEqual(await titles(ann), ['Anew']);
});
