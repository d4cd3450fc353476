// The bundles in a real Chromium, with the real server behind them.

import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { Client, type Position } from '../src/duplex-client.js';
import { Duplex, file, topics } from './duplex.js';
import { Site } from './site.js';
import { until } from './toy.js';

let browser: Browser;
let duplex: Duplex;
let site: Site;
let context: BrowserContext;
let publisher: Client;
const faults: string[] = [];
let topic = '';
let tests = 0;

/** What the test page offers. */
declare const window: {
  start(topic: string, options?: object): Promise<Position>;
  client: Client;
  sub: { position: Position; state: string };
  data: unknown[];
  gaps: unknown[];
  states: string[];
  ready: boolean;
};

beforeAll(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // Playwright turns the back/forward cache off; it is one of the things to be tested.
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
    args: [
      '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--enable-features=BackForwardCache',
      '--disable-features=BackForwardCacheMemoryControls',
    ],
  });
});
beforeAll(async () => { duplex = await Duplex.start('--config', file('browser.yaml', topics)); });
afterAll(async () => {
  await browser?.close();
  await duplex?.stop();
});

beforeEach(async () => {
  topic = `news.${++tests}`;
  site = await Site.start(duplex.url);
  context = await browser.newContext();
  publisher = new Client(duplex.url, { WebSocket });
});

afterEach(async () => {
  publisher.close();
  await context.close();
  await site.stop();
  expect(faults.splice(0), 'the page reported faults').toEqual([]);
});

async function open(options?: object): Promise<Page> {
  const page = await context.newPage();
  page.on('pageerror', (error) => faults.push(String(error)));
  await page.goto(site.url);
  await page.waitForFunction(() => window.ready);
  if (options) await page.evaluate(([topic, options]) => window.start(topic as string, options as object), [topic, options]);
  return page;
}

const publish = (...values: unknown[]) => Promise.all(values.map((value) => publisher.publish(topic, value)));
const has = (page: Page, count: number) => page.waitForFunction((count) => window.data.length >= count, count);
const data = (page: Page) => page.evaluate(() => window.data);

test('a page that is loaded again goes on at the position that it has kept', async () => {
  const page = await open({});
  await publish(1, 2);
  await has(page, 2);
  await page.evaluate(() => sessionStorage.setItem('position', JSON.stringify(window.sub.position)));
  await page.goto('about:blank');
  await publish(3, 4);
  await page.goto(site.url);
  await page.waitForFunction(() => window.ready);
  await page.evaluate((topic) => window.start(topic, { subscribe: { since: JSON.parse(sessionStorage.getItem('position')!) } }), topic);
  await publish(5);
  await has(page, 3);
  expect(await data(page)).toEqual([3, 4, 5]);
});

test('a page that goes offline notices, keeps what is published, and comes back with the network', async () => {
  const page = await open({ pongTimeout: 400, backoff: { base: 600_000, max: 600_000 }, connectTimeout: 600_000 });
  await publish(1);
  await has(page, 1);
  site.freeze();
  await context.setOffline(true);
  await page.waitForFunction(() => window.states.at(-1) === 'waiting');
  const published = page.evaluate((topic) => window.client.publish(topic, 'mine'), topic);
  await publish(2);
  site.thaw();
  await context.setOffline(false);
  expect(await published).toMatchObject({ messageId: expect.any(String) });
  await has(page, 3);
  expect(await data(page)).toEqual([1, 2, 'mine']);
});

test.each([false, true])('a page comes back from the back/forward cache, and misses nothing (shared: %s)', async (shared) => {
  const page = await open({ shared });
  await publish(1);
  await has(page, 1);
  // Playwright cannot speak with a page that was restored, so the page itself tells what it has.
  await page.evaluate(() => {
    const { data, gaps, states } = window;
    addEventListener('pageshow', ({ persisted }) => {
      const wait = () => (data.length < 3 ? setTimeout(wait, 10)
        : fetch('/', { method: 'POST', body: JSON.stringify({ persisted, data, gaps, states }) }));
      wait();
    });
  });
  await page.goto(`${site.url}/elsewhere`);
  await until(() => site.open === 0);
  await publish(2);
  page.evaluate(() => history.back()).catch(() => {}); // it may not live to answer
  await until(() => site.open === 1);
  await publish(3);
  await until(() => site.reports.length);
  expect(site.reports).toEqual([{ persisted: true, data: [1, 2, 3], gaps: [], states: ['open', 'asleep', 'connecting', 'open'] }]);
});

