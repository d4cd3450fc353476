import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import test from 'node:test';
import { openPage, startServer, until } from './harness.js';

const { url } = await startServer();
const page = (t, channel = '', { at = url } = {}) =>
  openPage(t, `${at}live/${channel && `#${channel}`}`, { viewport: { width: 900, height: 640 } });

/** Begins to broadcast, through the form. */
async function broadcast(t, channel, { size = 'small', source = 'animation', jpeg = false, at } = {}) {
  const host = await page(t, '', { at });
  await host.click('#go-live');
  await host.fill('#setup-channel', channel);
  await host.selectOption('#setup-size', size);
  await host.selectOption('#setup-source', source);
  if (jpeg) await host.check('#setup-jpeg');
  await host.click('#setup-start');
  await host.locator('#host-tools').waitFor();
  return host;
}

/** The pixels that a viewer sees, on a field of 64 by 36. */
const pixels = (viewer, id = 'picture') => viewer.evaluate((from) => {
  const context = new OffscreenCanvas(64, 36).getContext('2d', { willReadFrequently: true });
  context.drawImage(document.getElementById(from), 0, 0, 64, 36);
  return [...context.getImageData(0, 0, 64, 36).data];
}, id);

/** How many different colours these are: a picture has many, an empty canvas one. */
async function colors(viewer) {
  const data = await pixels(viewer);
  const seen = new Set();
  for (let i = 0; i < data.length; i += 4) seen.add((data[i] >> 4 << 8) | (data[i + 1] >> 4 << 4) | data[i + 2] >> 4);
  return seen.size;
}

const pictured = (viewer) => until(async () => await viewer.locator('#curtain').isHidden() && await colors(viewer) > 8, 'there is a picture');
const figure = async (viewer, name) => Number(await viewer.locator(`#stat-${name}`).getAttribute('data-value'));

async function say(viewer, text) {
  await viewer.fill('#say-text', text);
  await viewer.press('#say-text', 'Enter');
}

const said = (viewer) => viewer.locator('#comments .text').allTextContents();
const sees = (viewer, text) => until(async () => (await said(viewer)).includes(text), `“${text}” is in the list`);

test('a late viewer has a picture at once, the channel has one broadcaster, and its end is told', async (t) => {
  const host = await broadcast(t, 'studio');
  const viewer = await page(t, 'studio');
  await pictured(viewer);
  await until(async () => await figure(viewer, 'frames') >= 2 && await figure(viewer, 'rate') > 1000, 'figures are shown');
  await viewer.locator('#stat-codec').getByText(/^(VP8|VP9|H\.264)$/).waitFor();
  await until(async () => await figure(viewer, 'delay') > 0 && await figure(viewer, 'delay') < 5000, 'the delay is shown');
  await host.locator('#channels [data-channel="studio"] .count').getByText('1', { exact: true }).waitFor();

  // Nothing more is sent now: whoever comes late sees what the server keeps since the last key frame.
  await host.evaluate(() => { VideoEncoder.prototype.encode = () => {}; });
  await viewer.reload();
  await pictured(viewer);

  await viewer.click('#go-live');
  await viewer.fill('#setup-channel', 'studio');
  await viewer.click('#setup-start');
  await viewer.locator('#setup-error').getByText('Somebody broadcasts on this channel already').waitFor();
  await viewer.fill('#setup-channel', '<b>');
  await viewer.click('#setup-start');
  await viewer.locator('#setup-error').getByText('1 to 32 letters').waitFor();

  await host.click('#stop');
  await viewer.locator('#curtain').getByText('has ended the broadcast').waitFor();
  await viewer.locator('#room-state').getByText('Not live').waitFor();
  await host.reload();
  await host.click('#go-live');
  await host.fill('#setup-channel', 'studio');
  await host.click('#setup-start');
  await viewer.locator('#room-state').getByText('Live', { exact: true }).waitFor();
  await pictured(viewer);
});

test('the camera is shown; who may not use it is told, and who closes the page has ended the broadcast', async (t) => {
  const denied = await page(t);
  await denied.evaluate(() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError')); });
  await denied.click('#go-live');
  await denied.selectOption('#setup-source', 'camera');
  await denied.click('#setup-start');
  await denied.locator('#setup-error').getByText('may not use the camera').waitFor();
  const host = await broadcast(t, 'camera', { source: 'camera' });
  const viewer = await page(t, 'camera');
  // The device of the tests is green.
  await until(async () => {
    const [r, g, b] = (await pixels(viewer)).slice(4 * (12 * 64 + 20));
    return g > 90 && r < 120 && b < 90;
  }, 'the camera is seen');
  await host.close();
  await viewer.locator('#curtain').getByText('has ended the broadcast').waitFor();
});

/** A way to the server that can be held up, as by a slow line: what comes from the server waits. */
async function startSlowLine(t) {
  const { hostname, port } = new URL(url);
  const pairs = new Set();
  const line = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    pairs.add([near, far]);
    near.pipe(far);
    far.pipe(near);
    for (const socket of [near, far]) socket.on('error', () => { near.destroy(); far.destroy(); });
    for (const socket of [near, far]) socket.on('close', () => { near.destroy(); far.destroy(); });
  });
  await new Promise((resolve) => { line.listen(0, '127.0.0.1', resolve); });
  t.after(() => {
    for (const pair of pairs) pair.forEach((socket) => socket.destroy());
    line.close();
  });
  return {
    url: `http://127.0.0.1:${line.address().port}/`,
    hold() {
      for (const [near, far] of pairs) {
        far.unpipe(near);
        far.pause();
      }
    },
    release() {
      for (const [near, far] of pairs) far.pipe(near);
    },
  };
}

