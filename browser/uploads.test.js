import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { openPage, startServer, until } from './harness.js';

const MiB = 1 << 20;
const hash = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** A folder for what is uploaded, and one for the server. */
function folders(t) {
  const dir = mkdtempSync(path.join(tmpdir(), 'duplex-uploads-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const data = path.join(dir, 'data');
  const kept = path.join(data, 'showcase/uploads');
  return {
    data,
    make(name, size) {
      const file = path.join(dir, name);
      writeFileSync(file, randomBytes(size));
      return file;
    },
    /** What the server has on disk, by ending. */
    left: (ending) => readdirSync(kept).filter((name) => name.endsWith(ending)).map((name) => path.join(kept, name)),
  };
}

/**
 * A proxy whose way to the server is a valve for WebSockets: it lets through as many bytes as it was told to, and then waits. So a test can
 * stop uploads in the middle, however fast the machine is. It counts, and can cut connections.
 */
async function startValve(t, url) {
  const { hostname, port } = new URL(url);
  const sockets = new Set();
  const stopped = new Set();
  let [allowed, bytes] = [Infinity, 0];
  const proxy = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        for (const one of [near, far]) {
          sockets.delete(one);
          stopped.delete(one);
          one.destroy();
        }
      });
    }
    far.pipe(near);
    let isSocket;
    near.on('data', (data) => {
      far.write(data);
      isSocket ??= /upgrade: websocket/i.test(data.toString('latin1'));
      if (!isSocket) return;
      bytes += data.length;
      allowed -= data.length;
      if (allowed > 0) return;
      near.pause();
      stopped.add(near);
    });
  });
  await new Promise((resolve) => { proxy.listen(0, '127.0.0.1', resolve); });
  const cut = () => sockets.forEach((socket) => socket.destroy());
  t.after(() => {
    cut();
    proxy.close();
  });
  return {
    url: `http://127.0.0.1:${proxy.address().port}/`,
    cut,
    sent: () => bytes,
    allow(more) {
      allowed = more;
      for (const socket of stopped) socket.resume();
      stopped.clear();
    },
  };
}

const transfer = (page, name) => page.locator(`.transfer[data-name="${name}"]`);
const choose = (page, ...files) => page.setInputFiles('#files', files);
const reaches = (page, name, state) => page.locator(`.transfer[data-name="${name}"][data-state="${state}"]`).waitFor();
const sent = async (page, name) => Number(await transfer(page, name).getAttribute('data-sent'));
const onItsWay = (page, name, from = 0) => until(async () => await sent(page, name) > from, `${name} is on its way`);

test('three files at once arrive as they were sent, everybody sees them, their owner deletes them', async (t) => {
  const { data, make, left } = folders(t);
  const server = await startServer('127.0.0.1:0', ['--data', data]);
  const ann = await openPage(t, `${server.url}uploads/`);
  const bob = await openPage(t, `${server.url}uploads/`);
  await bob.locator('#none').waitFor();
  const files = [make('旅行 <b>.png', 5 * MiB + 17), make('a.bin', 3 * MiB), make('empty.txt', 0)];
  await choose(ann, ...files);
  for (const file of files) await reaches(ann, path.basename(file), 'done');
  const sums = files.map((file) => hash(readFileSync(file))).sort();
  assert.deepEqual(left('.file').map((file) => hash(readFileSync(file))).sort(), sums);
  assert.deepEqual(left('.part'), []);
  await bob.locator('.file').nth(2).waitFor();
  assert.deepEqual(await bob.locator('.file').evaluateAll((all) => all.map(({ dataset }) => dataset.sum).sort()), sums);
  assert.equal(await bob.locator('.file b').count(), 0, 'names are text');
  assert.equal(await bob.getByRole('button', { name: /^Delete/ }).count(), 0, 'these are not his');

  const link = bob.locator('.file a.name').filter({ hasText: '旅行' });
  const [download] = await Promise.all([bob.waitForEvent('download'), link.click()]);
  assert.equal(hash(readFileSync(await download.path())), hash(readFileSync(files[0])));
  assert.equal(download.suggestedFilename(), '旅行 _b_.png');
  const response = await fetch(await link.evaluate((a) => a.href));
  assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
  assert.match(response.headers.get('content-disposition'), /^attachment;/);
  await response.body.cancel();

  await ann.getByRole('button', { name: 'Delete a.bin' }).click();
  await ann.getByRole('button', { name: 'Delete?' }).click();
  for (const page of [ann, bob]) await until(async () => await page.locator('.file').count() === 2, 'it has gone from the list');
  assert.equal(left('').length, 4, 'nothing of it is left');
});

