// What happens in a room besides messages: replies, typing, read marks, unread counts, the past, search, code.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { openPage, startServer, until } from './harness.js';
import { png } from './picture.js';
import { enter, goTo, inRoom, join, say, sees, texts } from './talk.js';

const { url } = await startServer();

const message = (page, text) => page.locator('#log .message', { has: page.locator('.bubble, .picture').getByText(text, { exact: true }) });
const readers = (page, text) => message(page, text).locator('.readers');

async function reply(page, to, text) {
  await message(page, to).hover();
  await message(page, to).getByRole('button', { name: /^Reply to/ }).click();
  await say(page, text);
  await sees(page, text);
}

/** Publishes texts to a room, more than one visitor may say at once. */
const seed = (page, room, all) => page.evaluate(async ([topic, wanted]) => {
  let left = 0;
  let socket;
  for (const text of wanted) {
    if (left-- === 0) {
      left = 19;
      socket = new WebSocket(new URL('/ws', location.href.replace('http', 'ws')));
      await new Promise((resolve) => { socket.onopen = resolve; });
      socket.send(JSON.stringify({ type: 'connect' }));
    }
    const answered = new Promise((resolve) => {
      socket.onmessage = ({ data }) => JSON.parse(data).id === 2 && resolve(JSON.parse(data));
    });
    socket.send(JSON.stringify({ type: 'publish', id: 2, topic, data: { text } }));
    const { type, message: why } = await answered;
    if (type !== 'reply') throw new Error(why);
  }
}, [`chat.${room}`, all]);

/** Scrolls up until the page says that there is nothing before. */
const scrollToBeginning = (page) => until(() => page.evaluate(() => {
  const scroll = document.getElementById('scroll');
  scroll.scrollTop = 0;
  return !document.getElementById('beginning').hidden;
}), 'the beginning is reached');

const isInView = (page, text) => page.evaluate((wanted) => {
  const bubble = [...document.querySelectorAll('#log .bubble')].find((e) => e.textContent === wanted);
  const [inner, outer] = [bubble?.getBoundingClientRect(), document.getElementById('scroll').getBoundingClientRect()];
  return inner !== undefined && inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
}, text);

test('a reply quotes what it replies to, and leads there', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'reply' });
  const bob = await enter(t, url, 'Bob', { room: 'reply' });
  await say(ann, 'Tea or <b>coffee</b>?');
  await sees(bob, 'Tea or <b>coffee</b>?');
  await reply(bob, 'Tea or <b>coffee</b>?', 'Tea');
  for (const page of [ann, bob]) {
    await sees(page, 'Tea');
    assert.equal(await message(page, 'Tea').locator('.quote').innerText(), 'Ann\nTea or <b>coffee</b>?');
  }
  assert.equal(await bob.locator('#replying').isVisible(), false);
  await bob.setInputFiles('#file', { name: 'cup.png', mimeType: 'image/png', buffer: png(10, 200, 1200) });
  await bob.click('#send');
  await ann.locator('#log .picture img').waitFor();
  await seed(ann, 'reply', Array.from({ length: 15 }, (_, i) => `later ${i}`));
  await sees(ann, 'later 14');

  // By keyboard: up from the empty field to the picture, past the fifteen.
  await ann.focus('#text');
  for (let i = 0; i < 16; i++) await ann.keyboard.press('ArrowUp');
  assert.match(await ann.locator('#replying').innerText(), /^Bob\s+🖼\s+cup\.png/);
  await ann.keyboard.press('ArrowUp');
  await ann.keyboard.press('ArrowDown');
  await ann.keyboard.type('Nice cup');
  await ann.keyboard.press('Enter');
  await sees(bob, 'Nice cup');
  assert.equal(await isInView(bob, 'Tea'), false);
  await message(bob, 'Nice cup').getByRole('button', { name: 'Go to the message from Bob' }).click();
  await bob.locator('#log .message.found .picture').waitFor();
  await message(bob, 'Tea').getByRole('button', { name: 'Go to the message from Ann' }).click();
  await until(() => isInView(bob, 'Tea or <b>coffee</b>?'), 'the original is in view');
  assert.equal(await bob.locator('#log b').count(), 0);
});

