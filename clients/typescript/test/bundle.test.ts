// What is delivered: its size, its types, and the copy that the server embeds.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, onTestFinished, test } from 'vitest';
import { bundle, embedded, entries, pack } from '../build.js';

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

test('the package works for those who install it: types, the READMEs\' programs, and Node', async () => {
  const scratch = mkdtempSync(path.join(tmpdir(), 'duplex-client-'));
  onTestFinished(() => rmSync(scratch, { recursive: true, force: true }));
  const installed = path.join(scratch, 'node_modules/duplex-client');
  await pack(path.join(installed, 'dist'));
  cpSync(path.join(folder, 'package.json'), path.join(installed, 'package.json'));
  writeFileSync(path.join(scratch, 'package.json'), '{"type":"module"}');
  const theirs = 'declare const fetchToken: () => Promise<string>, show: (user: string | undefined, text: string) => void, '
    + 'redraw: (page: import("duplex-client").History) => void, showCount: (count: number) => void;';
  const programs = ['README.md', 'README.zh-CN.md']
    .flatMap((name) => [...readFileSync(path.join(folder, name), 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)]);
  expect(programs).toHaveLength(6);
  programs.forEach(([, program], i) => writeFileSync(path.join(scratch, `${i}.ts`), `${program}\n${theirs}`));
  for (const resolution of [['--module', 'nodenext'], ['--module', 'esnext', '--moduleResolution', 'bundler']]) {
    execFileSync(path.join(folder, 'node_modules/.bin/tsc'), [
      '--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2022,dom', '--types', '', ...resolution,
      ...programs.map((_, i) => path.join(scratch, `${i}.ts`)),
    ], { cwd: scratch, stdio: ['ignore', 'inherit', 'inherit'] });
  }
  const check = `
    import * as main from 'duplex-client'; import * as share from 'duplex-client/share';
    import * as wechat from 'duplex-client/wechat'; import * as uni from 'duplex-client/uni';
    console.log([main, share, wechat, uni].map(Object.keys).join());`;
  writeFileSync(path.join(scratch, 'check.js'), check);
  const printed = execFileSync(process.execPath, ['check.js'], { cwd: scratch, encoding: 'utf8' });
  expect(printed.trim()).toBe('Client,DuplexError,web,share,wechat,uniApp');
});

test('the READMEs name every option', () => {
  const types = readFileSync(path.join(folder, 'src/types.ts'), 'utf8');
  const [, body] = /^export interface ClientOptions \{\n(.*?)^\}/ms.exec(types)!;
  const options = [...body!.matchAll(/^  (\w+)\?:/gm)].map(([, name]) => name);
  expect(options).toContain('outbox');
  for (const name of ['README.md', 'README.zh-CN.md']) {
    const rows = [...readFileSync(path.join(folder, name), 'utf8').matchAll(/^\| `(\w+)` \|/gm)].map(([, option]) => option);
    expect(rows.sort(), name).toEqual([...options].sort());
  }
});
