// What pages say, in English and Chinese. Elements name their text with data-i18n (and data-i18n-label, -placeholder); arguments stand in
// data-i18n-args, so that a switch of the language reaches everything that is already on the page.

import { load, save } from './store.js';

export type Language = 'en' | 'zh';
export type Text = string | ((args: any) => string);
type Texts = Record<string, Text>;
/** The same keys; a text that takes arguments in one language may do without in the other. */
type Like<T extends Texts> = { [K in keyof T]: Text };

const storageKey = 'duplex.language';
const all: Record<Language, Texts> = { en: {}, zh: {} };
const listeners = new Set<() => void>();
let language = initial();

function initial(): Language {
  const wanted = [load(localStorage, storageKey), ...(navigator.languages ?? [navigator.language])];
  for (const tag of wanted) {
    const base = tag?.toLowerCase().split('-')[0];
    if (base === 'en' || base === 'zh') return base;
  }
  return 'en';
}

/** Adds texts, and returns what says them, checked for their keys. */
export function use<T extends Texts>(texts: { en: T; zh: Like<T> }) {
  Object.assign(all.en, texts.en);
  Object.assign(all.zh, texts.zh);
  type Key = keyof T & string;
  return {
    t: (key: Key, args?: object) => t(key, args),
    say: (element: Element, key: Key, args?: object) => say(element, key, args),
    label: (element: Element, key: Key, args?: object) => label(element, key, args),
  };
}

/** The language of the moment. */
export const current = (): Language => language;

/** The tag for Intl and the lang attribute. */
export const locale = () => (language === 'zh' ? 'zh-CN' : 'en');

/** The text of a key in the current language; the key itself if there is none. */
export function t(key: string, args: object = {}): string {
  const text = all[language][key] ?? key;
  return typeof text === 'function' ? text(args) : text;
}

/** Whether there is such a text. */
export const has = (key: string) => Object.hasOwn(all.en, key);

/** Gives an element a text that follows the language. */
export function say(element: Element, key: string, args?: object): void {
  const { dataset } = element as HTMLElement;
  dataset.i18n = key;
  if (args) dataset.i18nArgs = JSON.stringify(args);
  else delete dataset.i18nArgs;
  element.textContent = t(key, args);
}

/** Gives an element a label that follows the language. */
export function label(element: Element, key: string, args?: object): void {
  const { dataset } = element as HTMLElement;
  dataset.i18nLabel = key;
  if (args) dataset.i18nLabelArgs = JSON.stringify(args);
  else delete dataset.i18nLabelArgs;
  showLabel(element as HTMLElement);
}

function showLabel(element: HTMLElement): void {
  const text = t(element.dataset.i18nLabel!, parse(element.dataset.i18nLabelArgs));
  element.setAttribute('aria-label', text);
  if (element.matches('button, a')) element.title = text;
}

const parse = (json?: string) => (json ? (JSON.parse(json) as object) : undefined);

/** Fills in everything on the page that names its text. */
export function translate(root: ParentNode = document): void {
  document.documentElement.lang = locale();
  for (const e of root.querySelectorAll<HTMLElement>('[data-i18n]')) e.textContent = t(e.dataset.i18n!, parse(e.dataset.i18nArgs));
  for (const e of root.querySelectorAll<HTMLInputElement>('[data-i18n-placeholder]')) e.placeholder = t(e.dataset.i18nPlaceholder!);
  for (const e of root.querySelectorAll<HTMLElement>('[data-i18n-label]')) showLabel(e);
}

/** Calls listener after each switch of the language, for what translate cannot reach. */
export function onLanguage(listener: () => void): void {
  listeners.add(listener);
}

export function switchLanguage(): void {
  language = language === 'en' ? 'zh' : 'en';
  save(localStorage, storageKey, language);
  translate();
  for (const listener of listeners) listener();
}
