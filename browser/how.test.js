import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import { openPage, startServer, until } from './harness.js';

const { url } = await startServer();

/** Opens the page; its connection is open. */
async function open(t, at = url, options) {
  const page = await openPage(t, `${at}how/`, options);
  await page.locator('#socket-state[data-state="open"]').waitFor();
  return page;
}

/** The frames in the list, as [from, type, FIN, length, preview]. */
const rows = (page) => page.locator('.frame-row').evaluateAll((all) => all.map((row) => [
  row.dataset.from, row.dataset.type, row.querySelector('.fin').textContent, Number(row.dataset.length), row.querySelector('.preview').textContent,
]));

/** Does something, and returns the frames that have passed once there are so many. */
async function pass(page, count, act) {
  await page.click('#clear');
  await act();
  await until(async () => (await rows(page)).length >= count, `${count} frames pass`);
  return rows(page);
}

/** Selects a frame of the list, and returns what is shown of it. */
async function look(page, index) {
  await page.locator('.frame-row').nth(index).click();
  const line = (name) => page.locator(`#payload .dump-${name} td`).allTextContents();
  return {
    bits: await page.locator('.bits').getAttribute('data-bits'),
    names: await page.locator('.segment-name').allTextContents(),
    bytes: (await page.locator('.hex-byte:not(.field-payload)').allTextContents()).join(' '),
    fields: Object.fromEntries(await page.locator('.field-list > div').evaluateAll((all) => all.map((row) => [row.dataset.fields, row.querySelector('dd').textContent]))),
    wire: await line('wire'), key: await line('key'), plain: await line('plain'), ascii: await line('text'),
    reading: await page.locator('#payload .quoted').allTextContents(),
  };
}

const fromHex = (all) => Buffer.from(all.join(''), 'hex');

test('the handshake is shown as it was, its accept value is right, and a frame is shown bit by bit', async (t) => {
  const page = await open(t);
  const lines = async (id) => (await page.locator(`#${id} .line`).allTextContents());
  const [request, response] = [await lines('request'), await lines('response')];
  assert.match(request[0], /^GET \/how\/socket\?tap=[\w-]{22}&connection=1&compression=off HTTP\/1\.1$/);
  assert.equal(request.at(-1), '', 'a head ends with an empty line');
  assert.ok(request.includes(`Host: ${new URL(url).host}`) && request.includes(`Origin: ${new URL(url).origin}`), request.join('\n'));
  assert.equal(response[0], 'HTTP/1.1 101 Switching Protocols');
  const key = request.find((line) => line.startsWith('Sec-WebSocket-Key: ')).slice(19);
  const digest = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest();
  assert.ok(response.includes(`Sec-WebSocket-Accept: ${digest.toString('base64')}`), response.join('\n'));
  assert.equal(await page.textContent('#step-key'), key);
  assert.equal((await page.textContent('#step-sha1')).replaceAll(' ', ''), digest.toString('hex'));
  assert.equal(await page.textContent('#step-accept'), digest.toString('base64'));
  assert.equal(await page.getAttribute('#verdict', 'data-same'), 'true');

  // A frame bit by bit, masked by the browser and echoed without a mask.
  await page.fill('#text', 'Hello');
  assert.deepEqual(await pass(page, 2, () => page.click('#send-text')), [['browser', 'text', 'FIN 1', 5, 'Hello'], ['server', 'text', 'FIN 1', 5, 'Hello']]);
  assert.equal(await page.locator('.frame-row').first().getAttribute('aria-pressed'), 'true', 'what was sent is shown by itself');

  const sent = await look(page, 0);
  assert.equal(sent.bits.slice(0, 16), '1000000110000101');
  assert.deepEqual(sent.names.slice(0, 8), ['FIN', 'RSV1', 'RSV2', 'RSV3', 'opcode', 'MASK', 'length', 'masking key']);
  assert.match(sent.bytes, /^81 85( [0-9a-f]{2}){4}$/);
  assert.equal(Number.parseInt(sent.bits.slice(16), 2), Number.parseInt(sent.bytes.slice(6).replaceAll(' ', ''), 16), 'the key in bits is the key in bytes');
  assert.match(sent.fields.opcode, /^0x1 text/);
  const [wire, mask] = [fromHex(sent.wire), fromHex(sent.key)];
  assert.equal(wire.map((byte, i) => byte ^ mask[i]).toString(), 'Hello', 'wire XOR key');
  assert.equal(fromHex(sent.plain).toString(), 'Hello');
  assert.deepEqual(sent.ascii, [...'Hello']);

  const echoed = await look(page, 1);
  assert.equal(echoed.bits, '1000000100000101');
  assert.equal(echoed.bytes, '81 05');
  assert.equal(fromHex(echoed.wire).toString(), 'Hello');
  assert.deepEqual(echoed.key, []);

  // Pointing at a field lights up its bits, its byte and its meaning.
  await page.locator('.segment.field-opcode').hover();
  assert.deepEqual(await page.locator('.lit').evaluateAll((all) => all.map((e) => e.className.split(' ')[0])), ['segment', 'hex-byte', 'field-opcode']);
  await page.keyboard.press('Escape');
  await page.locator('.frame-row').nth(1).focus();
  await page.keyboard.press('ArrowUp');
  assert.equal(await page.getAttribute('#detail', 'data-number'), '1', 'arrows go through the list');
});

