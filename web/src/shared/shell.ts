// The frame of every page: language, light and dark, the visitor's name, how the page works, its source, its connection.

import { Client, type ClientOptions } from 'duplex-client';
import * as connection from './connection.js';
import { ask } from './dialog.js';
import { $, avatar, make } from './dom.js';
import { current, onLanguage, switchLanguage, t, translate, use, type Text } from './i18n.js';
import { isName, me, tidy } from './me.js';
import { load, save } from './store.js';
import { texts as shellTexts } from './texts.js';

type Both<T> = { en: T; zh: T };

/** What page.json says. */
interface About {
  id: string;
  title: Both<string>;
  lead: Both<string>;
  how?: Both<string[]>;
  /** Visitors have a name here. */
  name: boolean;
}

const about = JSON.parse($('about').textContent!) as About;

/** Begins a page. */
export function start<T extends Record<string, Text>>(texts: { en: T; zh: { [K in keyof T]: Text } }) {
  use(shellTexts);
  const says = use(texts);
  setUpTheme();
  setUpMenu();
  setUpName();
  setUpHow();
  connection.wire();
  if (about.how) {
    const source = $<HTMLAnchorElement>('site-source');
    source.href = connection.at(`source/?page=${about.id}`);
    source.hidden = false;
  }
  $('site-language').addEventListener('click', switchLanguage);
  onLanguage(showLanguage);
  translate();
  showLanguage();
  return { ...says, me, onLanguage, connect: (options?: ClientOptions): Client => connection.connect(about.name ? me.name : undefined, options) };
}

function showLanguage(): void {
  const button = $('site-language');
  button.textContent = t('shell.other');
  button.title = t('shell.switch');
  button.lang = current() === 'en' ? 'zh-CN' : 'en';
  $('site-title').textContent = about.title[current()];
  document.title = `${about.title[current()]} · Duplex`;
  $('how-list').replaceChildren(...(about.how?.[current()] ?? []).map((sentence) => make('li', '', sentence)));
}

function setUpTheme(): void {
  const root = document.documentElement;
  const wanted = load(localStorage, 'duplex.theme');
  if (wanted === 'light' || wanted === 'dark') root.dataset.theme = wanted;
  $('site-theme').addEventListener('click', () => {
    const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    root.dataset.theme = dark ? 'light' : 'dark';
    save(localStorage, 'duplex.theme', root.dataset.theme);
    dispatchEvent(new Event('duplex-theme')); // for what is drawn on a canvas
  });
}

function setUpMenu(): void {
  const [button, tools] = [$('site-menu'), $('site-tools')];
  const open = (yes: boolean) => {
    tools.classList.toggle('open', yes);
    button.setAttribute('aria-expanded', String(yes));
  };
  button.addEventListener('click', () => open(!tools.classList.contains('open')));
  addEventListener('keydown', ({ key }) => {
    if (key !== 'Escape' || !tools.classList.contains('open')) return;
    open(false);
    button.focus();
  });
  addEventListener('pointerdown', ({ target }) => {
    if (!tools.contains(target as Node) && !button.contains(target as Node)) open(false);
  });
}

function setUpName(): void {
  if (!about.name) return;
  const button = $('site-me');
  button.hidden = false;
  button.replaceChildren(avatar(me.name), make('span', '', me.name));
  button.addEventListener('click', async () => {
    const name = await ask({ texts: 'name', value: me.name, accept: (value) => isName(tidy(value)) });
    if (name === undefined || tidy(name) === me.name) return;
    me.choose(name);
    connection.forget();
    location.reload(); // the server and everybody else meet somebody new
  });
}

function setUpHow(): void {
  if (!about.how) return;
  const [button, section] = [$('site-how'), $('how')];
  const key = `duplex.how.${about.id}`;
  const open = (yes: boolean) => {
    section.hidden = !yes;
    button.setAttribute('aria-expanded', String(yes));
  };
  button.hidden = false;
  open(load(localStorage, key) !== 'closed' && matchMedia('(min-width: 46rem) and (min-height: 40rem)').matches);
  button.addEventListener('click', () => {
    open(section.hidden !== false);
    save(localStorage, key, section.hidden ? 'closed' : '');
  });
}
