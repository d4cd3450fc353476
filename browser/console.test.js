import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { after } from 'node:test';
import { openPage, startServer, until } from './harness.js';

const key = 'a-key-for-the-tests-of-the-console';
const folder = mkdtempSync(path.join(tmpdir(), 'duplex-console-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const file = path.join(folder, 'duplex.yaml');
writeFileSync(file, `api: {keys: [${key}]}\n`);
const server = await startServer('127.0.0.1:0', ['--config', file]);

/** Opens the console and shows a key. */
const open = async (t, given = key, url = server.url) => {
  const page = await openPage(t, `${url}console/`);
  await show(page, given);
  return page;
};
const show = async (page, given) => {
  await page.getByLabel('Key', { exact: true }).fill(given);
  await page.getByRole('button', { name: 'Go on' }).click();
};
const figure = async (page, name) => Number((await page.locator(`#figure-${name}`).textContent()).replaceAll(',', ''));

/** A connection of its own in a window, that sends commands and keeps all answers in window.frames. */
const socket = (page, commands) => page.evaluate(async (all) => {
  window.answers = [];
  const ws = new WebSocket(new URL('/ws', location.href).href.replace('http', 'ws'), 'duplex.v1');
  await new Promise((resolve) => { ws.onopen = resolve; });
  ws.onmessage = ({ data }) => window.answers.push(JSON.parse(data));
  ws.onclose = ({ code, reason }) => window.answers.push({ type: 'closed', code, reason });
  [{ type: 'connect' }, ...all].forEach((command, i) => ws.send(JSON.stringify({ id: i + 1, ...command })));
}, commands);
const answers = (page) => page.evaluate(() => window.answers);

test('without the key nothing is told, and a wrong one is refused', async (t) => {
  const page = await open(t, 'not a key');
  await page.getByText('That is not a key of the API').waitFor();
  assert.ok(await page.locator('#console').isHidden());
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByText('This page is for operators').waitFor();

  const topics = ['demo.console.figures', 'demo.console.>', 'demo.console.*', 'demo.>', '>', '*.*.figures'];
  const methods = ['past', 'sessions', 'topics', 'errors', 'disconnect', 'unsubscribe', 'publish'];
  const commands = [
    ...topics.map((topic) => ({ type: 'subscribe', topic })),
    ...methods.map((method) => ({ type: 'request', method: `demo.console.${method}`, data: {} })),
    { type: 'history', topic: 'demo.console.figures' },
  ];
  const operator = await open(t); // so that there would be something to hear
  await until(async () => await figure(operator, 'sessions') > 0, 'the operator sees figures');
  await socket(page, commands);
  await until(async () => (await answers(page)).length > commands.length, 'everything is answered');
  const told = await answers(page);
  assert.deepEqual(told.filter(({ id, type }) => id > 1 && type !== 'error'), []);
  const before = await page.evaluate(() => window.answers.length);
  const now = await figure(operator, 'published');
  await until(async () => await figure(operator, 'published') !== now || await operator.locator('#rates canvas').count() > 0, 'time passes');
  assert.equal(await page.evaluate(() => window.answers.length), before, 'nothing leaks');

  await page.getByRole('button', { name: 'Show the key' }).click();
  await show(page, key);
  await until(async () => await figure(page, 'connections') > 0, 'with the right key everything is there');
});

test('visitors appear, hear what the console publishes, and are disconnected with a reason', async (t) => {
  const page = await open(t);
  const visitor = await openPage(t, `${server.url}scores/`);
  await visitor.locator('#state[data-state="open"]').waitFor();
  await socket(visitor, [{ type: 'subscribe', topic: 'news.today' }]);
  await until(async () => (await answers(visitor)).length === 2, 'the visitor is subscribed');
  const { session } = (await answers(visitor))[0];

  await page.getByRole('tab', { name: 'Topics' }).click();
  await page.fill('#topic-pattern', 'news.*');
  await page.getByRole('button', { name: 'Publish to news.today' }).click();
  await page.fill('#publish-data', '{"text": <b>}');
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await page.getByRole('alert').getByText('That is not JSON').waitFor();
  await page.fill('#publish-data', '{"text": "<b>hello</b>"}');
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await page.getByText('Published to news.today').waitFor();
  await until(async () => (await answers(visitor)).some(({ data }) => data?.text === '<b>hello</b>'), 'it arrives');
  await page.fill('#publish-topic', 'two words');
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await page.getByRole('alert').getByText('That cannot be a topic').waitFor();

  await page.getByRole('tab', { name: 'Sessions' }).click();
  await page.fill('#session-id', session);
  const row = page.locator(`#sessions [data-session="${session}"]`);
  await row.locator('summary').click();
  await row.getByRole('button', { name: 'End the subscription to news.today' }).click();
  await page.getByRole('button', { name: 'End it' }).click();
  await page.getByText('1 subscription was ended').waitFor();
  await until(async () => (await answers(visitor)).some(({ type, topic }) => type === 'unsubscribed' && topic === 'news.today'), 'the visitor is told');

  const disconnect = page.getByRole('button', { name: `Disconnect ${session}` });
  await disconnect.click();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await row.waitFor();
  await disconnect.click();
  await page.fill('#confirm-message', 'closing time');
  await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click();
  await page.getByText('1 session was disconnected').waitFor();
  await until(async () => (await answers(visitor)).some(({ code }) => code === 4403), 'its socket is closed');
  assert.ok((await answers(visitor)).some(({ type, message }) => type === 'disconnect' && message === 'closing time'));
  await row.waitFor({ state: 'detached' });

  // The page of the visitor itself, by its user, says in words what has happened.
  await page.fill('#session-id', '');
  await page.locator('#sessions tbody tr').nth(1).waitFor();
  await page.locator('#sessions tr:not(:has(.accent)) .button.danger').first().click();
  await page.fill('#confirm-message', 'please leave');
  await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click();
  await visitor.locator('#banner-title').getByText('please leave').waitFor();
});

test('rates are drawn, a slow one is found, and rules and nodes are listed', async (t) => {
  const page = await open(t);
  const quotes = await openPage(t, `${server.url}quotes/`);
  await quotes.getByText('Slow phone', { exact: true }).click();
  await page.getByRole('tab', { name: 'Slow' }).click();
  await page.locator('#slow tbody tr').first().waitFor();
  await until(async () => await figure(page, 'superseded') > 50 && await figure(page, 'published') > 100, 'rates are told');
  const drawn = () => page.evaluate(() => {
    const canvas = document.querySelector('#rates canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return data.reduce((count, value, i) => count + (i % 4 === 3 && value > 0 ? 1 : 0), 0);
  });
  await until(async () => await drawn() > 3000, 'the chart is drawn');
  await page.getByRole('tab', { name: 'Slow' }).press('ArrowLeft');
  await page.locator('#rules [data-rule="demo.quotes.board"]').getByText('/s)').first().waitFor();
  await page.getByRole('tab', { name: 'Nodes' }).click();
  await page.locator('#nodes').getByText('Answers').waitFor();
});

test('the console is there again after a restart of the server, in Chinese too', async (t) => {
  const first = await startServer('127.0.0.1:0', ['--config', file]);
  const page = await open(t, key, first.url);
  await until(async () => await figure(page, 'sessions') === 1, 'figures come');
  await first.kill();
  await page.locator('#state[data-state="waiting"]').waitFor();
  await startServer(new URL(first.url).host, ['--config', file]);
  await until(async () => {
    await page.evaluate(() => document.getElementById('banner').hidden || document.getElementById('banner-action').click());
    return page.locator('#state[data-state="open"]').isVisible();
  }, 'it is connected again');
  const visitor = await openPage(t, `${first.url}scores/`);
  await visitor.locator('#state[data-state="open"]').waitFor();
  await until(async () => await figure(page, 'sessions') === 2, 'figures of the new server come');
  await page.click('#site-language');
  await page.getByRole('tab', { name: '会话' }).waitFor();
  await page.getByRole('tab', { name: '日志' }).click();
  await page.locator('#panel-errors').getByText('没有警告或错误').waitFor();
});
