// Who the visitor is, on all pages: a name that anybody may choose. Nobody vouches for it.

import { hue } from './dom.js';
import { current } from './i18n.js';
import { load, save } from './store.js';

const storageKey = 'duplex.name';

/** The visitor. A new name holds from the next connection on, so the shell loads the page anew. */
export const me = {
  /** 1 to 24 characters; made up until the visitor chooses one. */
  get name(): string {
    return load(localStorage, storageKey) || suggested;
  },
  /** Whether the visitor has chosen it. */
  get chosen(): boolean {
    return Boolean(load(localStorage, storageKey));
  },
  choose(name: string): void {
    save(localStorage, storageKey, tidy(name));
  },
  /** Of the name. */
  get hue(): number {
    return hue(me.name);
  },
};

/** One spelling for what looks the same. */
export const tidy = (text: string) => text.normalize('NFC').trim().replace(/\s+/g, ' ');

/** What the server takes for a name. */
export const isName = (name: string) => /^[\p{L}\p{Nd}][\p{L}\p{M}\p{Nd} \-_.'·]{0,23}$/u.test(name);

const suggestedKey = 'duplex.guest'; // for as long as the tab is there
const suggested = load(sessionStorage, suggestedKey) ?? invent();

function invent(): string {
  const name = `${current() === 'zh' ? '访客' : 'Guest'} ${100 + Math.floor(Math.random() * 900)}`;
  save(sessionStorage, suggestedKey, name);
  return name;
}