/** How many frames the server has dropped for slow viewers, as its metrics say. They are not for browsers, and fetch would pass for one. */
async function dropped() {
  let metrics = '';
  for await (const part of await new Promise((resolve, reject) => { http.get(`${url}metrics`, resolve).on('error', reject); })) metrics += part;
  return Number(metrics.match(/duplex_superseded_total\{rule="demo\.live\.video\.\*"\} (\S+)/)?.[1] ?? 0);
}

test('JPEG: a slow viewer skips pictures and then sees the newest; another one feels nothing', async (t) => {
  const host = await broadcast(t, 'jpeg', { size: 'medium', jpeg: true });
  // Large pictures, so that what the network holds is full soon.
  await host.evaluate(() => {
    const { toBlob } = HTMLCanvasElement.prototype;
    HTMLCanvasElement.prototype.toBlob = function large(then, type) { toBlob.call(this, then, type, 1); };
  });
  const line = await startSlowLine(t);
  const slow = await page(t, 'jpeg', { at: line.url });
  const fast = await page(t, 'jpeg');
  for (const viewer of [slow, fast]) await pictured(viewer);
  await fast.locator('#stat-codec').getByText('JPEG').waitFor();
  line.hold();
  await until(async () => await dropped() > 5, 'the server drops frames');
  await until(async () => await figure(fast, 'frames') > 1, 'the fast one sees pictures');
  line.release();
  await until(async () => await figure(slow, 'skipped') > 5, 'the slow one has skipped frames');
  await until(async () => await figure(slow, 'frames') > 1 && await figure(slow, 'delay') < 3000, 'the slow one is up to date again');
  // Back to video: the same viewers go on.
  await host.uncheck('#jpeg');
  await until(async () => await fast.locator('#stat-codec').textContent() !== 'JPEG', 'there is a video codec');
  await until(async () => await figure(fast, 'frames') > 1, 'its pictures are shown');
});

