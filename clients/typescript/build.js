// Builds dist/ for npm, and web/duplex-client.js, which the server embeds.

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';

const here = import.meta.dirname;
export const entries = ['duplex-client', 'share', 'wechat', 'uni'];
export const embedded = path.join(here, '../../web/duplex-client.js');

/** The text of one entry point, with all that it imports. */
export async function bundle(entry) {
  const { outputFiles } = await build({
    entryPoints: [path.join(here, 'src', `${entry}.ts`)],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: 'es2019', // what mini-programs run without being translated
    charset: 'utf8',
    legalComments: 'none',
    mangleProps: /^_/, // private, and between classes of this package only
    banner: { js: `// duplex-client: built from clients/typescript by "npm run build". MIT license.` },
  });
  return outputFiles[0].text;
}

/** Makes the folder that npm gets as dist/. */
export async function pack(folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const entry of entries) writeFileSync(path.join(folder, `${entry}.js`), await bundle(entry));
  const tsc = path.join(here, 'node_modules/.bin/tsc');
  execFileSync(tsc, ['-p', path.join(here, 'tsconfig.build.json'), '--outDir', folder], { stdio: 'inherit' });
}

if (process.argv[1] === import.meta.filename) {
  await pack(path.join(here, 'dist'));
  writeFileSync(embedded, await bundle('duplex-client'));
}