test('what one replies to may be forgotten: the reply is not lost', async (t) => {
  const server = await startServer();
  const ann = await enter(t, server.url, 'Ann');
  await say(ann, 'before');
  await sees(ann, 'before');
  await message(ann, 'before').hover();
  await message(ann, 'before').locator('.reply').click();
  await server.kill();
  await ann.locator('#chat[data-state="waiting"]').waitFor();
  await say(ann, 'still here');
  await startServer(new URL(server.url).host);
  await ann.locator('#pending .status').getByText('no longer remembers').waitFor();
  await ann.getByRole('button', { name: 'Send it without the quote' }).click();
  await sees(ann, 'still here');
  assert.equal(await message(ann, 'still here').locator('.quote').count(), 0);
});

test('one sees who is typing, until they have said it, thought better of it or gone away', async (t) => {
  const pages = [];
  for (const name of ['Ann', 'Bob', '小伟']) {
    const page = await openPage(t, `${url}chat/`);
    await page.clock.install();
    await page.reload();
    await join(page, name, 'typing');
    pages.push(page);
  }
  for (const page of pages) await page.clock.pauseAt(Date.now() + 2000); // nothing comes or goes just because a machine is slow
  const [ann, bob, cid] = pages;
  const shown = (text) => until(async () => (await ann.locator('#typing').textContent()) === text, `“${text}” is shown`);
  await bob.fill('#text', 'Hel');
  await shown('Bob is typing…');
  await cid.fill('#text', '你');
  await shown('Bob and 小伟 are typing…');
  await bob.fill('#text', '');
  await shown('小伟 is typing…');
  await cid.press('#text', 'Enter');
  await sees(ann, '你');
  await shown('');
  await bob.fill('#text', 'Hello');
  await shown('Bob is typing…');
  await ann.clock.fastForward(6500);
  await shown('');
  assert.equal(await ann.locator('#log .message').count(), 1, 'nothing of it is kept');
});

test('one sees up to where others have read', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'read' });
  const bob = await enter(t, url, 'Bob', { room: 'read' });
  const hide = (hidden) => bob.evaluate((value) => {
    Object.defineProperty(document, 'hidden', { value, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
  await say(ann, 'one');
  await readers(ann, 'one').waitFor();
  assert.equal(await readers(ann, 'one').getAttribute('aria-label'), 'Read up to here by Bob');
  await hide(true);
  await say(ann, 'two');
  await say(ann, 'three');
  await sees(bob, 'three');
  assert.equal(await readers(ann, 'one').count(), 1, 'who does not look has not read');
  await hide(false);
  await readers(ann, 'three').waitFor();
  assert.equal(await ann.locator('#log .readers').count(), 1, 'a mark moves');
  await bob.locator('#log .unread + .message').getByText('two').waitFor(); // what came while nobody looked is marked
  const cid = await enter(t, url, 'Cid', { room: 'read' });
  await cid.locator('.readers[aria-label="Read up to here by Ann, Bob"]').waitFor(); // Ann, as she wrote it
  await readers(ann, 'three').and(ann.locator('[aria-label="Read up to here by Bob, Cid"]')).waitFor();
});

test('what is said in other rooms is counted, and marked when one comes back', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'home' });
  const bob = await enter(t, url, 'Bob', { room: 'home' });
  const badge = bob.locator('#rooms a[data-room="home"] .badge');
  await say(ann, 'hello');
  await readers(ann, 'hello').waitFor();
  await goTo(bob, 'away');
  await say(ann, 'one');
  await badge.getByText('1', { exact: true }).waitFor();
  await say(ann, 'two');
  await badge.getByText('2', { exact: true }).waitFor();
  await bob.reload();
  await inRoom(bob);
  await badge.getByText('2', { exact: true }).waitFor();
  await bob.click('#rooms a[data-room="home"]');
  await bob.locator('#log .unread + .message').getByText('one').waitFor();
  assert.equal(await bob.locator('#log .unread').innerText(), 'New since you were here');
  assert.equal(await bob.locator('#rooms .badge').count(), 0);
  await say(bob, 'I have read it');
  await bob.locator('#log .unread').waitFor({ state: 'detached' });
  await goTo(bob, 'away');
  await say(ann, 'three');
  await badge.getByText('1', { exact: true }).waitFor(); // one's own is not counted
  await goTo(bob, 'home');
  await goTo(ann, 'away'); // where nobody had said anything yet
  await say(ann, 'four');
  await bob.locator('#rooms a[data-room="away"] .badge').getByText('1', { exact: true }).waitFor();
});

