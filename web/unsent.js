// What was written in a room and has not been confirmed yet, in order. It is shown, and can be discarded, so it is kept here rather than
// in the client: one message at a time is published, the next follows when the server has its place. What a lost connection left
// unanswered is published again under the same id, which the server delivers once.

const maxItems = 50;
const maxBytes = 64 * 2 ** 20;
const progressInterval = 100;

/** The message may have been published or not; it is published again in the next connection. */
const again = new Set(['offline', 'unanswered', 'closed', 'chat.not-here']);

/**
 * Events: "change" with the item in detail (state queued, next, sending, paused, failed or gone; progress from 0 to 1), "published" with item,
 * epoch and offset in detail.
 */
export class Unsent extends EventTarget {
  #topic;
  #items = [];
  #session = null; // while the room is entered
  #sending = null;
  #pause = 0; // the timer of a pause that the server asked for

  constructor(topic) {
    super();
    this.#topic = topic;
  }

  get items() {
    return this.#items;
  }

  /** Whether so many more messages, with so many more bytes of pictures, may be queued. */
  hasRoom(count, bytes) {
    const queued = this.#items.reduce((sum, item) => sum + (item.file?.size ?? 0), 0);
    return this.#items.length + count <= maxItems && queued + bytes <= maxBytes;
  }

  /** Queues { text } or { file }. */
  add(content) {
    const item = { ...content, id: randomID(), time: Date.now(), progress: 0 };
    this.#items.push(item);
    this.#queue(item);
    this.#next();
  }

  /** The room has been entered: publish. */
  start(session) {
    this.#session = session;
    for (const item of this.#items) if (item.state === 'queued') this.#queue(item);
    this.#next();
  }

  /** The room is left, or the connection lost. What is under way learns from the client what has become of it. */
  stop() {
    this.#session = null;
    clearTimeout(this.#pause);
    this.#pause = 0;
    for (const item of this.#items) if (item.state === 'paused' || item.state === 'next') this.#queue(item);
  }

  /** The room has this message. */
  confirm(id) {
    const item = this.#items.find((one) => one.id === id);
    if (item) this.discard(item);
  }

  discard(item) {
    this.#items = this.#items.filter((one) => one !== item);
    this.#change(item, { state: 'gone' });
  }

  #queue(item) {
    this.#change(item, { state: this.#session ? 'next' : 'queued' });
  }

  async #next() {
    const item = this.#items.find((one) => one.state === 'next' || one.state === 'paused');
    if (!item || this.#sending || this.#pause || !this.#session) return;
    this.#sending = item;
    this.#change(item, { state: 'sending', progress: 0 });
    try {
      const receipt = await this.#publish(item, this.#session);
      this.dispatchEvent(new CustomEvent('published', { detail: { item, ...receipt } }));
      this.confirm(item.id);
    } catch (error) {
      if (item.state !== 'gone') this.#refused(item, error);
    }
    this.#sending = null;
    this.#next();
  }

  async #publish(item, session) {
    const options = { messageId: item.id, volatile: true, echo: !item.file };
    if (!item.file) return session.client.publish(this.#topic, { text: item.text }, options);
    const bytes = await item.file.arrayBuffer();
    const before = session.buffered;
    const published = session.client.publish(this.#topic, bytes, { ...options, meta: { name: item.file.name.slice(0, 100) } });
    const timer = setInterval(() => {
      if (item.state !== 'sending') return;
      this.#change(item, { progress: Math.min(1, Math.max(0, 1 - (session.buffered - before) / bytes.byteLength)) });
    }, progressInterval);
    return published.finally(() => clearInterval(timer));
  }

  #refused(item, error) {
    if (again.has(error.code)) {
      if (error.code === 'chat.not-here') this.stop(); // until the room is entered again
      this.#queue(item);
    } else if (error.retry === undefined) {
      this.#change(item, { state: 'failed', error });
    } else if (this.#session) {
      this.#change(item, { state: 'paused' });
      this.#pause = setTimeout(() => {
        this.#pause = 0;
        this.#next();
      }, error.retry);
    } else {
      this.#queue(item);
    }
  }

  #change(item, values) {
    Object.assign(item, values);
    this.dispatchEvent(new CustomEvent('change', { detail: item }));
  }
}

/** An id that nobody guesses. crypto.randomUUID is missing on pages without TLS, getRandomValues is not. */
function randomID() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}
