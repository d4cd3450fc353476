import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test from 'node:test';
import { openPage, startProxy, startServer, until } from './harness.js';
import { png } from './picture.js';
import { enter, goTo, inRoom, join, say, sees, texts } from './talk.js';

const { url } = await startServer();

test('two windows chat, and see who comes and goes', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'two' });
  const bob = await enter(t, url, '小伟', { room: 'two' });
  await ann.getByText('小伟 has joined').waitFor();
  assert.equal(await ann.locator('#room-count').textContent(), '2 people here');
  assert.deepEqual(await bob.locator('#people .who').allTextContents(), ['Ann', '小伟']);
  await say(ann, 'Hello');
  await say(bob, '你好 🎉');
  await sees(ann, '你好 🎉');
  await sees(bob, 'Hello');
  await say(bob, '🎉');
  await sees(ann, '🎉');
  assert.deepEqual(await texts(ann), ['Hello', '你好 🎉', '🎉']);
  assert.deepEqual(await texts(bob), await texts(ann));
  assert.equal(await ann.locator('.message.own').count(), 1);
  assert.equal(await bob.locator('.message.own').count(), 2);
  await bob.click('[data-action="leave"]');
  await ann.getByText('小伟 has left').waitFor();
  assert.deepEqual(await ann.locator('#people .who').allTextContents(), ['Ann']);
  // What happened behind a message stands behind it, in the order in which it happened.
  const cid = await enter(t, url, 'Cid', { room: 'two' });
  await ann.getByText('Cid has joined').waitFor();
  await say(cid, 'Late');
  await sees(ann, 'Late');
  const lines = await ann.locator('#log .bubble, #log .notice').allTextContents();
  assert.deepEqual(lines.map((line) => line.trim()).slice(-5), ['你好 🎉', '🎉', '小伟 has left', 'Cid has joined', 'Late']);
});

test('a picture arrives byte for byte, with a preview before and progress while sending', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'photo' });
  const bob = await enter(t, url, 'Bob', { room: 'photo', acceptDownloads: true });
  const picture = png(5 * 2 ** 20);
  await ann.evaluate(() => {
    const pending = document.getElementById('pending');
    new MutationObserver(() => {
      const bar = pending.querySelector('progress');
      if (bar) window.progressSeen ??= bar.getAttribute('aria-label');
    }).observe(pending, { childList: true, subtree: true });
  });
  await ann.setInputFiles('#file', { name: 'hills.png', mimeType: 'image/png', buffer: picture });
  await ann.locator('#previews img[alt="hills.png"]').waitFor();
  assert.equal(await ann.locator('#previews .size').textContent(), '5.0 MB');
  await ann.press('#text', 'Enter');
  await ann.locator('#log .own .picture img').waitFor();
  assert.equal(await ann.locator('#previews').isVisible(), false);
  assert.match(await ann.evaluate(() => window.progressSeen), /^Sending, \d+ %$/);

  const image = bob.locator('#log .picture img');
  await image.waitFor();
  assert.equal(await image.getAttribute('alt'), 'Picture from Ann: hills.png');
  await until(() => image.evaluate((element) => element.naturalWidth === 320), 'the picture is shown');
  await image.click();
  const [download] = await Promise.all([bob.waitForEvent('download'), bob.click('#viewer-save')]);
  assert.equal(download.suggestedFilename(), 'hills.png');
  assert.ok((await readFile(await download.path())).equals(picture), 'the bytes are the same');
  await bob.keyboard.press('Escape');
  assert.equal(await bob.locator('#viewer').isVisible(), false);
  assert.equal(await ann.locator('#log .message').count(), 1, 'the sender has it once');
});

test('pictures can be pasted and dropped, and taken back before sending', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'paste' });
  const bytes = [...png(10)];
  const give = (how) => ann.evaluate(([kind, content]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(content)], `${kind}.png`, { type: 'image/png' }));
    const target = document.getElementById('text');
    if (kind === 'paste') target.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
    else for (const step of ['dragenter', 'dragover', 'drop']) target.dispatchEvent(new DragEvent(step, { dataTransfer: data, bubbles: true, cancelable: true }));
  }, [how, bytes]);
  await give('paste');
  await give('drop');
  assert.deepEqual(await ann.locator('#previews img').evaluateAll((all) => all.map((one) => one.alt)), ['paste.png', 'drop.png']);
  assert.equal(await ann.locator('#drop').isVisible(), false);
  await ann.getByRole('button', { name: 'Do not send paste.png' }).click();
  await ann.click('#send');
  await ann.locator('#log .picture img').waitFor();
  assert.equal(await ann.locator('#log .picture').count(), 1);
});