test('a pause lasts over a reload; what was on its way goes on by itself, or when the file is chosen again', async (t) => {
  const { data, make, left } = folders(t);
  const server = await startServer('127.0.0.1:0', ['--data', data]);
  const valve = await startValve(t, server.url);
  const page = await openPage(t, `${valve.url}uploads/`);
  const [file, size] = [make('film.mp4', 8 * MiB), 8 * MiB];
  await page.locator('#none').waitFor();
  const reload = async () => {
    valve.cut(); // what waits in the valve is of the page that goes
    await page.reload();
  };
  valve.allow(2 * MiB);
  await choose(page, file);
  await onItsWay(page, 'film.mp4');
  await page.getByRole('button', { name: 'Pause film.mp4' }).click();
  await reaches(page, 'film.mp4', 'paused');
  const paused = await sent(page, 'film.mp4');
  assert.ok(paused < size);
  await reload();
  await reaches(page, 'film.mp4', 'paused');
  assert.ok(await sent(page, 'film.mp4') <= paused);
  valve.allow(2 * MiB);
  await page.getByRole('button', { name: 'Continue film.mp4' }).click();
  await onItsWay(page, 'film.mp4', paused);

  await reload(); // in the middle: it goes on by itself
  const before = statSync(left('.part')[0]).size;
  assert.ok(before > 0 && before < size);
  valve.allow(MiB);
  await reaches(page, 'film.mp4', 'sending');
  await until(async () => await sent(page, 'film.mp4') >= before, 'it goes on where it was');

  // As if it had been too large to be kept in the browser.
  await page.evaluate(() => new Promise((resolve) => {
    indexedDB.open('duplex-uploads').onsuccess = ({ target: { result: db } }) => {
      const store = db.transaction('unfinished', 'readwrite').objectStore('unfinished');
      store.getAll().onsuccess = ({ target }) => {
        for (const { blob, ...rest } of target.result) store.put(rest);
        store.transaction.oncomplete = resolve;
      };
    };
  }));
  await reload();
  await reaches(page, 'film.mp4', 'missing');
  assert.match(await transfer(page, 'film.mp4').innerText(), /choose it again to continue/);
  valve.allow(Infinity);
  await choose(page, file);
  await reaches(page, 'film.mp4', 'done');
  assert.deepEqual(left('.file').map((one) => hash(readFileSync(one))), [hash(readFileSync(file))]);
  assert.ok(valve.sent() < 1.7 * size, `${valve.sent()} bytes were sent for a file of ${size}`);
});

test('a lost connection and a server that is killed in the middle: it goes on by itself', async (t) => {
  const { data, make, left } = folders(t);
  const server = await startServer('127.0.0.1:0', ['--data', data]);
  const valve = await startValve(t, server.url);
  const page = await openPage(t, `${valve.url}uploads/`);
  const [file, size] = [make('film.mp4', 8 * MiB), 8 * MiB];
  await page.locator('#none').waitFor();
  valve.allow(2 * MiB);
  await choose(page, file);
  await onItsWay(page, 'film.mp4');
  valve.cut();
  const before = statSync(left('.part')[0]).size;
  assert.ok(before > 0 && before < size);
  valve.allow(3 * MiB);
  await onItsWay(page, 'film.mp4', before);
  assert.ok(await sent(page, 'film.mp4') < size);
  await server.kill();
  await reaches(page, 'film.mp4', 'offline');
  valve.allow(Infinity);
  await startServer(new URL(server.url).host, ['--data', data]);
  await reaches(page, 'film.mp4', 'done');
  assert.deepEqual(left('.file').map((one) => hash(readFileSync(one))), [hash(readFileSync(file))]);
  assert.ok(valve.sent() < 1.8 * size, `${valve.sent()} bytes were sent for a file of ${size}`);
});

test('cancelling leaves nothing; what is too large or a program is refused in words', async (t) => {
  const { data, make, left } = folders(t);
  const server = await startServer('127.0.0.1:0', ['--data', data]);
  const valve = await startValve(t, server.url);
  const ann = await openPage(t, `${valve.url}uploads/`);
  const bob = await openPage(t, `${server.url}uploads/`);
  for (const page of [ann, bob]) await page.locator('#none').waitFor();
  valve.allow(MiB);
  await choose(ann, make('a.bin', 3 * MiB));
  await onItsWay(ann, 'a.bin');
  await bob.locator('#others-list').getByText(/a\.bin from Guest \d+/).waitFor();
  assert.equal(left('.part').length, 1);
  await ann.getByRole('button', { name: 'Cancel a.bin' }).click();
  valve.allow(Infinity);
  await until(() => left('').length === 0, 'nothing is left');
  await transfer(ann, 'a.bin').waitFor({ state: 'detached' });
  await bob.locator('#others').waitFor({ state: 'hidden' });

  const huge = make('huge.iso', 0);
  truncateSync(huge, 2 ** 31 + 1); // it has a size, and no content
  const disguised = make('picture.png', 100);
  writeFileSync(disguised, Buffer.concat([Buffer.from('MZ'), randomBytes(1000)]));
  utimesSync(disguised, 1e9, 1e9);
  await choose(bob, huge, make('setup.exe', 10), disguised);
  for (const [name, words] of [['huge.iso', 'larger than allowed'], ['setup.exe', 'Programs are not taken'], ['picture.png', 'Programs are not taken']]) {
    await reaches(bob, name, 'failed');
    assert.match(await transfer(bob, name).innerText(), new RegExp(words));
  }
  await bob.click('#site-language');
  await transfer(bob, 'setup.exe').getByText('不接受程序').waitFor();
  assert.deepEqual(left(''), []);
  await bob.getByRole('button', { name: /setup\.exe/ }).click();
  await transfer(bob, 'setup.exe').waitFor({ state: 'detached' });
  await bob.reload();
  await bob.locator('#none').waitFor();
  assert.ok(await bob.locator('#mine').isHidden(), 'what was refused does not come back');
});
