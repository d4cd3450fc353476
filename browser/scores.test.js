import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { openPage, startServer, until } from './harness.js';

/** The numbers of the events of each match on the page, as they came. */
const told = (page) => page.evaluate(() => Object.fromEntries([...document.querySelectorAll('.match')]
  .map((match) => [match.dataset.topic, [...match.querySelectorAll('.event')].map((line) => Number(line.dataset.n)).reverse()])));

const wholeAndOnce = (numbers) => numbers.every((n, i) => n === i + 1);

const count = async (page) => Object.values(await told(page)).reduce((sum, numbers) => sum + numbers.length, 0);

test('whoever comes late, and whoever was away while the server was killed, sees every event in order and once', async (t) => {
  const data = mkdtempSync(path.join(tmpdir(), 'duplex-scores-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const first = await startServer('127.0.0.1:0', ['--data', data]);
  const early = await openPage(t, `${first.url}scores/`);
  await until(async () => await count(early) >= 4, 'matches are told');
  const late = await openPage(t, `${first.url}scores/`);
  await until(async () => await count(late) >= await count(early), 'the late one has seen as much');

  const before = await count(early);
  await first.kill();
  for (const page of [early, late]) await page.locator('#state[data-state="waiting"]').waitFor();
  await startServer(new URL(first.url).host, ['--data', data]);
  for (const page of [early, late]) await page.locator('#state[data-state="open"]').waitFor();
  await until(async () => await count(early) > before, 'the matches go on');
  for (const page of [early, late]) {
    for (const [topic, numbers] of Object.entries(await told(page))) {
      assert.ok(wholeAndOnce(numbers), `${topic}: ${numbers}`);
    }
  }
  assert.ok(await early.locator('#gap').isHidden(), 'nothing was lost');
  // What a person sees of a match: two teams, a score and a status.
  assert.match(await early.locator('.match').first().innerText(), /^(Live|Half-time|Full-time)\s+\d+'\s+\S.*\s+\d+ : \d+\s+\S/);
});

test('a server that has forgotten everything says so, and the page begins anew', async (t) => {
  const server = await startServer();
  const page = await openPage(t, `${server.url}scores/`);
  await until(async () => await count(page) >= 2, 'matches are told');
  await server.kill();
  await startServer(new URL(server.url).host);
  await page.locator('#gap').getByText('forgotten earlier matches').waitFor();
  await until(async () => await count(page) > 0, 'matches are told again');
  for (const [topic, numbers] of Object.entries(await told(page))) assert.ok(wholeAndOnce(numbers), `${topic}: ${numbers}`);
  await page.click('#site-language');
  await page.locator('#gap').getByText('服务器已忘记早先的比赛').waitFor();
});
