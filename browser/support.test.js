import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { openPage, startServer, until } from './harness.js';

const server = await startServer();

/** Somebody with a name, at the shop or at the desk. */
async function come(t, name, side = '', { url } = server) {
  const page = await openPage(t, 'about:blank');
  await page.addInitScript((chosen) => location.protocol === 'http:' && localStorage.setItem('duplex.name', chosen), name);
  await page.goto(`${url}support/${side}`);
  await page.locator('#state[data-state="open"]').waitFor();
  return page;
}

async function ask(page, text) {
  if (await page.locator('#widget').isHidden()) await page.click('#launcher');
  await page.fill('#widget-text', text);
  await page.press('#widget-text', 'Enter');
  await page.locator('#widget-log .bubble').getByText(text, { exact: true }).waitFor();
}

async function answer(page, text) {
  await page.fill('#talk-text', text);
  await page.press('#talk-text', 'Enter');
  await page.locator('#talk-log .bubble').getByText(text, { exact: true }).waitFor();
}

const choose = (page, name) => page.locator('.item').filter({ hasText: name }).click();
/** Does not wait for the next attempt to connect. */
const comeBack = (...pages) => Promise.all(pages.map((page) => page.locator('#banner-action').click({ timeout: 1000 })
  .catch(() => {}))); // by itself, perhaps

const said = (page, at) => page.locator(`#${at}-log .bubble`).allTextContents();
const sees = (page, at, text) => page.locator(`#${at}-log`).getByText(text).first().waitFor();

test('a visitor asks, one agent takes it, hands it over, and the transcript has it all', async (t) => {
  const vera = await come(t, 'Vera');
  await vera.click('#launcher');
  await vera.locator('#widget-note').getByText('Nobody is at the desk at the moment').waitFor();
  await ask(vera, 'Is the lantern <b>waterproof</b>?');
  const [ann, bob] = [await come(t, 'Ann', '?desk'), await come(t, 'Bob', '?desk')];
  await vera.locator('#widget-status').getByText('You are in the queue').waitFor();
  for (const agent of [ann, bob]) {
    await choose(agent, 'Vera');
    assert.match(await agent.locator('.queue .wait').textContent(), /^\d+:\d\d$/);
    await agent.locator('#talk-take').waitFor();
  }
  // Both take it at once: exactly one has it, and the other one is told who.
  await Promise.all([ann, bob].map((agent) => agent.evaluate(() => document.getElementById('talk-take').click())));
  await until(async () => await ann.locator('.mine').isVisible() !== await bob.locator('.mine').isVisible(), 'one of them has it');
  const [first, second] = await ann.locator('.mine').isVisible() ? [[ann, 'Ann'], [bob, 'Bob']] : [[bob, 'Bob'], [ann, 'Ann']];
  await second[0].locator('#toast').getByText(/was faster/).waitFor();
  await second[0].locator('#talk-status').getByText(`${first[1]} has this conversation`).waitFor();
  await second[0].locator('#talk-take').waitFor({ state: 'hidden' });
  await vera.locator('#widget-status').getByText(`${first[1]} is with you`).waitFor();
  await vera.locator('#widget-log .seen').waitFor();

  // A ready answer, by the slash; and each side sees the other one type.
  await first[0].fill('#talk-text', '/gre');
  await first[0].press('#talk-text', 'Enter');
  await first[0].locator('#talk-text').press('End');
  await vera.locator('#widget-typing').getByText(`${first[1]} is typing…`).waitFor();
  await first[0].press('#talk-text', 'Enter');
  await sees(vera, 'widget', 'Hello Vera, thank you for your message.');
  await first[0].click('#talk-hand-open');
  await first[0].locator('#talk-hand button').getByText(`To ${second[1]}`).click();
  await second[0].locator('#toast').getByText(`${first[1]} has handed Vera over to you.`).waitFor();
  await answer(second[0], 'It is not.');
  await sees(vera, 'widget', 'It is not.');
  await second[0].click('#talk-end');
  await vera.locator('#widget-note').getByText('The conversation is over').waitFor();
  assert.equal(await vera.locator('#widget-form').isVisible(), false);
  const greeting = 'Hello Vera, thank you for your message. How can I help?';
  assert.deepEqual(await said(vera, 'widget'), ['Is the lantern <b>waterproof</b>?', greeting, 'It is not.']);
  assert.deepEqual(await said(vera, 'widget'), await said(second[0], 'talk'));

  const [file] = await Promise.all([vera.waitForEvent('download'), vera.click('#widget-save')]);
  const lines = (await readFile(await file.path(), 'utf8')).trim().split('\n').map((line) => line.replace(/^\[[^\]]*\] /, ''));
  assert.match(file.suggestedFilename(), /^\d{4}-\d\d-\d\d Vera\.txt$/);
  assert.match(lines[0], /^Conversation with Vera, /);
  assert.match(lines[2], /^\* Vera began the conversation/);
  assert.deepEqual(lines.slice(3), [
    'Vera: Is the lantern <b>waterproof</b>?', `* ${first[1]} has taken the conversation`, `${first[1]}: ${greeting}`,
    `* ${first[1]} has handed over to ${second[1]}`, `${second[1]}: It is not.`, `* ${second[1]} has ended the conversation`,
  ]);
  await vera.click('#widget-new');
  await ask(vera, 'One more thing');
  assert.deepEqual(await said(vera, 'widget'), ['One more thing']);
});

