import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import { openPage, startServer, until } from './harness.js';

const testdata = (name) => JSON.parse(readFileSync(path.resolve(import.meta.dirname, '../internal/showcase/arena/testdata', name), 'utf8'));
const { url } = await startServer();

/** A window that sees the game. */
async function watch(t, server) {
  const page = await openPage(t, `${server}arena/`);
  await page.waitForFunction(() => globalThis.arena?.game.view);
  return page;
}

async function play(t, server) {
  const page = await watch(t, server);
  await page.click('#play');
  await page.waitForFunction(() => arena.game.ship);
  return page;
}

/** The ship with an id, as the server has told this window and as it is drawn. */
const see = (page, id) => page.evaluate((wanted) => {
  const shown = arena.game.shown(performance.now()).find(({ ship }) => ship.id === wanted);
  return shown && { x: shown.x, y: shown.y, ...shown.ship };
}, id);

/** A proxy that holds everything up for `delay` ms, in both directions. */
async function slowLine(t, server) {
  const { hostname, port } = new URL(server);
  const sockets = new Set();
  const line = { url: '', delay: 0 };
  const proxy = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    for (const [from, to] of [[near, far], [far, near]]) {
      sockets.add(from);
      from.on('data', (data) => setTimeout(() => to.destroyed || to.write(data), line.delay));
      from.on('close', () => to.destroy());
      from.on('error', () => to.destroy());
    }
  });
  await new Promise((resolve) => { proxy.listen(0, '127.0.0.1', resolve); });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  line.url = `http://127.0.0.1:${proxy.address().port}/`;
  return line;
}

test('the page moves ships as the server does, and reads what the server writes', async (t) => {
  const page = await watch(t, url);
  const wrong = await page.evaluate((vectors) => vectors.flatMap(({ name, start: [x, y, vx, vy, wait], inputs, states }) => {
    let body = { x, y, vx, vy, wait };
    for (const [i, [dx, dy, dash]] of inputs.entries()) {
      body = arena.step(body, { x: dx, y: dy, dash: dash === 1 });
      const now = [body.x, body.y, body.vx, body.vy, body.wait];
      if (now.join() !== states[i].join()) return [`${name}, step ${i}: ${now}, not ${states[i]}`];
    }
    return [];
  }), testdata('steps.json'));
  assert.deepEqual(wrong, []);

  const { snapshots, tick, ships, gems } = testdata('snapshots.json');
  const read = await page.evaluate((all) => {
    let view;
    for (const hex of all) view = arena.read(Uint8Array.from(hex.match(/../g), (byte) => Number.parseInt(byte, 16)), view);
    const list = [...view.ships.values()].sort((a, b) => a.id - b.id);
    return {
      tick: view.tick,
      ships: list.map((s) => [s.id, s.owner, s.name, s.out, s.safe, s.x, s.y, s.vx, s.vy, s.wait, s.score, s.ack]),
      gems: [...view.gems].sort(([a], [b]) => a - b).map(([i, { x, y }]) => [i, x, y]),
    };
  }, snapshots);
  assert.deepEqual(read, { tick, ships, gems });
});

test('two windows see each other move among fifty bots', async (t) => {
  const [ann, bob] = [await play(t, url), await play(t, url)];
  for (const page of [ann, bob]) await page.locator('#players').getByText('2 + 50 bots').waitFor();
  await until(async () => /^\d+ ms$/.test(await ann.locator('#ping').textContent()), 'the ping is shown');
  await until(async () => /^\d\d\.?\d* kB\/s$/.test(await ann.locator('#fulls').textContent()), 'what it would be without deltas is shown');
  assert.match(await ann.locator('#board .own').innerText(), /Guest \d+ \(you\)/);

  const id = await ann.evaluate(() => arena.game.ship.id);
  const before = await see(bob, id);
  const key = before.x > 32_000 ? 'KeyA' : 'ArrowRight';
  await ann.keyboard.down(key);
  await until(async () => Math.abs((await see(bob, id)).x - before.x) > 1_500, 'Bob sees Ann move');
  await ann.keyboard.up(key);
  // What a person sees: one's own ship, in other colours than the ground.
  await until(() => ann.evaluate(() => {
    const canvas = document.getElementById('canvas');
    const paper = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
    paper.drawImage(canvas, 0, 0);
    const at = (x, y) => paper.getImageData(Math.round(x), Math.round(y), 1, 1).data.join();
    const { x, y } = arena.painter.own;
    return at(x, y) !== at(x - 32, y) && at(x, y) !== at(canvas.width - 4, 4);
  }), 'the ship is drawn');

  await ann.keyboard.press('Escape');
  await until(async () => !await see(bob, id), 'Ann has left');
  assert.ok(await ann.locator('#play').isVisible());
});