test('what is not a picture is refused, before or after sending', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'fake' });
  const bob = await enter(t, url, 'Bob', { room: 'fake' });
  const choose = (name, mimeType, buffer) => ann.setInputFiles('#file', { name, mimeType, buffer });
  await choose('drawing.svg', 'image/svg+xml', Buffer.from('<svg/>'));
  await ann.locator('#composer-error').getByText('drawing.svg is not a PNG').waitFor();
  await choose('big.png', 'image/png', png(9 * 2 ** 20));
  await ann.locator('#composer-error').getByText('big.png is too large: at most 8 MB').waitFor();
  await choose('fake.png', 'image/png', Buffer.from('<script>alert(1)</script>'));
  await ann.click('#send');
  await ann.locator('#pending .status').getByText('fake.png is not a PNG').waitFor();
  await ann.getByRole('button', { name: 'Discard' }).click();
  assert.equal(await ann.locator('#pending .message').count(), 0);
  await say(ann, 'sorry');
  await sees(bob, 'sorry');
  assert.equal(await bob.locator('.picture').count(), 0);
});

test('a name that is taken or malformed is refused with a reason', async (t) => {
  await enter(t, url, 'Ann', { room: 'names' });
  const page = await openPage(t, `${url}chat/`);
  const enterAs = async (name, reason) => {
    await page.fill('#entry-name', name);
    await page.fill('#entry-room', 'names');
    await page.click('#entry-submit');
    await page.getByRole('alert').getByText(reason).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), 'entry-name');
  };
  await enterAs('ann', 'Somebody called “ann” is in “names” already');
  await enterAs('<b>', 'begins with a letter or a digit');
  await enterAs('', 'A name has 1 to 24');
  await join(page, 'Bob', 'names');
  assert.equal(await page.locator('#entry').isVisible(), false);
});

test('what is typed is text, never HTML, and links are safe', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'markup' });
  const bob = await enter(t, url, 'Bob', { room: 'markup' });
  const evil = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
  await say(ann, evil);
  await say(ann, 'see https://example.com/a?b=1&c=<i>, or javascript:alert(1)');
  await sees(bob, evil);
  await bob.locator('#log .bubble a').waitFor();
  assert.equal(await bob.evaluate(() => window.hacked), undefined);
  assert.equal(await bob.locator('#log').locator('img, script, i').count(), 0);
  const link = await bob.locator('#log a').evaluateAll((all) => all.map((a) => [a.href, a.rel, a.target]));
  assert.deepEqual(link, [['https://example.com/a?b=1&c=', 'noopener noreferrer nofollow', '_blank']]);
});

test('a newcomer sees the last messages and pictures', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'past' });
  await say(ann, 'earlier');
  await ann.setInputFiles('#file', { name: 'p.png', mimeType: 'image/png', buffer: png(10) });
  await ann.click('#send');
  await ann.locator('#log .picture').waitFor();
  await say(ann, 'later');
  await sees(ann, 'later');
  const bob = await enter(t, url, 'Bob', { room: 'past' });
  await sees(bob, 'later');
  assert.deepEqual(await texts(bob), ['earlier', 'later']);
  assert.equal(await bob.locator('#log .picture').count(), 1);
});

test('a reloaded page is in the room again under its name', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'reload' });
  await say(ann, 'before');
  await sees(ann, 'before');
  await ann.reload();
  await inRoom(ann);
  await sees(ann, 'before');
  assert.deepEqual(await ann.locator('#people .who').allTextContents(), ['Ann']);
});

test('rooms can be changed, shared and gone back from', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'first' });
  await say(ann, 'in the first');
  await sees(ann, 'in the first');
  await goTo(ann, '茶 馆');
  assert.equal(await ann.locator('#log .message').count(), 0);
  const shared = await openPage(t, ann.url());
  assert.equal(await shared.inputValue('#entry-room'), '茶-馆');
  await join(shared, 'Bob', '茶-馆');
  await say(shared, 'found it');
  await sees(ann, 'found it');
  assert.equal(await ann.locator('#rooms [aria-current]').textContent(), '#茶-馆');
  await ann.goBack();
  await sees(ann, 'in the first');
  await ann.fill('#room-name', 'a*b');
  await ann.press('#room-name', 'Enter');
  await ann.locator('#room-error').getByText('A room has 1 to 32').waitFor();
  await shared.goto(`${url}?room=first`); // as links were while the chat was the only page
  await shared.locator('#room-title').getByText('first', { exact: true }).waitFor();
  await sees(shared, 'in the first');
});

