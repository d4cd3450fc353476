import assert from 'node:assert/strict';
import test from 'node:test';
import { openPage, startServer, until } from './harness.js';

const { url } = await startServer();

/** Opens the page and enters a room. */
async function enter(t, room, { at = url, before, ...options } = {}) {
  const page = await openPage(t, `${at}call/#${room}`, options);
  if (before) await page.evaluate(before);
  await page.click('#enter');
  return page;
}

const state = (page, name) => page.locator(`#room[data-state="${name}"]`).waitFor();

/** Two people in a call. */
async function talk(t, room, options = {}) {
  const ann = await enter(t, room, options);
  const bob = await enter(t, room, options.bob ?? options);
  await ann.click('#call');
  await state(bob, 'ringing');
  await bob.click('#accept');
  for (const page of [ann, bob]) await state(page, 'connected');
  return [ann, bob];
}

/** What is seen of the other side: how wide it is, whether it moves, and its colour in the middle. */
const seen = (page) => page.evaluate(async () => {
  const video = document.getElementById('remote');
  const frames = () => video.getVideoPlaybackQuality().totalVideoFrames;
  const [before, at] = [frames(), video.currentTime];
  const deadline = performance.now() + 5000;
  while ((frames() === before || video.currentTime === at) && performance.now() < deadline) await new Promise((resolve) => { setTimeout(resolve, 30); });
  const canvas = new OffscreenCanvas(8, 8);
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0, 8, 8);
  return { width: video.videoWidth, moves: frames() > before && video.currentTime > at, pixel: [...context.getImageData(2, 6, 1, 1).data] };
});

/** The device of the tests is green. */
async function sees(page) {
  await until(async () => {
    const { width, moves, pixel: [r, g, b] } = await seen(page);
    return width > 0 && moves && g > 90 && g > r && g > b;
  }, 'the other side is seen');
}

test('two see each other, a third is told that it is busy, and hanging up is told', async (t) => {
  const [ann, bob] = await talk(t, 'tea');
  for (const page of [ann, bob]) await sees(page);
  await until(async () => /^00:0[1-9]$/.test(await ann.locator('#duration').textContent()), 'the time is counted');
  const cid = await enter(t, 'tea');
  await cid.locator('#lobby-error').getByText('Two people talk in this room already').waitFor();

  await ann.click('#camera');
  await bob.locator('#curtain-text').getByText('sends no picture').waitFor();
  await ann.click('#microphone');
  await ann.click('#camera');
  await bob.locator('#other-name').getByText('microphone off').waitFor();
  await sees(bob);

  await bob.click('#hang-up');
  await ann.locator('#curtain-text').getByText('has hung up').waitFor();
  await state(bob, 'together');
  assert.equal(await ann.evaluate(() => document.getElementById('remote').srcObject), null);
  await bob.click('#call');
  await ann.click('#decline');
  await bob.locator('#curtain-text').getByText('has declined').waitFor();
  await bob.click('#leave');
  await state(ann, 'alone');
  await cid.click('#enter');
  await state(cid, 'together');
});

test('a call goes on over a reload, and ends when the other page is closed', async (t) => {
  const [ann, bob] = await talk(t, 'elm');
  for (const page of [bob, ann]) {
    await page.reload();
    for (const one of [ann, bob]) await state(one, 'connected');
    for (const one of [ann, bob]) await sees(one);
  }
  await bob.close();
  await ann.locator('#curtain-text').getByText('is interrupted').waitFor();
  await ann.locator('#curtain-text').getByText('has left').waitFor();
});

test('the server is killed during a call: sound and picture go on, and hanging up works when it is back', async (t) => {
  const server = await startServer();
  const [ann, bob] = await talk(t, 'owl', { at: server.url });
  await server.kill();
  for (const page of [ann, bob]) await page.locator('#state[data-state="waiting"]').waitFor();
  for (const page of [ann, bob]) await sees(page);
  await startServer(new URL(server.url).host);
  for (const page of [ann, bob]) await page.locator('#state[data-state="open"]').waitFor();
  for (const page of [ann, bob]) await sees(page);
  assert.equal(await ann.locator('#room').getAttribute('data-state'), 'connected');
  await ann.click('#hang-up');
  await bob.locator('#curtain-text').getByText('has hung up').waitFor();
});

test('without a camera one sees and hears all the same', async (t) => {
  const none = () => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError')); };
  const [ann, bob] = await talk(t, 'sea', { bob: { before: none } });
  await bob.locator('#note').getByText('may not use the camera').waitFor();
  await sees(bob);
  await ann.locator('#curtain-text').getByText('sends no picture').waitFor();
  await openPage(t, `${url}call/`).then(async (page) => {
    await page.fill('#room-field', '<b>');
    await page.click('#enter');
    await page.locator('#lobby-error').getByText('1 to 32 letters').waitFor();
  });
});
