// The line over which prices come: the page's own connection, or the slow one. Whoever follows a topic does not notice which it is.

import { Client, type Gap, type Message, type Subscription } from 'duplex-client';
import { at } from '../shared/connection.js';

type Listener = (message: Message<any>) => void;

/** A topic that somebody follows. */
interface Followed {
  listeners: Set<Listener>;
  subscription: Subscription;
}

/** What is told about the line. */
interface Events {
  /** The server has left out so many messages, as this page is slow. */
  conflated(count: number): void;
  /** Something was not seen while the page was away. */
  away(): void;
  /** The line has another speed, or its connection another state. */
  changed(): void;
}

export class Line {
  slow = false;
  readonly #fast: Client;
  readonly #events: Events;
  readonly #followed = new Map<string, Followed>();
  #client: Client;

  constructor(client: Client, events: Events) {
    this.#fast = this.#client = client;
    this.#events = events;
  }

  /** The client at the end of the line. */
  get client(): Client {
    return this.#client;
  }

  get open(): boolean {
    return this.#client.state === 'open';
  }

  /** Listens to a topic, which is subscribed to once however many do. Returns what ends it. */
  follow(topic: string, listener: Listener): () => void {
    let followed = this.#followed.get(topic);
    if (!followed) {
      followed = { listeners: new Set(), subscription: this.#subscribe(topic) };
      this.#followed.set(topic, followed);
    }
    const { listeners } = followed;
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size > 0) return;
      void this.#followed.get(topic)?.subscription.unsubscribe();
      this.#followed.delete(topic);
    };
  }

  /** Moves everything to the other line. */
  use(slow: boolean): void {
    if (slow === this.slow) return;
    this.slow = slow;
    for (const { subscription } of this.#followed.values()) void subscription.unsubscribe();
    if (slow) {
      this.#client = new Client(at('quotes/slow').replace(/^http/, 'ws'));
      this.#client.on('state', () => this.#events.changed());
    } else {
      this.#client.close();
      this.#client = this.#fast;
    }
    for (const [topic, followed] of this.#followed) followed.subscription = this.#subscribe(topic);
    this.#events.changed();
  }

  #subscribe(topic: string): Subscription {
    return this.#client.subscribe(topic, {
      onMessage: (message) => this.#followed.get(topic)?.listeners.forEach((listener) => listener(message)),
      onGap: (gap) => this.#gap(gap),
    });
  }

  #gap({ reason, count = 0 }: Gap): void {
    if (reason === 'superseded') this.#events.conflated(count);
    else this.#events.away();
  }
}