test('one’s own ship obeys at once, however slow the network is', async (t) => {
  const delay = 350; // each way
  const line = await slowLine(t, url);
  const page = await play(t, line.url);
  line.delay = delay;
  await page.waitForFunction(() => arena.game.ahead > 5 && arena.game.own);
  const took = await page.evaluate(() => new Promise((resolve) => {
    const { x, y } = arena.game.own;
    const code = x > 32_000 ? 'KeyA' : 'KeyD';
    const began = performance.now();
    dispatchEvent(new KeyboardEvent('keydown', { code, cancelable: true }));
    const look = () => {
      if (Math.abs(arena.game.own.x - x) + Math.abs(arena.game.own.y - y) < 200) {
        requestAnimationFrame(look);
        return;
      }
      dispatchEvent(new KeyboardEvent('keyup', { code }));
      resolve(performance.now() - began);
    };
    look();
  }));
  assert.ok(took < 2 * delay, `it moved after ${took} ms, which the server cannot have said`);
  await until(async () => Number.parseInt(await page.locator('#ping').textContent(), 10) >= 2 * delay, 'the ping is shown');
  await until(() => page.evaluate(() => {
    const { own, ship } = arena.game;
    return own && !own.vx && !own.vy && own.x === ship.x && own.y === ship.y;
  }), 'the server agrees with what was predicted');
});

test('the game goes on when the server was killed and started again', async (t) => {
  const server = await startServer();
  const page = await play(t, server.url);
  await server.kill();
  await page.locator('#state[data-state="waiting"]').waitFor();
  const tick = await page.evaluate(() => arena.game.view.tick);
  await startServer(new URL(server.url).host);
  await page.locator('#state[data-state="open"]').waitFor();
  await page.waitForFunction((before) => arena.game.view.tick > before && arena.game.ship && arena.game.view.ships.size === 51, tick);
  const id = await page.evaluate(() => arena.game.ship.id);
  const { x, y } = await see(page, id);
  await page.keyboard.down(x > 32_000 ? 'ArrowLeft' : 'ArrowRight');
  await until(async () => Math.abs((await see(page, id)).x - x) + Math.abs((await see(page, id)).y - y) > 1_000, 'it still obeys');
});

test('inputs that are none are refused with a reason, and disturb nobody', async (t) => {
  const page = await watch(t, url);
  const answers = await page.evaluate(() => new Promise((resolve) => {
    const socket = new WebSocket(new URL('../ws', location.href.replace('http', 'ws')));
    const got = [];
    const send = (object, bytes) => {
      const head = new TextEncoder().encode(JSON.stringify(object));
      socket.send(bytes ? new Uint8Array([head.length >> 8, head.length & 255, ...head, ...bytes]) : JSON.stringify(object));
    };
    socket.onopen = () => {
      send({ type: 'connect', id: 1, info: { name: '<b>Eve</b>' } });
      send({ type: 'publish', id: 2, topic: 'demo.arena.in', data: { do: 'join' } });
      send({ type: 'publish', id: 3, topic: 'demo.arena.in' }, [1, 0, 127, 127, 0]);
      send({ type: 'publish', id: 4, topic: 'demo.arena.in' }, [1, 0]);
      send({ type: 'publish', id: 5, topic: 'demo.arena.ticks' }, [1, 0]);
      send({ type: 'subscribe', id: 6, topic: 'demo.arena.in' });
    };
    socket.onmessage = ({ data }) => {
      const { id, code } = JSON.parse(data);
      got[id] = code ?? 'done';
      if (id === 6) resolve(got.slice(1));
    };
  }));
  assert.deepEqual(answers, ['done', 'demo.name-malformed', 'arena.input-malformed', 'arena.input-malformed', 'forbidden', 'forbidden']);
  const tick = await page.evaluate(() => arena.game.view.tick);
  await page.waitForFunction((before) => arena.game.view.tick > before + 5, tick);
});
