// Starts the real program and real Chromium windows for the tests.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { chromium } from 'playwright-core';

const repository = path.resolve(import.meta.dirname, '..');
const scratch = mkdtempSync(path.join(tmpdir(), 'duplex-browser-'));
const program = process.env.DUPLEX ?? path.join(scratch, 'duplex'); // "make browser" builds one for all files
if (!process.env.DUPLEX) execFileSync('go', ['build', '-o', program, './cmd/duplex'], { cwd: repository, stdio: 'inherit' });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    // A camera and a microphone that show and play something, and are given to whoever asks.
    '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
  ],
});

const servers = new Set();

after(async () => {
  await browser.close();
  for (const server of servers) await server.kill();
  rmSync(scratch, { recursive: true, force: true });
});

/** Starts duplex serve, with further arguments; resolves when it accepts connections. */
export async function startServer(listen = '127.0.0.1:0', args = []) {
  const child = spawn(program, ['serve', '--listen', listen, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => { child.once('exit', resolve); });
  const server = {
    url: '',
    kill: async (signal = 'SIGKILL') => {
      child.kill(signal);
      await ended;
      servers.delete(server);
    },
  };
  servers.add(server);
  let printed = '';
  await new Promise((resolve, reject) => {
    child.stdout.on('data', (data) => {
      printed += data;
      server.url = printed.match(/open (http:\S+)/)?.[1] ?? '';
      if (server.url) resolve();
    });
    ended.then((code) => reject(new Error(`duplex serve ended with ${code}`)));
  });
  return server;
}

// What a browser itself reports when a connection is refused, and when a test looks at a canvas again and again; everything else in the
// console is a fault of the page.
const expected = /WebSocket connection to|Failed to load resource|^Canvas2D: Multiple readback/;

/** Opens a page in a window of its own, with storage of its own. Faults of the page fail the test. */
export async function openPage(t, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 720 }, locale: 'en-GB', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const faults = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !expected.test(message.text())) faults.push(message.text());
  });
  page.on('pageerror', (error) => faults.push(error.stack));
  t.after(async () => {
    await context.close();
    assert.deepEqual(faults, [], 'the page reported faults');
  });
  await page.goto(url);
  return page;
}

/** Waits until check() resolves to something true. */
export async function until(check, what) {
  const deadline = Date.now() + 15_000;
  while (!(await check())) {
    assert.ok(Date.now() < deadline, `never happened: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}

/** A proxy in front of the server that can stop passing bytes on, as a network does that lost a connection without a word, and cut connections. */
export async function startProxy(t, url) {
  const { hostname, port } = new URL(url);
  const pairs = new Set();
  const proxy = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    const pair = [near, far];
    pairs.add(pair);
    near.pipe(far);
    far.pipe(near);
    for (const socket of pair) socket.on('error', () => pair.forEach((one) => one.destroy()));
    near.on('close', () => pair.frozen || far.destroy());
  });
  await new Promise((resolve) => { proxy.listen(0, '127.0.0.1', resolve); });
  t.after(() => {
    for (const pair of pairs) pair.forEach((one) => one.destroy());
    proxy.close();
  });
  return {
    url: `http://127.0.0.1:${proxy.address().port}/`,
    freeze() {
      for (const pair of pairs) {
        pair.frozen = true;
        const [near, far] = pair;
        near.unpipe();
        far.unpipe();
        near.pause();
        far.pause();
      }
    },
    cut() {
      for (const pair of pairs) pair.forEach((one) => one.destroy());
    },
  };
}
