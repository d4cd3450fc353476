// What has happened, the newest on top, in words that follow the language.

import { avatar, make } from '../shared/dom.js';
import { locale, t } from '../shared/i18n.js';
import type { Change } from './model.js';
import { difference, value, who } from './words.js';

const kept = 30;

export class Feed {
  #changes: Change[] = []; // the newest first
  readonly #known = new Set<number>();

  constructor(private readonly list: HTMLElement, private readonly quiet: HTMLElement) {}

  /** Adds a change, once: after a restart of the server the last ones may come again. */
  add(change: Change): void {
    if (change.op !== 'reset' && this.#known.has(change.version)) return;
    this.#known.add(change.version);
    this.#changes.unshift(change);
    for (const old of this.#changes.splice(kept)) this.#known.delete(old.version);
    this.list.prepend(line(change));
    this.list.children[kept]?.remove();
    this.quiet.hidden = true;
  }

  clear(): void {
    this.#changes = [];
    this.#known.clear();
    this.show();
  }

  show(): void {
    this.list.replaceChildren(...this.#changes.map(line));
  }
}

function line(change: Change): HTMLLIElement {
  const name = who(change);
  const time = make('time', 'muted small number', new Date(change.time).toLocaleTimeString(locale(), { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }));
  time.dateTime = change.time;
  return make('li', change.op, avatar(name), make('div', 'grow', make('div', 'row between', make('strong', '', name), time), make('p', 'what', what(change))));
}

function what({ op, id, was, now }: Change): string {
  if (op === 'reset') return t('feed.reset');
  if (op === 'change' && was && now) return t('feed.change', { id, columns: difference(was, now) || '=' });
  const draft = now ?? was;
  return t(op === 'remove' ? 'feed.remove' : 'feed.add', { id, item: draft ? `${value(draft, 'customer')}, ${draft.item}` : '' });
}
