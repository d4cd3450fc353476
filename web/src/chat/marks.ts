// Up to where everybody has read: small discs at the last message that they have seen. Whoever writes has read what is before it.

import type { Client, DuplexError, Position, Subscription } from 'duplex-client';
import { avatar, make } from '../shared/dom.js';
import { label } from '../shared/i18n.js';
import { nameOf } from './message.js';

const kept = 200; // as the server keeps
const pause = 1000; // between two of our own marks
const maxDiscs = 5; // at one message

interface Mark {
  read?: { epoch?: unknown; offset?: unknown };
}

export class Marks {
  readonly #topic: string;
  readonly #at = new Map<string, Position>(); // by name
  #subscription?: Subscription;
  #frame = 0;
  #timer = 0;
  #told?: Position; // what others know of us
  #reached?: Position; // what they are to know

  constructor(private readonly client: Client, topic: string, private readonly own: () => string) {
    this.#topic = `${topic}.read`;
  }

  /** The room is entered. */
  start(): void {
    if (this.#subscription && this.#subscription.state !== 'ended') return;
    this.#subscription = this.client.subscribe<Mark>(this.#topic, {
      last: kept,
      onMessage: ({ from, data }) => {
        const { epoch, offset } = data?.read ?? {};
        if (typeof epoch === 'string' && typeof offset === 'number') this.put(nameOf(from), { epoch, offset });
      },
      onState: ({ state }) => state === 'live' && this.#tell(),
    });
  }

  close(): void {
    this.#subscription?.unsubscribe();
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
  }

  /** Somebody has read up to there. */
  put(name: string, to: Position): void {
    if (!isBehind(to, this.#at.get(name))) return;
    this.#at.set(name, to);
    if (name === this.own() && isBehind(to, this.#told)) this.#told = to;
    this.draw();
  }

  /** We have read up to there. Others are told in a moment. */
  reach(to: Position): void {
    if (!isBehind(to, this.#reached)) return;
    this.#reached = to;
    this.#tellIn(pause);
  }

  #tellIn(wait: number): void {
    this.#timer ||= window.setTimeout(() => {
      this.#timer = 0;
      this.#tell();
    }, wait);
  }

  #tell(): void {
    const to = this.#reached;
    if (!to || !isBehind(to, this.#told) || this.#subscription?.state !== 'live') return;
    this.#told = to;
    this.client.publish(this.#topic, { read: to }, { volatile: true }).catch(({ retry }: DuplexError) => {
      if (this.#told === to) this.#told = undefined;
      if (retry !== undefined) this.#tellIn(retry); // otherwise the next one says it
    });
  }

  /** Shows the marks in the next frame. */
  draw(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw(): void {
    const wanted = new Map<Element, string[]>();
    const messages = [...document.querySelectorAll<HTMLElement>('#log .message')].reverse();
    for (const [name, { epoch, offset }] of this.#at) {
      if (name === this.own()) continue;
      const last = messages.find((e) => e.dataset.epoch === epoch && Number(e.dataset.offset) <= offset);
      if (last) wanted.set(last, [...wanted.get(last) ?? [], name]);
    }
    for (const message of messages) {
      const names = wanted.get(message)?.sort() ?? [];
      const before = message.querySelector<HTMLElement>('.readers');
      if ((before?.dataset.names ?? '') === names.join('\n')) continue;
      before?.remove();
      if (names.length > 0) message.querySelector('.body')!.append(discs(names));
    }
  }
}

/** Whether a position is behind another one, as far as they can be compared: one of a new epoch is. */
const isBehind = (a: Position, b?: Position) => !b || a.epoch !== b.epoch || a.offset > b.offset;

function discs(names: string[]): HTMLElement {
  const element = make('p', 'readers', ...names.slice(0, maxDiscs).map(avatar));
  if (names.length > maxDiscs) element.append(make('span', 'muted', `+${names.length - maxDiscs}`));
  element.dataset.names = names.join('\n');
  element.setAttribute('role', 'img');
  label(element, 'read.by', { names: names.join(', ') });
  element.title = names.join(', ');
  return element;
}
