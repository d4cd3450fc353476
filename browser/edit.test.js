import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import WebSocket from 'ws';
import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { openPage, startServer, until } from './harness.js';

const { url } = await startServer();

/** Opens a document in a window, as somebody. */
async function write(t, base, name, who, options) {
  const page = await openPage(t, `${base}edit/#${name}`, {
    ...options, storageState: { cookies: [], origins: [{ origin: new URL(base).origin, localStorage: [{ name: 'duplex.name', value: who }] }] },
  });
  await saved(page);
  return page;
}

const saved = (page) => page.locator('#saved[data-saved="saved"]').waitFor();

/** Comes back to a server that has been started again, without waiting for the next attempt. */
async function comeBack(page) {
  await page.evaluate(() => document.querySelector('#banner:not([hidden]) #banner-action')?.click());
  await page.locator('#state[data-state="open"]').waitFor();
  await saved(page);
}

/** What stands in the editor. */
const text = (page) => page.locator('.cm-content').evaluate((content) => [...content.querySelectorAll('.cm-line')].map((line) => {
  const copy = line.cloneNode(true);
  for (const widget of copy.querySelectorAll('.caret, .cm-placeholder')) widget.remove();
  return copy.textContent;
}).join('\n'));

const reads = (page, wanted, what) => until(async () => (await text(page)) === wanted, what ?? `the editor reads ${JSON.stringify(wanted)}`);

/** Types at the end of the text. */
async function type(page, words) {
  await page.locator('.cm-content').focus();
  await page.keyboard.press('Control+End');
  await page.keyboard.type(words);
}

/** A program that uses the library everybody uses, without any of ours. */
function program(t, base, name) {
  const doc = new Y.Doc();
  const provider = new WebsocketProvider(`${base.replace(/^http/, 'ws')}edit/yjs`, name, doc, { WebSocketPolyfill: WebSocket, disableBc: true });
  t.after(() => {
    provider.destroy();
    doc.destroy();
  });
  return { doc, provider, text: doc.getText('text'), synced: () => until(() => provider.synced, 'the program is in step') };
}

test('two people write at the same time, see each other, and undo only what is their own', async (t) => {
  const ann = await write(t, url, 'together', 'Ann');
  const bob = await write(t, url, 'together', '小伟');
  await Promise.all([type(ann, 'Ann writes this. '), type(bob, 'Bob that. ')]);
  await until(async () => (await text(ann)) === (await text(bob)) && (await text(ann)).length === 'Ann writes this. Bob that. '.length, 'both have the same');
  await type(ann, '!');
  const label = bob.locator('.caret-name');
  await label.waitFor();
  assert.equal(await label.textContent(), 'Ann');
  assert.ok(await label.isVisible());
  assert.deepEqual((await bob.locator('#people .grow').allTextContents()).sort(), ['Ann', '小伟']);
  await bob.click('#undo');
  await until(async () => !(await text(ann)).includes('that') && (await text(ann)).includes('this'), 'only what Bob wrote is undone');
  await until(async () => await bob.locator('#words').textContent() === '3', 'three words are counted');
  await ann.close();
  await until(async () => await bob.locator('#people li').count() === 1, 'Ann has left');
});

test('what two people write offline is merged, and survives a reload before that', async (t) => {
  const ann = await write(t, url, 'apart', 'Ann');
  const bob = await write(t, url, 'apart', 'Bob');
  await type(ann, 'one\nthree');
  await reads(bob, 'one\nthree');
  await saved(ann);
  for (const page of [ann, bob]) await page.click('#offline');
  await type(ann, '\nfour');
  await bob.locator('.cm-content').focus();
  await bob.keyboard.press('Control+Home');
  await bob.keyboard.type('zero\n');
  assert.equal(await text(bob), 'zero\none\nthree');
  assert.equal(await text(ann), 'one\nthree\nfour');
  await ann.click('#offline');
  await saved(ann);
  await bob.reload(); // online again, with what the browser has kept
  for (const page of [ann, bob]) await reads(page, 'zero\none\nthree\nfour');
});

