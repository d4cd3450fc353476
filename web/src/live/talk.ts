// The comments of a channel as a list, and the rules of its house.

import { DuplexError, type Client, type Message, type Subscription } from 'duplex-client';
import { $, avatar, make, showError } from '../shared/dom.js';
import { has, label, say, t } from '../shared/i18n.js';
import { now } from './clock.js';
import type { Danmaku } from './danmaku.js';

export interface Comment {
  text: string;
  color: string;
  mode: string;
  name?: string;
}

/** The rules of a channel's house, as internal/showcase/live publishes them. */
export interface House {
  slow: number;
  words: string[] | null;
  muted: { user: string; name: string }[] | null;
  removed: number[] | null;
}

const listed = 200; // comments in the list
const old = 4_000; // milliseconds after which a comment flies no more, as when it comes out of the history

/** What went wrong, in words. */
export function explain(error: unknown): string {
  if (!(error instanceof DuplexError)) return String(error);
  const key = `error.${error.code}`;
  return has(key) ? t(key, { text: error.message, seconds: Math.max(1, Math.ceil((error.retry ?? 0) / 1000)) }) : error.message;
}

export class Talk {
  /** Comments of the last minute. */
  #recent: number[] = [];
  #removed = new Set<number>();
  #pending: Message<Comment>[] = [];
  #subscriptions: Subscription[];

  constructor(readonly client: Client, readonly channel: string, readonly danmaku: Danmaku, readonly houseChanged: (house: House) => void) {
    $('comments').replaceChildren();
    this.#subscriptions = [
      client.subscribe<House>(`demo.live.house.${channel}`, { last: 1, onMessage: ({ data }) => this.#takeHouse(data) }),
      client.subscribe<Comment>(`demo.live.comments.${channel}`, {
        last: listed,
        onMessage: (message) => this.#take(message),
        onGap: ({ reason }) => {
          if (reason === 'epoch') this.#removed.clear(); // offsets begin anew
          this.#list(make('li', 'gap muted small', t('talk.gap')));
        },
      }),
    ];
  }

  /** Comments a minute. */
  get rate(): number {
    const since = performance.now() - 60_000;
    while (this.#recent.length && this.#recent[0]! < since) this.#recent.shift();
    return this.#recent.length;
  }

  /** Now or never: what cannot be said now would come too late. */
  say(comment: Comment): Promise<unknown> {
    return this.client.publish(`demo.live.comments.${this.channel}`, comment, { volatile: true });
  }

  moderate(action: string, what: object): Promise<unknown> {
    return this.client.request('demo.live.moderate', { channel: this.channel, action, ...what });
  }

  close(): void {
    this.#pending = [];
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  #take(message: Message<Comment>): void {
    const { offset, time, data, from } = message;
    if (this.#removed.has(offset)) return;
    if (now() - time < old) {
      this.#recent.push(performance.now());
      const own = from !== undefined && from.user === this.client.session?.user;
      this.danmaku.add({ text: data.text, color: data.color, mode: data.mode, own, offset });
    }
    this.#pending.push(message);
    if (this.#pending.length === 1) setTimeout(() => this.#flush(), 100); // many at a time cost as much as one
    if (this.#pending.length > listed) this.#pending.splice(1, 1);
  }

  #flush(): void {
    const rows = this.#pending.filter(({ offset }) => !this.#removed.has(offset)).map((message) => this.#row(message));
    this.#pending = [];
    this.#list(...rows);
  }

  #list(...rows: HTMLElement[]): void {
    const list = $('comments');
    const follows = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    list.append(...rows);
    while (list.children.length > listed) list.firstElementChild!.remove();
    if (follows) list.scrollTop = list.scrollHeight;
  }

  #row({ offset, data, from }: Message<Comment>): HTMLElement {
    const name = nameOf(data, from);
    const row = make('li', 'said', avatar(name), make('p', '', make('strong', '', name), ' ', make('span', 'text', data.text)));
    row.dataset.offset = String(offset);
    row.classList.toggle('own', from !== undefined && from.user === this.client.session?.user);
    const tools = make('span', 'mods');
    const tool = (key: string, action: string, what: object) => {
      const button = make('button', 'quiet');
      button.type = 'button';
      say(button, key);
      label(button, `${key}-label`, { name });
      button.onclick = () => this.moderate(action, what).catch((error) => showError($('house-error'), explain(error)));
      tools.append(button);
    };
    tool('house.remove', 'remove', { offset });
    if (from) tool('house.mute', 'mute', { user: from.user, name });
    row.append(tools);
    return row;
  }

  #takeHouse(house: House): void {
    this.#removed = new Set(house.removed);
    for (const row of $('comments').querySelectorAll<HTMLElement>('li[data-offset]')) {
      if (this.#removed.has(Number(row.dataset.offset))) row.remove();
    }
    for (const offset of this.#removed) this.danmaku.remove(offset);
    this.houseChanged(house);
  }
}

/** People have the name of their connection; the simulated audience says its own. */
function nameOf(comment: Comment, from: Message['from']): string {
  const info = from?.info as { name?: unknown } | undefined;
  if (from) return typeof info?.name === 'string' ? info.name : from.user;
  return comment.name ?? '·';
}
