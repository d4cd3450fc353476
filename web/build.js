// Builds dist/, which the server embeds: a folder for each page of src/, and what they share. With --check it writes nothing, and fails if
// dist/ is not what the sources give.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';

const here = import.meta.dirname;
const src = path.join(here, 'src');
const dist = path.join(here, 'dist');
const read = (...names) => readFileSync(path.join(src, ...names), 'utf8');

/** The pages in the order of the home page. A page has a folder with page.json, page.html and main.ts. */
const pages = readdirSync(src)
  .filter((name) => existsSync(path.join(src, name, 'page.json')))
  .map((name) => ({ id: name, ...JSON.parse(read(name, 'page.json')) }))
  .sort((a, b) => a.order - b.order);

/** What other pages know of a page: import cards from 'cards'. */
const cards = {
  name: 'cards',
  setup(builder) {
    builder.onResolve({ filter: /^cards$/ }, () => ({ path: 'cards', namespace: 'cards' }));
    builder.onLoad({ filter: /.*/, namespace: 'cards' }, () => ({
      contents: `export default ${JSON.stringify(pages.filter(({ order }) => order > 0).map(({ id, icon, title, lead }) => ({ id, icon, title, lead })))}`,
    }));
  },
};

/** The licences of the libraries that went into a bundle: they want to go along with it. */
function notices({ inputs }) {
  const folders = new Set(Object.keys(inputs).map((name) => name.match(/node_modules\/(@[^/]+\/)?[^/]+/)?.[0]).filter(Boolean));
  return [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(path.join(here, folder, 'package.json'), 'utf8'));
    const file = readdirSync(path.join(here, folder)).find((one) => /^licen[cs]e/i.test(one));
    const text = file ? readFileSync(path.join(here, folder, file), 'utf8').trim() : `${license} license.`;
    return `${name} ${version}\n\n${text}\n`;
  }).join(`\n${'-'.repeat(80)}\n\n`);
}

async function bundle() {
  const entry = (name, file) => (existsSync(path.join(src, name, file)) ? [path.join(src, name, file)] : []);
  const { outputFiles, metafile } = await build({
    absWorkingDir: here,
    entryPoints: [
      path.join(src, 'shared/style.css'),
      ...pages.flatMap(({ id }) => [...entry(id, 'main.ts'), ...entry(id, 'worker.ts')]),
    ],
    outbase: src,
    outdir: dist,
    entryNames: '[dir]/[name]',
    chunkNames: 'chunks/[name]-[hash]',
    assetNames: 'assets/[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    target: ['chrome120', 'firefox121', 'safari17.4'],
    minify: true,
    charset: 'utf8',
    legalComments: 'none',
    write: false,
    metafile: true,
    loader: { '.png': 'file', '.svg': 'file', '.gif': 'file' },
    alias: { 'duplex-client': path.join(here, '../clients/typescript/src/duplex-client.ts') },
    plugins: [cards],
  });
  const files = new Map(outputFiles.map(({ path: file, contents }) => [path.relative(dist, file), Buffer.from(contents)]));
  return files.set('notices.txt', Buffer.from(notices(metafile)));
}

const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

/** The whole page: the frame that all share, with what is its own in the middle. */
function html(page, files) {
  const { id, title, lead, how, name = false } = page;
  const values = {
    id, title: escape(title.en), lead: escape(lead.en), base: id === 'home' ? '.' : '..', folder: id === 'home' ? 'home/' : '',
    style: files.has(`${id}/main.css`) ? `<link rel="stylesheet" href="${id === 'home' ? 'home/' : ''}main.css">` : '',
    // For the shell: no script, so that nothing inline ever runs.
    about: JSON.stringify({ id, title, lead, how, name }).replaceAll('<', '\\u003c'),
    main: read(id, 'page.html').trim(),
  };
  return read('shared', 'layout.html').replace(/{{(\w+)}}/g, (_, key) => values[key]);
}

const files = await bundle();
for (const page of pages) files.set(page.id === 'home' ? 'index.html' : `${page.id}/index.html`, Buffer.from(html(page, files)));

/** All files below a folder, relative to it. */
const list = (folder) => (existsSync(folder) ? readdirSync(folder, { recursive: true, withFileTypes: true }) : [])
  .filter((entry) => entry.isFile())
  .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));

if (process.argv.includes('--check')) {
  const wrong = [
    ...list(dist).filter((name) => !files.has(name)),
    ...[...files].filter(([name, content]) => !existsSync(path.join(dist, name)) || !readFileSync(path.join(dist, name)).equals(content)).map(([name]) => name),
  ];
  if (wrong.length) {
    console.error(`web/dist is not what the sources give; run "make web" and commit it: ${wrong.join(', ')}`);
    process.exit(1);
  }
} else {
  rmSync(dist, { recursive: true, force: true });
  for (const [name, content] of files) {
    mkdirSync(path.dirname(path.join(dist, name)), { recursive: true });
    writeFileSync(path.join(dist, name), content);
  }
}
