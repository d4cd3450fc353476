// Who is typing: said over a topic that keeps nothing, and over when nothing more is heard.

import type { Client, Subscription } from 'duplex-client';
import { $ } from '../shared/dom.js';
import { say } from '../shared/i18n.js';
import { nameOf } from './message.js';

const again = 3000; // while one goes on typing
const fade = 6000; // after one was heard for the last time
const idle = 5000; // without a key

export class Typing {
  readonly #topic: string;
  readonly #shown = $('typing');
  readonly #others = new Map<string, number>(); // name -> timer
  #subscription?: Subscription;
  #said = 0; // when we said last that we type; 0: that we do not
  #stopping = 0; // timer

  constructor(private readonly client: Client, topic: string, private readonly own: () => string) {
    this.#topic = `${topic}.live`;
    this.#show();
  }

  /** The room is entered. */
  start(): void {
    if (this.#subscription && this.#subscription.state !== 'ended') return;
    this.#subscription = this.client.subscribe<{ typing?: unknown }>(this.#topic, {
      onMessage: ({ from, data }) => this.#heard(nameOf(from), data?.typing === true),
    });
  }

  close(): void {
    this.typed(false);
    this.#subscription?.unsubscribe();
    for (const timer of this.#others.values()) clearTimeout(timer);
    this.#others.clear();
    this.#show();
  }

  /** We have pressed a key, or have nothing to say. */
  typed(something: boolean): void {
    clearTimeout(this.#stopping);
    if (something) this.#stopping = window.setTimeout(() => this.typed(false), idle);
    const now = Date.now();
    if (something ? now - this.#said < again : this.#said === 0) return;
    this.#said = something ? now : 0;
    this.client.publish(this.#topic, { typing: something }, { volatile: true, echo: false }).catch(() => {}); // the next one will be heard
  }

  /** Who has said or left is not typing. */
  forget(name: string): void {
    this.#heard(name, false);
  }

  #heard(name: string, types: boolean): void {
    clearTimeout(this.#others.get(name));
    this.#others.delete(name);
    if (types && name !== this.own()) this.#others.set(name, window.setTimeout(() => this.forget(name), fade));
    this.#show();
  }

  #show(): void {
    const [a, b, ...more] = this.#others.keys();
    if (!a) {
      delete this.#shown.dataset.i18n;
      this.#shown.textContent = '';
    } else if (!b) say(this.#shown, 'typing.one', { a });
    else if (more.length === 0) say(this.#shown, 'typing.two', { a, b });
    else say(this.#shown, 'typing.many');
  }
}
