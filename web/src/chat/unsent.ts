// What was written in a room and has not been confirmed yet, in order. It is shown, and can be discarded, so it is kept here rather than
// in the client: one message at a time is published, the next follows when the server has its place. What a lost connection left
// unanswered is published again under the same id, which the server delivers once.

import type { DuplexError, Published } from 'duplex-client';
import type { Link } from './link.js';
import type { Item, Quote } from './message.js';

const maxItems = 50;
const maxBytes = 64 * 2 ** 20;
const progressInterval = 100;

/** The message may have been published or not; it is published again in the next connection. */
const again = new Set(['offline', 'unanswered', 'closed', 'chat.not-here']);

interface Listener {
  changed(item: Item): void;
  published(item: Item, receipt: Published): void;
}

export class Unsent {
  /** Whoever shows what waits here. */
  listener?: Listener;
  #items: Item[] = [];
  #link?: Link; // while the room is entered
  #sending?: Item;
  #pause = 0; // the timer of a pause that the server asked for

  constructor(private readonly topic: string) {}

  get items(): readonly Item[] {
    return this.#items;
  }

  /** Whether so many more messages, with so many more bytes of pictures, may be queued. */
  hasRoom(count: number, bytes: number): boolean {
    const queued = this.#items.reduce((sum, item) => sum + (item.file?.size ?? 0), 0);
    return this.#items.length + count <= maxItems && queued + bytes <= maxBytes;
  }

  add(content: { text?: string; file?: File; reply?: Quote }): void {
    const item: Item = { ...content, id: randomID(), time: Date.now(), progress: 0, state: 'queued' };
    this.#items.push(item);
    this.#queue(item);
    void this.#next();
  }

  /** The room has been entered: publish. */
  start(link: Link): void {
    this.#link = link;
    for (const item of this.#items) if (item.state === 'queued') this.#queue(item);
    void this.#next();
  }

  /** The room is left, or the connection lost. What is under way learns from the client what has become of it. */
  stop(): void {
    this.#link = undefined;
    clearTimeout(this.#pause);
    this.#pause = 0;
    for (const item of this.#items) if (item.state === 'paused' || item.state === 'next') this.#queue(item);
  }

  /** The room has this message. */
  confirm(id: string): void {
    const item = this.#items.find((one) => one.id === id);
    if (item) this.discard(item);
  }

  discard(item: Item): void {
    this.#items = this.#items.filter((one) => one !== item);
    this.#change(item, { state: 'gone' });
  }

  /** Publishes what has failed without what it replied to, which the room has forgotten. */
  withoutReply(item: Item): void {
    delete item.reply;
    this.#queue(item);
    void this.#next();
  }

  #queue(item: Item): void {
    this.#change(item, { state: this.#link ? 'next' : 'queued' });
  }

  async #next(): Promise<void> {
    const item = this.#items.find(({ state }) => state === 'next' || state === 'paused');
    if (!item || this.#sending || this.#pause || !this.#link) return;
    this.#sending = item;
    this.#change(item, { state: 'sending', progress: 0 });
    try {
      const receipt = await this.#publish(item, this.#link);
      this.listener?.published(item, receipt);
      this.confirm(item.id);
    } catch (error) {
      if (this.#items.includes(item)) this.#refused(item, error as DuplexError);
    }
    this.#sending = undefined;
    void this.#next();
  }

  async #publish(item: Item, link: Link): Promise<Published> {
    const { file, text } = item;
    const options = { messageId: item.id, volatile: true, echo: !file };
    const reply = item.reply && { reply: { epoch: item.reply.epoch, offset: item.reply.offset } };
    if (!file) return link.client.publish(this.topic, { text, ...reply }, options);
    const bytes = await file.arrayBuffer();
    const before = link.buffered;
    const published = link.client.publish(this.topic, bytes, { ...options, meta: { name: file.name.slice(0, 100), ...reply } });
    const timer = setInterval(() => {
      if (item.state !== 'sending') return;
      this.#change(item, { progress: Math.min(1, Math.max(0, 1 - (link.buffered - before) / bytes.byteLength)) });
    }, progressInterval);
    return published.finally(() => clearInterval(timer));
  }

  #refused(item: Item, error: DuplexError): void {
    if (again.has(error.code)) {
      if (error.code === 'chat.not-here') this.stop(); // until the room is entered again
      this.#queue(item);
    } else if (error.retry === undefined) {
      this.#change(item, { state: 'failed', error });
    } else if (this.#link) {
      this.#change(item, { state: 'paused' });
      this.#pause = window.setTimeout(() => {
        this.#pause = 0;
        void this.#next();
      }, error.retry);
    } else {
      this.#queue(item);
    }
  }

  #change(item: Item, values: Partial<Item>): void {
    Object.assign(item, values);
    this.listener?.changed(item);
  }
}

/** An id that nobody guesses. crypto.randomUUID is missing on pages without TLS, getRandomValues is not. */
function randomID(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}
