// Bundles the examples in JavaScript as their users' tools do: JSX, single-file components of Vue, the client from its sources.

import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { build } from 'esbuild';
import { compileScript, parse } from 'vue/compiler-sfc';

const repository = path.resolve(import.meta.dirname, '..');
const client = path.join(repository, 'clients/typescript/src');

const vue = {
  name: 'vue',
  setup(builder) {
    builder.onLoad({ filter: /\.vue$/ }, async ({ path: filename }) => {
      const { descriptor, errors } = parse(await readFile(filename, 'utf8'), { filename });
      if (errors.length) return { errors: errors.map(({ message: text }) => ({ text })) };
      // Pages of a uni-app are templates of elements that only its own compiler knows; what they do is in their script.
      if (!descriptor.scriptSetup) return { contents: descriptor.script.content, loader: 'js' };
      return { contents: compileScript(descriptor, { id: filename, inlineTemplate: true, isProd: true }).content, loader: 'js' };
    });
  },
};

/** The text of a script that does what `contents` says; its imports are relative to examples/. */
export async function bundle(contents, options = {}) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: path.join(repository, 'examples'), loader: 'jsx' },
    bundle: true, write: false, format: 'iife', logLevel: 'silent', jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"', __VUE_OPTIONS_API__: 'true', __VUE_PROD_DEVTOOLS__: 'false', __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false' },
    alias: {
      'duplex-client/wechat': path.join(client, 'wechat.ts'),
      'duplex-client/uni': path.join(client, 'uni.ts'),
      'duplex-client': path.join(client, 'duplex-client.ts'),
    },
    nodePaths: [path.join(import.meta.dirname, 'node_modules')],
    plugins: [vue],
    ...options,
  });
  return outputFiles[0].text;
}

/** The calls of a mini-program over real sockets, as the tests of the client play them. */
export async function device(style) {
  const { outputFiles } = await build({
    entryPoints: [path.join(repository, 'clients/typescript/test/device.ts')],
    bundle: true, write: false, format: 'cjs', platform: 'node', external: ['esbuild', 'ws'],
  });
  const module = { exports: {} };
  new Function('module', 'exports', 'require', outputFiles[0].text)(module, module.exports, createRequire(import.meta.url));
  return new module.exports.Device(style);
}