test('each side sees the other one go and come back, and what is unread', async (t) => {
  const [wim, zoe, ann, bob] = await Promise.all([come(t, 'Wim'), come(t, 'Zoe'), come(t, 'Ann', '?desk'), come(t, 'Bob', '?desk')]);
  for (const [visitor, agent, name] of [[wim, ann, 'Wim'], [zoe, bob, 'Zoe']]) {
    await ask(visitor, 'Hello?');
    await choose(agent, name);
    await agent.click('#talk-take');
    await agent.locator('#talk-status').getByText('Is on the page').waitFor();
  }
  await wim.click('#widget-close');
  await answer(ann, 'one');
  await answer(ann, 'two');
  await wim.locator('#launcher-unread').getByText('2').waitFor();
  assert.equal(await ann.locator('#talk-log .seen').count(), 0);
  await wim.click('#launcher');
  await ann.locator('#talk-log .seen').waitFor();

  // A visitor goes, and elsewhere an agent does.
  await Promise.all([wim, bob].map((page) => page.goto('about:blank')));
  await ann.locator('#talk-status').getByText('Has left the page').waitFor();
  await sees(ann, 'talk', 'Wim left at');
  await sees(zoe, 'widget', 'Bob left at');
  await zoe.locator('#widget-status').getByText('Bob is away').waitFor();
  await wim.goBack();
  await sees(ann, 'talk', 'Wim came back at');
  assert.equal(await wim.locator('#widget').isVisible(), true, 'the widget is open again after a reload');
  await sees(wim, 'widget', 'two');
  assert.deepEqual(await said(wim, 'widget'), ['Hello?', 'one', 'two']);
  await choose(ann, 'Zoe');
  await ann.click('#talk-take');
  await sees(zoe, 'widget', 'Ann has taken over from Bob');
  await zoe.locator('#widget-status').getByText('Ann is with you').waitFor();

  // What the page has followed is what the server knows.
  const lists = () => ann.locator('.mine .item, .others .item, .over .item').allInnerTexts();
  const followed = await lists();
  await ann.reload();
  await until(async () => JSON.stringify(await lists()) === JSON.stringify(followed), `the lists are ${followed} after a reload, too`);
});

test('the server is killed and started again under everybody', async (t) => {
  const data = mkdtempSync(path.join(tmpdir(), 'duplex-support-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const before = await startServer('127.0.0.1:0', ['--data', data]);
  const [vera, ann] = [await come(t, 'Vera', '', before), await come(t, 'Ann', '?desk', before)];
  await ask(vera, 'before');
  await choose(ann, 'Vera');
  await ann.click('#talk-take');
  await answer(ann, 'with you');
  await before.kill();
  for (const page of [vera, ann]) await page.locator('#state[data-state="waiting"]').waitFor();
  await vera.fill('#widget-text', 'meanwhile');
  await vera.press('#widget-text', 'Enter');
  await vera.locator('#widget-pending').getByText('On its way…').waitFor();
  await startServer(new URL(before.url).host, ['--data', data]);
  await comeBack(vera, ann);
  await sees(ann, 'talk', 'meanwhile');
  await answer(ann, 'after');
  await sees(vera, 'widget', 'after');
  // In another window of the same browser, as after it was closed: the id is what counts.
  const again = await vera.context().newPage();
  await again.goto(`${before.url}support/`);
  await again.click('#launcher');
  await again.locator('#widget-log .bubble').nth(3).waitFor();
  await ask(again, 'from the other window');
  await sees(ann, 'talk', 'from the other window');
  for (const [page, at] of [[vera, 'widget'], [again, 'widget'], [ann, 'talk']]) {
    assert.deepEqual(await said(page, at), ['before', 'with you', 'meanwhile', 'after', 'from the other window']);
  }
});

test('a server that has forgotten the conversation says so, and another one begins', async (t) => {
  const before = await startServer();
  const vera = await come(t, 'Vera', '', before);
  await ask(vera, 'before');
  await before.kill();
  await vera.locator('#state[data-state="waiting"]').waitFor();
  await startServer(new URL(before.url).host);
  await comeBack(vera);
  await vera.locator('#widget-note').getByText('The server has forgotten this conversation').waitFor();
  assert.deepEqual(await said(vera, 'widget'), ['before']);
  await ask(vera, 'after');
  await ask(vera, 'and more');
  const ann = await come(t, 'Ann', '?desk', before);
  await choose(ann, 'Vera');
  await sees(ann, 'talk', 'and more');
  assert.deepEqual(await said(ann, 'talk'), ['after', 'and more']);
});

test('what is not allowed is refused in words, and others are not disturbed', async (t) => {
  const [mia, ann] = [await come(t, 'Mia'), await come(t, 'Ann', '?desk')];
  await ask(mia, 'x'.repeat(2000));
  await mia.evaluate(() => { document.getElementById('widget-text').maxLength = 5000; });
  await mia.fill('#widget-text', '界'.repeat(2001));
  await mia.press('#widget-text', 'Enter');
  await mia.locator('#widget-pending .error').getByText('A message has 1 to 2,000 characters').waitFor();
  await mia.locator('#widget-pending').getByText('Discard').click();
  assert.equal(await mia.locator('#widget-pending li').count(), 0);
  await choose(ann, 'Mia');
  await sees(ann, 'talk', 'xxx');
  assert.equal((await said(ann, 'talk')).length, 1);
});