test('the past comes page by page, in order and once, also when the server was killed; what is found in it is led to', async (t) => {
  const data = mkdtempSync(path.join(tmpdir(), 'duplex-chat-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const server = await startServer('127.0.0.1:0', ['--data', data]);
  const all = Array.from({ length: 130 }, (_, i) => `message ${i}`);
  const ann = await enter(t, server.url, 'Ann', { room: 'long' });
  await seed(ann, 'long', all);
  await sees(ann, 'message 129');
  const bob = await enter(t, server.url, 'Bob', { room: 'long' });
  await sees(bob, 'message 129');
  assert.deepEqual(await texts(bob), all.slice(-50), 'the first screen');
  assert.equal(await bob.locator('#beginning').isVisible(), false);
  await readers(bob, 'message 129').waitFor();

  await server.kill();
  for (const page of [ann, bob]) await page.locator('#chat[data-state="waiting"]').waitFor();
  await startServer(new URL(server.url).host, ['--data', data]);
  for (const page of [ann, bob]) await inRoom(page, { timeout: 40_000 });

  // What one looks at stays where it is while what is before it comes.
  const moved = await bob.evaluate(async () => {
    const scroll = document.getElementById('scroll');
    scroll.scrollTop = 200;
    const seen = [...document.querySelectorAll('#log .message')].find((e) => e.getBoundingClientRect().top > scroll.getBoundingClientRect().top);
    const before = seen.getBoundingClientRect().top;
    const count = document.querySelectorAll('#log .message').length;
    while (document.querySelectorAll('#log .message').length === count) await new Promise(requestAnimationFrame);
    return seen.getBoundingClientRect().top - before;
  });
  assert.ok(Math.abs(moved) <= 2, `it moved by ${moved} pixels`);
  await scrollToBeginning(bob);
  assert.deepEqual(await texts(bob), all);
  await say(ann, 'after the restart');
  await bob.locator('#newer').getByText('1 new message').waitFor();
  await bob.click('#newer');
  await until(() => isInView(bob, 'after the restart'), 'the end is in view');
  assert.deepEqual(await texts(bob), [...all, 'after the restart']);

  const cid = await enter(t, server.url, 'Cid', { room: 'long' });
  await sees(cid, 'after the restart');
  await readers(cid, 'after the restart').waitFor();
  await cid.click('#open-search');
  await cid.keyboard.type('MESSAGE 17');
  await cid.locator('.result mark').getByText('message 17', { exact: true }).waitFor();
  assert.equal(await cid.locator('#search-status').textContent(), '1 message');
  await cid.locator('.result').click();
  await until(() => isInView(cid, 'message 17'), 'what was found is in view');
  await cid.locator('#log .message.found').getByText('message 17', { exact: true }).waitFor();
  const seen = await texts(cid);
  assert.deepEqual(seen, [...all, 'after the restart'].slice(-seen.length));
  await cid.fill('#search-text', '<img src=x onerror=alert(1)>');
  await cid.locator('#search-status').getByText('Nothing that this room remembers has “<img src=x onerror=alert(1)>” in it.').waitFor();
  await cid.keyboard.press('Escape');
  assert.equal(await cid.locator('#search').isVisible(), false);
});

test('what stands between backticks is code, and never more than text', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'code' });
  const bob = await enter(t, url, 'Bob', { room: 'code' });
  await say(ann, 'run `rm <b>x</b>` and\n```html\n<img src=x onerror="window.hacked=1">\n  `https://example.com`\n```\nor ```1 < 2``` see https://example.com/`a`');
  await bob.locator('#log pre').first().waitFor();
  const shown = await bob.evaluate(() => {
    const bubble = document.querySelector('#log .bubble');
    return {
      inline: [...bubble.querySelectorAll(':scope > code')].map((e) => e.textContent),
      blocks: [...bubble.querySelectorAll(':scope > pre')].map((e) => [e.dataset.language, e.textContent]),
      links: [...bubble.querySelectorAll('a')].map((e) => e.textContent),
      others: bubble.querySelectorAll('img, b, script').length,
      hacked: window.hacked,
    };
  });
  assert.deepEqual(shown, {
    inline: ['rm <b>x</b>', 'a'],
    blocks: [['html', '<img src=x onerror="window.hacked=1">\n  `https://example.com`'], [undefined, '1 < 2']],
    links: ['https://example.com/'], others: 0, hacked: undefined,
  });
});
