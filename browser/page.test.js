import assert from 'node:assert/strict';
import test from 'node:test';
import { openPage, startServer } from './harness.js';
import { png } from './picture.js';
import { enter, inRoom, say, sees, texts } from './talk.js';

const { url } = await startServer();

const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

for (const width of [320, 390]) {
  test(`nothing scrolls sideways on a phone of ${width} pixels`, async (t) => {
    const page = await openPage(t, `${url}chat/`, { viewport: { width, height: 700 }, isMobile: true, hasTouch: true });
    assert.ok((await overflow(page)) <= 0, 'coming in');
    await page.fill('#entry-name', 'W'.repeat(24));
    await page.fill('#entry-room', `phone-${width}-${'w'.repeat(20)}`);
    await page.click('#entry-submit');
    await inRoom(page);
    await say(page, `https://example.com/${'x'.repeat(300)}`);
    await say(page, 'W'.repeat(300));
    await page.setInputFiles('#file', { name: 'wide.png', mimeType: 'image/png', buffer: png(10, 3000, 300) });
    await page.locator('#previews li').waitFor();
    assert.ok((await overflow(page)) <= 0, 'with a preview');
    await page.click('#send');
    await page.locator('#log .picture img').waitFor();
    await page.click('#emoji-button');
    assert.ok((await overflow(page)) <= 0, 'with emoji');
    const inside = await page.evaluate(() => [...document.querySelectorAll('#chat *')]
      .filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.sr, .meta')).map((e) => e.outerHTML.slice(0, 80)));
    assert.deepEqual(inside, [], 'everything is within the screen');
    await page.click('#emoji-button');
    await page.click('#open-side');
    await page.locator('#people').getByText('WWW').waitFor();
    assert.ok((await overflow(page)) <= 0, 'with the rooms');
    assert.equal(await page.locator('#open-side').getAttribute('aria-expanded'), 'true');
    await page.keyboard.press('Escape');
    await page.locator('#side').waitFor({ state: 'hidden' });
  });
}

test('the keyboard is enough', async (t) => {
  const page = await openPage(t, `${url}chat/`);
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.getAttribute('aria-label') || document.activeElement.textContent);
  await page.keyboard.press('Tab'); // past the header, to the page
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'entry-name');
  await page.keyboard.type('Kay');
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'entry-room');
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.type('keys');
  await page.keyboard.press('Enter');
  await inRoom(page);
  assert.equal(await focused(), 'text');
  await page.keyboard.type('first line');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('second line');
  await page.keyboard.press('Enter');
  await sees(page, 'first line second line');
  assert.deepEqual(await texts(page), ['first line\nsecond line']);
  assert.equal(await focused(), 'text');

  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Shift+Tab');
  assert.equal(await focused(), 'emoji-button');
  await page.keyboard.press('Enter');
  await page.keyboard.press('ArrowRight');
  assert.equal(await focused(), '😂');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Escape');
  assert.equal(await focused(), 'text');
  await page.keyboard.press('Enter');
  await sees(page, '😂');
});

test('everything has a name for a screen reader, and news are announced', async (t) => {
  const page = await enter(t, url, 'Ann', { room: 'reader' });
  await page.setInputFiles('#file', { name: 'p.png', mimeType: 'image/png', buffer: png(10) });
  const nameless = await page.evaluate(() => [...document.querySelectorAll('button, input, textarea, a, [role]')]
    .filter((e) => e.checkVisibility() && !e.getAttribute('aria-label') && !e.textContent.trim() && !e.labels?.length).map((e) => e.outerHTML.slice(0, 80)));
  assert.deepEqual(nameless, []);
  assert.equal(await page.locator('#log').getAttribute('role'), 'log');
  assert.equal(await page.locator('#log').getAttribute('aria-live'), 'polite');
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.getByRole('button', { name: 'Enlarge the picture from Ann' }).waitFor();
});

test('Chinese at the press of a button, remembered', async (t) => {
  const page = await enter(t, url, 'Ann', { room: 'language' });
  const bob = await enter(t, url, 'Bob', { room: 'language' });
  await page.getByText('Bob has joined').waitFor();
  await page.getByRole('button', { name: '中文' }).click();
  assert.equal(await page.getAttribute('html', 'lang'), 'zh-CN');
  await page.getByText('Bob 进入了房间').waitFor();
  assert.equal(await page.locator('#state').textContent(), '已连接');
  assert.equal(await page.getAttribute('#text', 'placeholder'), '输入消息');
  assert.equal(await page.locator('#room-count').textContent(), '2 人在线');
  await page.reload();
  await page.getByText('已连接').waitFor();
  assert.equal(await bob.locator('#state').textContent(), 'Connected');
});

test('a Chinese browser gets Chinese', async (t) => {
  const page = await openPage(t, `${url}chat/`, { locale: 'zh-CN' });
  await page.getByRole('heading', { name: '进入聊天室' }).waitFor();
});

test('light and dark have enough contrast', async (t) => {
  for (const colorScheme of ['light', 'dark']) {
    const page = await enter(t, url, 'Ann', { room: `contrast-${colorScheme}`, colorScheme });
    await say(page, 'own');
    await sees(page, 'own');
    const low = await page.evaluate(() => {
      const channel = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
      const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true }); // understands every way to write a colour
      const luminance = (color) => {
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => channel(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const background = (e) => {
        const color = getComputedStyle(e).backgroundColor;
        return /, 0\)$/.test(color) && e.parentElement ? background(e.parentElement) : color;
      };
      const ratio = (e) => {
        const [a, b] = [luminance(getComputedStyle(e).color), luminance(background(e))].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05);
      };
      return ['#state-text', '#room-count', '#room-title', '.own .bubble', '.meta time', '.side h3', '#rooms a', '#rooms a[aria-current]', '#send', '.quiet', '.avatar', '.count']
        .map((selector) => [selector, ratio(document.querySelector(selector)).toFixed(2)]).filter(([, value]) => value < 4.5);
    });
    assert.deepEqual(low, [], colorScheme);
  }
});
