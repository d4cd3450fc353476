// What is delivered: its size, its types, and the copy that the server embeds.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { bundle, embedded, entries } from '../build.js';

const folder = path.resolve(import.meta.dirname, '..');

test('the types are right, strictly', () => {
  execFileSync(path.join(folder, 'node_modules/.bin/tsc'), ['--noEmit'], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
});

test('the client has at most 8 KB, gzipped', async () => {
  expect(gzipSync(await bundle('duplex-client'), { level: 9 }).length).toBeLessThanOrEqual(8_000);
});

test('the file in web/ is what the sources build: if this fails, say "npm run build"', async () => {
  expect(readFileSync(embedded, 'utf8')).toBe(await bundle('duplex-client'));
});

test.each(entries)('%s needs nothing that the oldest supported engines lack', async (entry) => {
  const code = await bundle(entry);
  expect(code).not.toMatch(/\bimport\s*[{*"'(]|\bTextEncoder\b|\bTextDecoder\b|\bCustomEvent\b|\bstructuredClone\b/);
  expect(code).not.toMatch(/\?\.|\?\?|\|\|=|\bmatchAll\b|\breplaceAll\b|\.at\(/);
});