test('unread messages are counted in the title', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'title' });
  const bob = await enter(t, url, 'Bob', { room: 'title' });
  const hide = (hidden) => ann.evaluate((value) => {
    Object.defineProperty(document, 'hidden', { value, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
  await hide(true);
  await say(bob, 'one');
  await say(bob, 'two');
  await sees(ann, 'two');
  assert.equal(await ann.title(), '(2) title · Duplex');
  await hide(false);
  assert.equal(await ann.title(), 'title · Duplex');
});

test('the server is killed and restarted under two windows', async (t) => {
  const server = await startServer();
  const ann = await enter(t, server.url, 'Ann');
  const bob = await enter(t, server.url, 'Bob');
  await say(ann, 'before');
  await sees(bob, 'before');
  await server.kill();
  for (const page of [ann, bob]) {
    await page.locator('#state').getByText('Disconnected').waitFor();
    await page.locator('#banner-title').getByText(/The connection was lost|The server cannot be reached/).waitFor();
    await page.locator('#banner-detail').getByText(/Trying again/).waitFor();
  }
  await say(ann, 'written offline, 1');
  await say(ann, 'written offline, 2');
  await ann.locator('#pending').getByText('Waiting for the connection').first().waitFor();
  await startServer(new URL(server.url).host);
  await bob.getByRole('button', { name: 'Try now' }).click().catch(() => {}); // it may have come back by itself just now
  for (const page of [ann, bob]) {
    await inRoom(page, { timeout: 40_000 });
    assert.equal(await page.locator('#banner').isVisible(), false);
  }
  await sees(bob, 'written offline, 2');
  await say(bob, 'after');
  await sees(ann, 'after');
  assert.deepEqual(await texts(ann), ['before', 'written offline, 1', 'written offline, 2', 'after']);
  assert.equal(await ann.locator('#pending .message').count(), 0);
});

test('a server that stops politely says so', async (t) => {
  const server = await startServer();
  const ann = await enter(t, server.url, 'Ann');
  await server.kill('SIGTERM');
  await ann.locator('#banner').waitFor();
  assert.match(await ann.locator('#banner-title').textContent(), /restarting|cannot be reached|Connecting/);
});

test('a connection that the network forgot is replaced, and the name with it', async (t) => {
  const proxy = await startProxy(t, url);
  const ann = await openPage(t, `${proxy.url}chat/`);
  await ann.clock.install();
  await ann.reload();
  await join(ann, 'Ann', 'half-open');
  const bob = await enter(t, url, 'Bob', { room: 'half-open' });
  await say(ann, 'one');
  await sees(bob, 'one');
  proxy.freeze(); // the server goes on believing that Ann is there
  await say(bob, 'two');
  await say(ann, 'three');
  await ann.clock.fastForward(26_000);
  await until(async () => { // what it still sends counts as a sign of life, so it may take twice as long
    await ann.clock.fastForward(31_000);
    return !(await ann.locator('#chat[data-state="open"]').isVisible());
  }, 'the silence is noticed');
  await ann.clock.fastForward(2000);
  await sees(bob, 'three');
  await sees(ann, 'two');
  assert.deepEqual(await texts(bob), ['one', 'two', 'three']);
  assert.deepEqual(await texts(ann), ['one', 'two', 'three']);
  assert.equal(await bob.getByText('Ann has left').count(), 0);
});

test('a picture that is under way when the connection breaks arrives, once', async (t) => {
  const proxy = await startProxy(t, url);
  const ann = await enter(t, proxy.url, 'Ann', { room: 'broken' });
  const bob = await enter(t, url, 'Bob', { room: 'broken' });
  proxy.freeze();
  await ann.setInputFiles('#file', { name: 'p.png', mimeType: 'image/png', buffer: png(7 * 2 ** 20) });
  await ann.click('#send');
  await ann.locator('#pending progress').waitFor();
  proxy.cut();
  await bob.locator('#log .picture img').waitFor({ timeout: 30_000 });
  await ann.locator('#log .own .picture').waitFor();
  await say(ann, 'done');
  await sees(bob, 'done');
  for (const page of [ann, bob]) assert.equal(await page.locator('#log .message').count(), 2);
  await ann.reload();
  await sees(ann, 'done');
  assert.equal(await ann.locator('#log .own .picture').count(), 1, 'what did not come back to its sender is in the history');
});

test('connections that break again and again lose nothing, double nothing and mix nothing up', async (t) => {
  const proxy = await startProxy(t, url);
  const ann = await enter(t, proxy.url, 'Ann', { room: 'breaking' });
  const bob = await enter(t, proxy.url, 'Bob', { room: 'breaking' });
  const back = (page) => until(async () => {
    await page.evaluate(() => document.getElementById('banner').hidden || document.getElementById('banner-action').click());
    return page.locator('#chat[data-state="open"]').isVisible();
  }, 'the connection is back');
  for (let round = 0; round < 4; round++) {
    for (const [page, name] of [[ann, 'ann'], [bob, 'bob']]) for (const i of [1, 2]) await say(page, `${name} ${round}.${i}`);
    proxy.cut();
    await say(ann, `ann ${round}.3`);
    for (const page of [ann, bob]) await back(page);
  }
  await say(bob, 'the end');
  const written = (name, last) => [0, 1, 2, 3].flatMap((round) => Array.from({ length: last }, (_, i) => `${name} ${round}.${i + 1}`));
  for (const page of [ann, bob]) {
    await sees(page, 'the end');
    await until(async () => (await texts(page)).length === 21, 'everything has arrived');
  }
  const all = await texts(ann);
  assert.deepEqual(await texts(bob), all);
  assert.deepEqual(all.filter((text) => text.startsWith('ann')), written('ann', 3));
  assert.deepEqual(all.filter((text) => text.startsWith('bob')), written('bob', 2));
});

test('what cannot be sent waits for its room', async (t) => {
  const server = await startServer();
  const ann = await enter(t, server.url, 'Ann', { room: 'one' });
  await server.kill();
  await ann.locator('#state').getByText('Disconnected').waitFor();
  await say(ann, 'for the first');
  await ann.fill('#room-name', 'other');
  await ann.press('#room-name', 'Enter');
  await say(ann, 'for the other');
  await startServer(new URL(server.url).host);
  await sees(ann, 'for the other');
  await ann.goBack();
  await sees(ann, 'for the first');
  assert.deepEqual(await texts(ann), ['for the first']);
});

test('clients of other kinds take part', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'others' });
  const other = await openPage(t, `${url}chat/`);
  await other.evaluate((picture) => {
    const socket = new WebSocket(new URL('/ws', location.href.replace('http', 'ws')));
    const command = (object) => socket.send(JSON.stringify(object));
    socket.onopen = () => {
      command({ type: 'connect', info: { name: 'Mini' } });
      command({ type: 'subscribe', topic: 'chat.others' });
      command({ type: 'publish', topic: 'chat.others', data: { text: 'from ten lines' } });
      command({ type: 'publish', topic: 'chat.others', data: { picture, name: 'mini.png' } });
    };
    window.welcomed = new Promise((resolve) => {
      socket.onmessage = ({ data }) => typeof data === 'string' && JSON.parse(data).data?.text === 'welcome' && resolve(true);
    });
  }, png(10).toString('base64'));
  await ann.getByText('Mini has joined').waitFor();
  await sees(ann, 'from ten lines');
  await ann.getByAltText('Picture from Mini: mini.png').waitFor();
  await say(ann, 'welcome');
  assert.ok(await other.evaluate(() => window.welcomed));
});

