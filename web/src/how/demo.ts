// The demonstration: an ordinary WebSocket of the browser, which the server taps because this page asks for it.

import { at } from '../shared/connection.js';

export type Ended = { code: number; reason: string; wasClean: boolean };

const firstWait = 500;
const longestWait = 15_000;

/** What the demonstration tells the page. */
export interface Observer {
  changed(state: 'connecting' | 'open' | 'closed', ended?: Ended & { opened: boolean }): void;
  heard(message: string | ArrayBuffer): void;
}

export class Demo {
  #socket?: WebSocket;
  #wanted = false; // it is to be there, and comes back when it goes
  #wait = firstWait;
  #timer = 0;
  #connection = 0;
  compression = false;
  /** Somebody watches; before that the server would not tap what is opened. */
  watched = false;

  constructor(readonly id: string, readonly observer: Observer) {}

  get isOpen(): boolean { return this.#socket?.readyState === WebSocket.OPEN; }

  /** What the browser says was agreed on. */
  get extensions(): string { return this.#socket?.extensions ?? ''; }

  /** Opens a new connection in the place of the one that there is. */
  connect(): void {
    clearTimeout(this.#timer);
    this.#wanted = true;
    this.#drop();
    this.#connection++;
    const query = `tap=${this.id}&connection=${this.#connection}&compression=${this.compression ? 'on' : 'off'}`;
    const socket = new WebSocket(at(`how/socket?${query}`).replace(/^http/, 'ws'));
    socket.binaryType = 'arraybuffer';
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.#wait = firstWait;
      this.observer.changed('open');
    };
    socket.onmessage = ({ data }) => this.observer.heard(data);
    socket.onclose = ({ code, reason, wasClean }) => this.#closed({ code, reason, wasClean }, opened);
    this.#socket = socket;
    this.observer.changed('connecting');
  }

  /** The page hears what the server sees: opens a connection unless there is one, or the visitor wants none. */
  watch(): void {
    this.watched = true;
    if (!this.#socket || this.#wanted && this.#socket.readyState === WebSocket.CLOSED) this.connect();
  }

  send(data: string | Uint8Array<ArrayBuffer>): void {
    if (this.isOpen) this.#socket!.send(data);
  }

  /** Tells the server to do something that ends the connection; it stays away then, so that one can see how. */
  last(instruction: string): void {
    this.#wanted = false;
    this.send(instruction);
  }

  /** Throws what the browser refuses: codes other than 1000 and 3000 to 4999, reasons of more than 123 bytes. */
  close(code: number | undefined, reason: string): void {
    if (code === undefined) this.#socket?.close();
    else this.#socket?.close(code, reason);
    this.#wanted = false;
  }

  #drop(): void {
    const old = this.#socket;
    if (!old) return;
    old.onopen = null;
    old.onmessage = null;
    old.onclose = null;
    if (old.readyState < WebSocket.CLOSING) old.close(1000, 'another connection takes its place');
  }

  #closed(ended: Ended, opened: boolean): void {
    this.observer.changed('closed', { ...ended, opened });
    if (!this.#wanted) return;
    this.#timer = window.setTimeout(() => this.watched && this.connect(), this.#wait * (0.5 + Math.random()));
    this.#wait = Math.min(this.#wait * 2, longestWait);
  }
}
