// What was written and has not been confirmed yet, in order. One message at a time is under way, the next follows when the server has
// confirmed it. Whatever a lost connection left unconfirmed is sent again under the same id; the server recognises it and does
// not pass it on twice.

import { encodePicture, encodeText, randomID } from './wire.js';

const maxItems = 50;
const maxBytes = 64 * 2 ** 20;
const progressInterval = 100;

/** Events: "change" with the item in detail (state queued, sending, paused, failed or gone; progress from 0 to 1). */
export class Outbox extends EventTarget {
  #items = [];
  #connection = null;
  #sending = null;
  #pause = 0; // the timer of a pause that the server asked for
  #progress = 0;

  get items() {
    return this.#items;
  }

  /** Whether so many more bytes of pictures, or one more text, may be queued. */
  hasRoom(count = 1, bytes = 0) {
    const queued = this.#items.reduce((sum, item) => sum + (item.file?.size ?? 0), 0);
    return this.#items.length + count <= maxItems && queued + bytes <= maxBytes;
  }

  addText(text) {
    this.#add({ text });
  }

  addPicture(file) {
    this.#add({ file });
  }

  /** The connection is open: send. */
  start(connection) {
    this.#connection = connection;
    this.#next();
  }

  /** The connection is gone: what was under way waits for the next one. */
  stop() {
    this.#connection = null;
    this.#resume();
    clearInterval(this.#progress);
    this.#sending = null;
    for (const item of this.#items) if (item.state !== 'failed') this.#change(item, { state: 'queued', progress: 0 });
  }

  /** The server has this message; returns it, or undefined if it was not from here. */
  confirm(id) {
    const item = this.#items.find((one) => one.id === id);
    if (item) this.#remove(item);
    return item;
  }

  /** The server did not take the message, for good or (retry, in milliseconds) for now. */
  refuse(id, error, retry) {
    const item = this.#items.find((one) => one.id === id);
    if (!item) return undefined;
    this.#done(item);
    if (retry) {
      this.#change(item, { state: 'paused', progress: 0 });
      this.#pause = setTimeout(() => {
        this.#resume();
        this.#next();
      }, retry);
    } else {
      this.#change(item, { state: 'failed', error });
      this.#next();
    }
    return item;
  }

  discard(item) {
    this.#remove(item);
  }

  #add(item) {
    Object.assign(item, { id: randomID(), time: Date.now(), state: 'queued', progress: 0 });
    this.#items.push(item);
    this.#change(item, {});
    this.#next();
  }

  #next() {
    const item = this.#items.find((one) => one.state === 'queued' || one.state === 'paused');
    if (!item || this.#sending || this.#pause || !this.#connection) return;
    this.#sending = item;
    const connection = this.#connection;
    const before = connection.bufferedAmount;
    const frame = item.file ? encodePicture(item.id, item.file) : encodeText(item.id, item.text);
    connection.send(frame);
    this.#change(item, { state: 'sending' });
    if (item.file) this.#progress = setInterval(() => this.#measure(item, connection, frame.size, before), progressInterval);
  }

  #measure(item, connection, size, before) {
    const left = Math.max(0, connection.bufferedAmount - before);
    this.#change(item, { progress: Math.max(0, 1 - left / size) });
  }

  #resume() {
    clearTimeout(this.#pause);
    this.#pause = 0;
  }

  #done(item) {
    if (this.#sending !== item) return;
    this.#sending = null;
    clearInterval(this.#progress);
  }

  #remove(item) {
    this.#done(item);
    this.#items = this.#items.filter((one) => one !== item);
    this.#change(item, { state: 'gone' });
    this.#next();
  }

  #change(item, values) {
    Object.assign(item, values);
    this.dispatchEvent(new CustomEvent('change', { detail: item }));
  }
}
