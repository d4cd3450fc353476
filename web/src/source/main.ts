// Shows the files of a page: the very ones that this server was built from.

import './style.css';
import { at } from '../shared/connection.js';
import { $, make, showError } from '../shared/dom.js';
import { current } from '../shared/i18n.js';
import { start } from '../shared/shell.js';
import { texts } from './texts.js';

interface Listing {
  title: { en: string; zh: string };
  files: string[];
}

const { t, onLanguage } = start(texts);
const page = new URLSearchParams(location.search).get('page') ?? 'home';
let listing: Listing | undefined;

const title = () => { $('of').textContent = listing?.title[current()] ?? ''; };
onLanguage(title);

const address = (file: string) => at(`source/files/${file}`);
const chosen = () => decodeURIComponent(location.hash.slice(1)) || listing?.files[0] || '';

async function begin(): Promise<void> {
  const answer = await fetch(at(`source/list?page=${encodeURIComponent(page)}`));
  if (!answer.ok) return showError($('error'), t('source.none', { page }));
  listing = await answer.json() as Listing;
  title();
  $('files').replaceChildren(...listing.files.map((file) => {
    const link = make('a', 'mono', file.slice(file.lastIndexOf('/') + 1));
    link.href = `#${file}`;
    link.title = file;
    return make('li', '', link);
  }));
  await show();
}

async function show(): Promise<void> {
  const file = chosen();
  showError($('error'));
  $('name').textContent = file;
  for (const link of $('files').querySelectorAll('a')) link.ariaCurrent = link.hash === `#${file}` ? 'true' : null;
  const raw = $<HTMLAnchorElement>('raw');
  raw.href = address(file);
  raw.hidden = false;
  const answer = await fetch(address(file));
  if (chosen() !== file) return;
  if (!answer.ok) throw new Error(String(answer.status));
  $('code').replaceChildren(...(await answer.text()).trimEnd().split('\n').map(line));
}

/** Comments stand back; more than that a reader does not need. */
function line(text: string): HTMLElement {
  const comment = /^\s*(\/\/|\/\*|\*|#|<!--)/.test(text);
  return make('span', comment ? 'line comment' : 'line', text);
}

const failed = () => showError($('error'), t('source.away'));
addEventListener('hashchange', () => show().catch(failed));
begin().catch(failed);