test('lengths in 7, 16 and 64 bits; the server pings, and sends a message in fragments; compression keeps its context', async (t) => {
  const page = await open(t);
  for (const [size, header, extended] of [[16, '82 90', undefined], [300, '82 fe 01 2c', '300'], [65536, '82 ff 00 00 00 00 00 01 00 00', '65536']]) {
    await page.selectOption('#size', String(size));
    const passed = await pass(page, 2, () => page.click('#send-binary'));
    assert.deepEqual(passed.map(([from, type, , length]) => [from, type, length]), [['browser', 'binary', size], ['server', 'binary', size]]);
    const { bytes, fields } = await look(page, 0);
    assert.ok(bytes.startsWith(header), bytes);
    assert.equal(fields.extended?.split(' ')[0], extended);
  }
  assert.match(await page.textContent('#payload'), /and 65408 bytes more/);

  const pinged = await pass(page, 3, () => page.click('#ping'));
  assert.deepEqual(pinged.slice(1), [['server', 'ping', 'FIN 1', 14, 'are you there?'], ['browser', 'pong', 'FIN 1', 14, 'are you there?']]);
  const fragments = await pass(page, 6, () => page.click('#fragments'));
  const sent = fragments.filter(([from, type]) => from === 'server' && type !== 'ping');
  assert.deepEqual(sent.map(([, type, fin]) => [type, fin]), [['text', 'FIN 0'], ['continuation', 'FIN 0'], ['continuation', 'FIN 1']]);
  assert.equal(sent.map(([, , , , preview]) => preview).join(''), 'One message, several frames.');
  assert.ok(fragments.some(([from, type]) => from === 'server' && type === 'ping'), 'a ping passes in between');
  await page.locator('#heard').getByText('a text: “One message, several frames.”').waitFor();

  // The second of two similar messages is small, and shown inflated.
  await page.click('#compression-on');
  await page.locator('#socket-state').getByText('permessage-deflate').waitFor();
  await page.locator('#response .line').getByText('Sec-WebSocket-Extensions: permessage-deflate').waitFor();
  const passed = await pass(page, 4, () => page.click('#twice'));
  for (const from of ['browser', 'server']) {
    const [first, second] = passed.filter(([by]) => by === from);
    assert.match(second[4], /^\{"symbol":"DPLX"/);
    assert.ok(second[3] * 4 < first[3], `${first[3]} bytes, then ${second[3]}`);
  }
  await page.locator('#explain').getByText(/Two messages of \d+ bytes: the first took \d+ bytes, the second only \d+/).waitFor();
  const { bits, reading } = await look(page, 0);
  assert.equal(bits[1], '1', 'RSV1');
  assert.equal(JSON.parse(reading[0]).bid, 101.25);
  await page.click('#compression-off');
  await page.locator('#socket-state').getByText('no compression').waitFor();
  assert.equal(await page.locator('#response .line').getByText('Extensions').count(), 0);
});

test('closing, by whom and how; the browser fails a connection over an invalid frame', async (t) => {
  const page = await open(t);
  const again = async () => {
    await page.click('#again');
    await page.locator('#socket-state[data-state="open"]').waitFor();
  };
  const close = async (choice, reason = '') => {
    await page.selectOption('#close-code', choice);
    await page.fill('#close-reason', reason);
    await page.click('#close');
  };
  await close('page 1001');
  await page.locator('#refused').waitFor();
  assert.equal(await page.getAttribute('#socket-state', 'data-state'), 'open', 'a browser does not close with 1001');

  for (const [choice, reason, frames, code] of [
    ['page 4000', 'enough', [['browser', '4000 enough'], ['server', '4000']], 4000],
    ['page 0', '', [['browser', ''], ['server', '']], 1005],
    ['server 1011', 'out of order', [['server', '1011 out of order'], ['browser', '1011 out of order']], 1011],
  ]) {
    const passed = await pass(page, choice.startsWith('page') ? 2 : 3, () => close(choice, reason));
    const closings = passed.filter(([, type]) => type === 'close').map(([from, , , , preview]) => [from, preview]);
    assert.deepEqual([closings[0], closings[1][0]], [frames[0], frames[1][0]]);
    await page.locator(`#socket-state[data-state="closed"][data-code="${code}"]`).waitFor();
    await again();
  }
  const dropped = await pass(page, 1, () => close('server -1'));
  await page.locator('#socket-state[data-state="closed"][data-code="1006"]').waitFor();
  await page.locator('.divider').getByText('has ended').waitFor();
  assert.equal(dropped.length, 1, 'no close frame');
  await again();

  // The browser fails a connection over an invalid frame.
  for (const [kind, header] of [['masked', '81 83 01 02 03 04'], ['opcode', '83 03']]) {
    await page.selectOption('#invalid', kind);
    const passed = await pass(page, 3, () => page.click('#send-invalid'));
    assert.match(passed.find(([from, type]) => from === 'browser' && type === 'close')[4], /^1002/);
    await page.locator('#socket-state[data-state="closed"][data-code="1006"]').waitFor();
    assert.equal((await look(page, 1)).bytes, header);
    await again();
  }
});

test('the race: WebSocket takes the fewest bytes, polling the most; two windows do not disturb each other', async (t) => {
  const windows = [await open(t), await open(t)];
  for (const page of windows) {
    await page.selectOption('#pace', '60');
    await page.selectOption('#interval', '200');
    await page.click('#race-start');
  }
  for (const page of windows) {
    const figures = () => page.locator('.lane').evaluateAll((all) => Object.fromEntries(all.map((lane) => [lane.dataset.transport, {
      received: Number(lane.querySelector('.lane-count strong').textContent), requests: Number(lane.dataset.requests), latency: lane.dataset.latency,
      bytes: Number(lane.dataset.up) + Number(lane.dataset.down), width: Number.parseFloat(lane.querySelector('.figure-each .bar').style.width),
    }])));
    await until(async () => Object.values(await figures()).every(({ received }) => received >= 4), 'every transport has brought four messages');
    await page.click('#race-start');
    await until(async () => {
      const { poll, wait, events, socket } = await figures();
      return poll.bytes > wait.bytes && wait.bytes > events.bytes && events.bytes > socket.bytes && socket.bytes > 0;
    }, 'WebSocket takes the fewest bytes, polling the most');
    const { poll, wait, events, socket } = await figures();
    assert.deepEqual([events.requests, socket.requests], [1, 1]);
    assert.ok(poll.requests > wait.requests && wait.requests >= 4, `${poll.requests} and ${wait.requests} requests`);
    assert.ok(poll.width > socket.width && events.width >= socket.width, 'the bars show it');
    for (const lane of [poll, wait, events, socket]) assert.ok(lane.latency !== '' && Number(lane.latency) < 1500, lane.latency);
    await page.locator('#conclusion').getByText(/short polling takes [\d.,]+ times the bytes/).waitFor();
  }
});

test('a server that was killed under the page: another connection, another handshake, and the race goes on', async (t) => {
  const first = await startServer();
  const page = await open(t, first.url);
  const accepted = await page.textContent('#step-accept');
  await page.selectOption('#pace', '300');
  await page.click('#race-start');
  const received = () => page.locator('.lane-count strong').evaluateAll((all) => all.map((e) => Number(e.textContent)));
  await until(async () => (await received()).every((n) => n > 2), 'messages come');
  await first.kill();
  await page.locator('#state[data-state="waiting"]').waitFor();
  const before = await received();
  await startServer(new URL(first.url).host);
  await page.locator('#socket-state[data-state="open"]').waitFor();
  await until(async () => await page.textContent('#step-accept') !== accepted, 'the new handshake is shown');
  await until(async () => (await received()).every((n, i) => n > before[i] + 5), 'all four come back and catch up');
  assert.ok((await page.locator('#request .line').first().textContent()).includes('connection='));
  const passed = await pass(page, 2, () => page.click('#send-text'));
  assert.equal(passed[0][1], 'text');
});

test('in Chinese, on a phone', async (t) => {
  const page = await open(t, url, { locale: 'zh-CN', viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true });
  await page.locator('#verdict').getByText('完全一致').waitFor();
  const passed = await pass(page, 2, () => page.click('#send-text'));
  assert.equal(passed[0][4], '你好，WebSocket 👋');
  const { bits } = await look(page, 0);
  assert.equal(await page.locator('.ruler').count(), 16, 'sixteen bits in a row');
  assert.equal(bits.length, 48);
  await page.locator('#detail-title').getByText('来自浏览器的文本帧').waitFor();
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing scrolls sideways');
  await page.click('#site-menu');
  await page.click('#site-language');
  await page.locator('#detail-title').getByText('text from the browser').waitFor();
  assert.equal(await page.inputValue('#text'), 'Hello, WebSocket 👋');
});