test('a page that freezes closes its connection, and resumes', async () => {
  const page = await open({});
  // Chromium freezes only pages that have been hidden for minutes; the events are those that it sends then.
  await page.evaluate(() => document.dispatchEvent(new Event('freeze')));
  await until(() => site.open === 0);
  await publish(1);
  await page.evaluate(() => document.dispatchEvent(new Event('resume')));
  await has(page, 1);
  expect(await data(page)).toEqual([1]);
});

describe('tabs that share', () => {
  const shared = { shared: true };

  test('have one connection', async () => {
    const tabs = [await open(shared), await open(shared), await open(shared)];
    await publish(1);
    await tabs[1]!.evaluate((topic) => window.client.publish(topic, 2), topic);
    await tabs[2]!.evaluate((topic) => window.client.publish(topic, new Uint8Array([3])), topic);
    for (const tab of tabs) {
      await has(tab, 3);
      expect(await tab.evaluate(() => window.data.map((one) => (one instanceof Uint8Array ? [...one] : one)))).toEqual([1, 2, [3]]);
    }
    expect(site.connections).toBe(1);
    expect(await tabs[2]!.evaluate(async (topic) => (await window.client.history(topic, { limit: 3 })).messages[0]!.data, topic)).toBe(1);
    await Promise.all(tabs.slice(0, 2).map((tab) => tab.close()));
    await tabs[2]!.evaluate((topic) => window.client.publish(topic, 4), topic);
    await has(tabs[2]!, 4);
  });

  test('come later and get the last messages, and nobody sees the user go', async () => {
    topic = `room.${tests}`;
    const seen: string[] = [];
    await publisher.subscribe(topic, { onJoin: ({ user }) => seen.push(`+${user}`), onLeave: ({ user }) => seen.push(`-${user}`) }).ready;
    const first = await open({ ...shared, subscribe: { presence: true } });
    await publish(1, 2, 3);
    await has(first, 3);
    const second = await open({ ...shared, subscribe: { presence: true, last: 2 } });
    const { epoch, offset } = await first.evaluate(() => window.sub.position);
    const third = await open({ ...shared, subscribe: { presence: true, since: { epoch, offset: offset - 2 } } });
    await publish(4);
    for (const [tab, expected] of [[first, [1, 2, 3, 4]], [second, [2, 3, 4]], [third, [2, 3, 4]]] as const) {
      await has(tab, expected.length);
      expect(await data(tab)).toEqual(expected);
    }
    const { count } = await publisher.presence(topic);
    expect([count, seen.filter((one) => one !== `+${publisher.session!.user}`).map((one) => one[0])]).toEqual([2, ['+']]);
    expect(site.connections).toBe(1);
  });

  test('go on when the one that holds the connection is closed; nothing is lost or doubled', async () => {
    const [first, second, third] = [await open(shared), await open(shared), await open(shared)];
    const total = 300;
    let published = 0;
    const stream = (async () => {
      while (published < total) await publish(++published);
    })();
    // What the tabs themselves publish meanwhile goes through as well.
    const own = second.evaluate(async (topic) => {
      for (let i = 1; i <= 50; i++) await window.client.publish(topic, `own ${i}`);
    }, topic);
    await until(() => published > 50);
    await first.close();
    await until(() => site.connections === 2);
    await Promise.all([stream, own]);
    for (const tab of [second, third]) {
      await has(tab, total + 50);
      const all = await data(tab);
      expect(all.filter((one) => typeof one === 'number')).toEqual(Array.from({ length: total }, (_, i) => i + 1));
      expect(all.filter((one) => typeof one === 'string')).toEqual(Array.from({ length: 50 }, (_, i) => `own ${i + 1}`));
      expect(await tab.evaluate(() => window.gaps)).toEqual([]);
    }
    expect(site.open).toBe(1);
  });

  test('come back together when the connection is lost', async () => {
    const tabs = [await open(shared), await open(shared)];
    site.cut();
    await publish(1);
    for (const tab of tabs) {
      await has(tab, 1);
      expect(await data(tab)).toEqual([1]);
    }
    expect(site.open).toBe(1);
  });

  test('survive a crash of the one that holds the connection', async () => {
    const [first, second] = [await open(shared), await open(shared)];
    await publish(1);
    await has(second, 1);
    first.goto('chrome://crash').catch(() => {});
    await until(() => site.connections === 2);
    await publish(2);
    await has(second, 2);
    expect(await data(second)).toEqual([1, 2]);
  });
});
