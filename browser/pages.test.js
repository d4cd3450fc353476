// What holds for every page of the showcase, whatever it is about.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { openPage, startServer, until } from './harness.js';

const source = path.resolve(import.meta.dirname, '../web/src');
const firstLoad = 300 * 1024; // bytes of a page with all that it loads, as they go over the wire

const pages = readdirSync(source)
  .filter((name) => existsSync(path.join(source, name, 'page.json')))
  .map((id) => ({ ...JSON.parse(readFileSync(path.join(source, id, 'page.json'), 'utf8')), id }));
const { url } = await startServer();
const address = ({ id }) => (id === 'home' ? url : `${url}${id}/`);

/** What of the page is wrong in the language, the colours and the size that it has now. */
const faults = (page) => page.evaluate(() => {
  const found = [];
  const visible = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && element.getBoundingClientRect().width > 1;
  const name = (element) => (element.getAttribute('aria-label') || element.title || element.innerText || element.labels?.[0]?.innerText
    || element.placeholder || element.querySelector('[aria-label], img[alt]:not([alt=""])')?.ariaLabel || '').trim();
  for (const element of document.querySelectorAll('[data-i18n], [data-i18n-label], [data-i18n-placeholder]')) {
    const { i18n, i18nLabel, i18nPlaceholder } = element.dataset;
    if (i18n && element.textContent === i18n) found.push(`no text ${i18n}`);
    if (i18nLabel && element.getAttribute('aria-label') === i18nLabel) found.push(`no label ${i18nLabel}`);
    if (i18nPlaceholder && element.placeholder === i18nPlaceholder) found.push(`no placeholder ${i18nPlaceholder}`);
  }
  for (const element of document.querySelectorAll('a[href], button, input:not([type="hidden"]), select, textarea')) {
    if (visible(element) && !name(element)) found.push(`nothing says what this is: ${element.outerHTML.slice(0, 120)}`);
  }
  const wide = document.scrollingElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 1) found.push(`the page scrolls sideways by ${wide} px`);
  found.push(...contrasts());
  return found;

  /** Text that stands out too little from what is behind it (WCAG 2.2 asks for 4.5, and for 3 where it is large). */
  function contrasts() {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const rgba = (color) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (rgb) => rgb.slice(0, 3).map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
      .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => {
      for (let e = element; e; e = e.parentElement) {
        const style = getComputedStyle(e);
        if (style.backgroundImage !== 'none' || style.position === 'absolute' && e.parentElement?.querySelector('canvas, video, img')) return undefined; // a picture
        const color = rgba(style.backgroundColor);
        if (color[3] > 250) return color;
        if (color[3] > 0) return undefined; // partly transparent
      }
      return rgba('canvas');
    };
    const low = [];
    for (const element of document.querySelectorAll('body *')) {
      const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
      if (!own || !visible(element) || element.closest('[disabled], [aria-hidden="true"], canvas, svg, noscript')) continue;
      const style = getComputedStyle(element);
      const ground = behind(element);
      if (!ground || Number(style.opacity) < 1 || element.getAnimations({ subtree: false }).length) continue;
      const [a, b] = [luminance(rgba(style.color)), luminance(ground)];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const large = Number.parseFloat(style.fontSize) >= 18.6;
      if (ratio < (large ? 3 : 4.5)) low.push(`contrast ${ratio.toFixed(2)}: ${element.tagName}.${element.className} “${element.textContent.trim().slice(0, 40)}”`);
    }
    return [...new Set(low)].slice(0, 5);
  }
});

for (const about of pages) {
  test(`${about.id}: both languages, light and dark, phone, what it loads`, async (t) => {
    const foreign = [];
    const missing = [];
    let loaded = 0;
    const page = await openPage(t, 'about:blank', { colorScheme: 'light' });
    const devtools = await page.context().newCDPSession(page);
    await devtools.send('Network.enable');
    devtools.on('Network.requestWillBeSent', ({ request }) => {
      if (!/^(data|blob):/.test(request.url) && new URL(request.url).origin !== new URL(url).origin) foreign.push(request.url);
    });
    devtools.on('Network.loadingFinished', ({ encodedDataLength }) => { loaded += encodedDataLength; });
    devtools.on('Network.responseReceived', ({ response }) => { if (response.status >= 400) missing.push(`${response.status} ${response.url}`); });
    await page.goto(address(about));
    await page.waitForLoadState('load');
    if (about.id !== 'source') await page.locator('#state[data-state="open"]').waitFor();
    assert.ok(loaded > 5000 && loaded <= firstLoad, `${loaded} bytes for the first load`);

    assert.equal(await page.locator('#site-title').textContent(), about.title.en);
    assert.deepEqual(await faults(page), [], 'light, English');
    if (about.how) {
      if (await page.locator('#how').isHidden()) await page.click('#site-how');
      for (const language of ['en', 'zh']) {
        assert.equal(about.how[language].length, 3);
        assert.deepEqual(await page.locator('#how li').allTextContents(), about.how[language]);
        await page.click('#site-language');
      }
    }
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await page.emulateMedia({ colorScheme: 'dark' });
    assert.notEqual(await background(), light);
    await page.click('#site-language');
    assert.equal(await page.evaluate(() => document.documentElement.lang), 'zh-CN');
    assert.deepEqual(await faults(page), [], 'dark, Chinese');
    assert.deepEqual(foreign, [], 'nothing is asked of another host');
    assert.deepEqual(missing, [], 'everything that is asked for is there');
  });

  test(`${about.id}: on a phone, and by keyboard`, async (t) => {
    const page = await openPage(t, address(about), { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    if (about.id !== 'source') await page.locator('#state[data-state="open"]').waitFor();
    assert.deepEqual(await faults(page), [], 'phone');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.className), 'skip', 'the first stop leads past the header');
    await page.keyboard.press('Enter');
    await until(() => page.evaluate(() => document.activeElement.id === 'main'), 'the page itself has the focus');
    for (let stop = 0; stop < 12; stop++) {
      await page.keyboard.press('Tab');
      const seen = await page.evaluate(() => {
        const e = document.activeElement;
        if (e === document.body) return true; // behind the last one
        const has = (style) => style.outlineStyle !== 'none' && Number.parseFloat(style.outlineWidth) > 0 || style.boxShadow !== 'none';
        let at = e;
        for (let up = 0; at && up < 3; up++, at = at.parentElement) if (has(getComputedStyle(at))) return true; // a frame around it counts
        return e.outerHTML.slice(0, 150);
      });
      assert.equal(seen, true, 'the focus can be seen');
    }
  });

  if (about.how) {
    test(`${about.id}: shows its own source`, async (t) => {
      const page = await openPage(t, address(about));
      const [link] = await page.locator('#site-source').evaluateAll((all) => all.map(({ href }) => href));
      await page.goto(link);
      await page.locator('#files a').getByText('main.ts', { exact: true }).click();
      await page.locator('#name').getByText(`web/src/${about.id}/main.ts`).waitFor();
      const text = readFileSync(path.join(source, about.id, 'main.ts'), 'utf8');
      await until(async () => (await page.locator('#code .line').allTextContents()).join('\n') === text.trimEnd(), 'the file is shown');
    });
  }
}
