// What the platform of browsers makes of the page's events; Chromium sends the real ones in browser.test.ts.

import { afterEach, expect, test, vi } from 'vitest';
import { web } from '../src/platform.js';
import { share } from '../src/share.js';

afterEach(() => { vi.unstubAllGlobals(); });

test('events of the page and the network are reported, until nobody wants to know', () => {
  const page = Object.assign(new EventTarget(), { hidden: false });
  const window = new EventTarget();
  vi.stubGlobal('document', page);
  vi.stubGlobal('addEventListener', () => {});
  for (const name of ['addEventListener', 'removeEventListener'] as const) {
    vi.stubGlobal(name, (type: string, listener: () => void) => window[name](type, listener));
  }
  const heard: string[] = [];
  const unwatch = web().watch!({ sleep: () => heard.push('sleep'), wake: () => heard.push('wake'), check: () => heard.push('check') });
  const fire = () => {
    for (const type of ['online', 'offline', 'pagehide', 'pageshow']) window.dispatchEvent(new Event(type));
    for (const type of ['freeze', 'resume', 'visibilitychange']) page.dispatchEvent(new Event(type));
  };
  fire();
  expect(heard.splice(0)).toEqual(['wake', 'check', 'sleep', 'wake', 'sleep', 'wake', 'wake']);
  page.hidden = true;
  page.dispatchEvent(new Event('visibilitychange'));
  expect(heard, 'a hidden page goes on').toEqual([]);
  unwatch();
  fire();
  expect(heard).toEqual([]);
});

test('where there is no page there is nothing to watch', () => {
  vi.stubGlobal('addEventListener', undefined);
  expect(web().watch!({ sleep() {}, wake() {}, check() {} })).toBeTypeOf('function');
});

test('where there are no locks each tab has its own connection', () => {
  const platform = web();
  vi.stubGlobal('navigator', {});
  expect(share({ platform })).toBe(platform);
});