test('thousands of comments a minute fly without touching each other', async (t) => {
  const host = await broadcast(t, 'crowd');
  await host.click('#fly'); // one window of them is enough
  const viewer = await page(t, 'crowd');
  await pictured(viewer);
  await host.click('#audience');
  await until(() => viewer.evaluate(() => document.getElementById('flying').places().length > 40), 'many comments fly');
  await say(viewer, 'mine <b>bold</b>');
  const own = () => document.getElementById('flying').places().some(({ text }) => text === 'mine <b>bold</b>');
  await until(() => viewer.evaluate(own), 'one’s own flies');
  assert.equal(await viewer.locator('#comments b').count(), 0);
  const { most, overlaps } = await viewer.evaluate(async () => {
    const flying = document.getElementById('flying');
    let most = 0;
    const overlaps = [];
    for (let sample = 0; sample < 40; sample++) {
      const places = flying.places();
      most = Math.max(most, places.length);
      for (const [i, a] of places.entries()) {
        for (const b of places.slice(i + 1)) {
          if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom) overlaps.push([a, b]);
        }
      }
      await new Promise((resolve) => { setTimeout(resolve, 75); });
    }
    return { most, overlaps };
  });
  assert.deepEqual(overlaps, []);
  assert.ok(most > 40, `${most} comments`);
  const painted = (await pixels(viewer, 'flying')).filter((value, i) => i % 4 === 3 && value > 60).length;
  assert.ok(painted > 200, `${painted} of 2,304 pixels have text`);
  await until(async () => await figure(viewer, 'comments') > 60, 'they are counted');
  await viewer.click('#fly');
  assert.deepEqual(await viewer.evaluate(() => document.getElementById('flying').places()), []);
  await host.click('#audience');
});

test('a moderator removes, mutes, blocks words and slows down; newcomers see what was said', async (t) => {
  const host = await broadcast(t, 'house');
  const viewer = await page(t, 'house');
  await pictured(viewer);
  await say(viewer, 'hello 你好');
  await say(viewer, 'bad one');
  await sees(host, 'bad one');
  await until(async () => {
    await say(viewer, 'more');
    return await viewer.locator('#say-error').getByText('faster than anybody reads').isVisible();
  }, 'it is too fast');

  await host.click('#moderate');
  await host.locator('#comments .said', { hasText: 'bad one' }).getByRole('button', { name: 'Remove' }).click();
  for (const window of [host, viewer]) await until(async () => !(await said(window)).includes('bad one'), 'it is gone');
  await host.fill('#words', 'spam, 广告');
  await host.press('#words', 'Enter');
  await until(async () => await viewer.inputValue('#words') === 'spam, 广告', 'the words are known');
  await until(async () => {
    await say(viewer, 'buy SPAM');
    return await viewer.locator('#say-error').getByText('does not allow').isVisible();
  }, 'the word is refused');
  await host.selectOption('#slow', '60');
  await viewer.locator('#slow-note').getByText('one comment in 60 s').waitFor();
  await say(viewer, 'fine');
  await viewer.locator('#say-error').getByText('Slow mode').waitFor();
  await host.locator('#comments .said', { hasText: 'hello 你好' }).getByRole('button', { name: 'Mute' }).click();
  await host.locator('#muted button').waitFor();
  await say(viewer, 'can you hear me');
  await viewer.locator('#say-error').getByText('has muted you').waitFor();

  const late = await page(t, 'house');
  await sees(late, 'hello 你好');
  assert.ok(!(await said(late)).includes('bad one'));
});

test('a broadcast goes on when the server was killed and is back', async (t) => {
  const server = await startServer();
  const host = await broadcast(t, 'again', { at: server.url });
  const viewer = await page(t, 'again', { at: server.url });
  await pictured(viewer);
  await server.kill();
  for (const window of [host, viewer]) await window.locator('#state[data-state="waiting"]').waitFor();
  await startServer(new URL(server.url).host);
  for (const window of [host, viewer]) await window.locator('#state[data-state="open"]').waitFor();
  await until(async () => await viewer.locator('#room-state').textContent() === 'Live' && await figure(viewer, 'frames') > 1, 'frames come again');
  await pictured(viewer);
});