test('a tab that is duplicated takes the conversation along', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'twice' });
  const session = await ann.evaluate(() => JSON.stringify(sessionStorage));
  const copy = await ann.context().newPage();
  await copy.addInitScript((stored) => Object.assign(sessionStorage, JSON.parse(stored)), session);
  await copy.goto(ann.url());
  await inRoom(copy);
  await ann.locator('#banner-title').getByText('goes on in another tab').waitFor();
  await ann.getByRole('button', { name: 'Go on here' }).click();
  await inRoom(ann);
  await copy.locator('#banner-title').getByText('goes on in another tab').waitFor();
});

test('a burst is slowed down by the server, and nothing of it is lost or mixed up', async (t) => {
  const ann = await enter(t, url, 'Ann', { room: 'burst' });
  const bob = await enter(t, url, 'Bob', { room: 'burst' });
  const wanted = Array.from({ length: 40 }, (_, i) => `message ${i}`);
  await ann.evaluate((all) => {
    for (const text of all) {
      document.getElementById('text').value = text;
      document.getElementById('composer').requestSubmit();
    }
  }, wanted);
  await ann.locator('#pending').getByText('In a moment').first().waitFor();
  await sees(bob, wanted.at(-1));
  assert.deepEqual(await texts(bob), wanted);
  assert.deepEqual(await texts(ann), wanted);
});

test('coming in while the server is away shows why, and works when it is back', async (t) => {
  const server = await startServer();
  const ann = await openPage(t, `${server.url}chat/`);
  await server.kill();
  await ann.fill('#entry-name', 'Ann');
  await ann.click('#entry-submit');
  await ann.locator('#banner-title').getByText('The server cannot be reached').waitFor();
  await say(ann, 'first');
  await startServer(new URL(server.url).host);
  await sees(ann, 'first');
});