test('a document survives the server, and the log is compacted', async (t) => {
  const data = mkdtempSync(path.join(tmpdir(), 'duplex-edit-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const first = await startServer('127.0.0.1:0', ['--data', data]);
  const ann = await write(t, first.url, 'kept', 'Ann');
  await type(ann, 'from the page, ');
  await saved(ann);
  const robot = program(t, first.url, 'kept');
  await robot.synced();
  for (let i = 0; i < 120; i++) robot.text.insert(robot.text.length, `${i} `);
  await ann.locator('#compacted').getByText('The log was compacted').waitFor();
  assert.match(await ann.locator('#snapshot').textContent(), /^[\d.,]+ kB$/);
  await reads(ann, robot.text.toString());
  assert.ok(Number(await ann.locator('#log').textContent()) < 100);
  await first.kill();
  await ann.locator('#saved[data-saved="waiting"]').waitFor();
  await type(ann, 'written meanwhile');
  const whole = robot.text.toString() + 'written meanwhile';
  robot.provider.disconnect();
  await startServer(new URL(first.url).host, ['--data', data]);
  await comeBack(ann);
  const bob = await write(t, first.url, 'kept', 'Bob');
  await reads(bob, whole);
});

test('a server that has forgotten everything gets the document back from whoever has it', async (t) => {
  const first = await startServer();
  const ann = await write(t, first.url, 'mine', 'Ann');
  await type(ann, 'remember me');
  await saved(ann);
  await first.kill();
  await startServer(new URL(first.url).host);
  await comeBack(ann);
  await reads(await write(t, first.url, 'mine', 'Bob'), 'remember me');
});

test('clients of y-websocket edit the same document', async (t) => {
  const ann = await write(t, url, 'mixed', 'Ann');
  const [one, two] = [program(t, url, 'mixed'), program(t, url, 'mixed')];
  await Promise.all([one.synced(), two.synced()]);
  await type(ann, 'page ');
  await until(() => one.text.toString() === 'page ', 'the program sees what the page writes');
  one.text.insert(5, 'program 🎉');
  await reads(ann, 'page program 🎉');
  await until(() => two.text.toString() === 'page program 🎉', 'so does the other program');
  two.text.delete(0, 5);
  await reads(ann, 'program 🎉');
  // They see each other's cursors, too.
  one.provider.awareness.setLocalState({
    user: { name: 'Robot', color: '#ff0000' }, cursor: { anchor: Y.createRelativePositionFromTypeIndex(one.text, 3), head: Y.createRelativePositionFromTypeIndex(one.text, 7) },
  });
  await ann.locator('.caret-name').getByText('Robot').waitFor();
  await until(() => [...one.provider.awareness.getStates().values()].some(({ user }) => user?.name === 'Ann'), 'the program knows of Ann');
  one.provider.destroy();
  await ann.locator('.caret-name').waitFor({ state: 'detached' });
  // Away for a while: what both have written meanwhile comes together.
  two.provider.disconnect();
  two.text.insert(0, 'two ');
  await type(ann, '.');
  two.provider.connect();
  await reads(ann, 'two program 🎉.');
  await until(() => two.text.toString() === 'two program 🎉.', 'the program has both');
});

test('what is wrong is refused in words, and nothing else is disturbed', async (t) => {
  const ann = await write(t, url, 'limits', 'Ann');
  await type(ann, 'good');
  await saved(ann);
  await ann.fill('#create-name', '<b>/x');
  await ann.click('.create button');
  await ann.locator('#create-error').getByText('A name has 1 to 40 characters').waitFor();
  await ann.evaluate(() => document.querySelector('#editor').shadowRoot.querySelector('.cm-content').focus());
  await ann.evaluate((much) => {
    const data = new DataTransfer();
    data.setData('text/plain', much);
    document.querySelector('#editor').shadowRoot.querySelector('.cm-content').dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
  }, `${'x'.repeat(99)}\n`.repeat(6000));
  await ann.locator('#saved[data-saved="refused"]').waitFor();
  await ann.locator('#problem').getByText('half a megabyte').waitFor();
  const bob = await write(t, url, 'limits', 'Bob');
  await reads(bob, 'good');
  await ann.click('#undo');
  await saved(ann);
  assert.ok(await ann.locator('#problem').isHidden());
  // A name that is markup is text, and what is no plain text is not made a mess of.
  const robot = program(t, url, 'limits');
  await robot.synced();
  robot.doc.getText('text').insertEmbed(0, { image: 'x.png' });
  await ann.locator('#problem').getByText('no plain text').waitFor();
  assert.equal(await ann.locator('.cm-content').getAttribute('contenteditable'), 'false');
});
