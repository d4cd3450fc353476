// One conversation's connection: it opens, notices when it has died, says why, and comes back by itself.

import { decode } from './wire.js';

const baseDelay = 1000;
const maxDelay = 30_000;
const minDelay = 250;
const pingInterval = 20_000;
const pingTimeout = 10_000;
const slowest = 16; // bytes a millisecond of what is under way before the ping
const openTimeout = 15_000;

// Close codes of the chat (docs/chat.md) and what they mean for coming back.
const codes = {
  4001: { state: 'ended' },
  4009: { state: 'refused', error: { error: 'name-taken' } },
  4013: { state: 'refused', error: { error: 'room-full' } },
  1008: { state: 'refused', error: { error: 'policy' } },
  1001: { reason: 'restart' },
  1012: { reason: 'restart' },
  1013: { reason: 'slow' },
  1006: { reason: 'lost' },
};

/**
 * States: connecting; open (after the server's welcome); waiting (with reason and retryAt); refused (with error); ended (the same tab has
 * come back elsewhere); closed (by us). Events: "state" with the state in detail, "frame" with a decoded frame in detail.
 */
export class Connection extends EventTarget {
  #query;
  #socket = null;
  #attempts = 0;
  #unanswered = 0; // bytes sent since the server was last heard
  #timers = {};
  #listening = new AbortController();
  state = { name: 'closed' };

  constructor({ room, name, token }) {
    super();
    this.#query = new URLSearchParams({ room, name, token });
    const signal = this.#listening.signal;
    addEventListener('online', () => this.state.name === 'waiting' && this.retry(), { signal });
    addEventListener('offline', () => this.#probe(), { signal });
    document.addEventListener('visibilitychange', () => document.hidden || this.#probe(), { signal });
  }

  open() {
    this.#connect();
  }

  /** Ends the connection for good. */
  close() {
    this.#listening.abort();
    this.#drop(1000);
    this.#enter({ name: 'closed' });
  }

  /** Does not wait for the next attempt. */
  retry() {
    if (this.state.name === 'waiting' || this.state.name === 'ended') this.#connect();
  }

  send(data) {
    this.#unanswered += data.size ?? data.length;
    this.#socket.send(data);
  }

  /** Bytes that the browser has not handed to the network yet. */
  get bufferedAmount() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  #connect() {
    this.#drop();
    this.#enter({ name: 'connecting' });
    const url = new URL('chat', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    url.hash = '';
    url.search = this.#query;
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => this.#closed(code);
    this.#socket = socket;
    this.#timers.open = setTimeout(() => this.#wait('unreachable'), openTimeout);
  }

  #receive(data) {
    const frame = decode(data);
    clearTimeout(this.#timers.pong);
    this.#timers.pong = 0;
    this.#unanswered = 0;
    if (frame.type === 'pong') return;
    if (frame.type === 'welcome') {
      clearTimeout(this.#timers.open);
      this.#attempts = 0;
      this.#timers.ping = setInterval(() => this.#probe(), pingInterval);
    }
    this.dispatchEvent(new CustomEvent('frame', { detail: frame }));
    if (frame.type === 'welcome') this.#enter({ name: 'open' });
  }

  // The server's pings are invisible to a page, so it sends its own: a connection that the network forgot is noticed here too.
  // A ping waits behind whatever is on its way, in the browser and in the system, so a slow upload gets its time.
  #probe() {
    if (this.state.name !== 'open' || this.#timers.pong) return;
    const patience = pingTimeout + this.#unanswered / slowest;
    this.send('{"type":"ping"}');
    this.#timers.pong = setTimeout(() => this.#wait('silent'), patience);
  }

  async #closed(code) {
    const opened = this.state.name === 'open';
    const meaning = codes[code] ?? { reason: 'closed', code };
    this.#drop();
    if (meaning.state) return this.#enter({ name: meaning.state, error: meaning.error });
    if (opened) return this.#wait(meaning.reason, meaning.code);
    // A handshake failed. Browsers do not say why, so the same question is asked over HTTP.
    const attempt = this.state;
    const refusal = await this.#ask();
    if (this.state !== attempt) return; // something else has happened meanwhile
    if (refusal?.error) this.#enter({ name: 'refused', error: refusal });
    else this.#wait(refusal ? 'busy' : 'unreachable');
  }

  // Resolves to the refusal, to {} if there is none, and to null if the server does not answer.
  async #ask() {
    try {
      const response = await fetch(`chat/check?${this.#query}`, { cache: 'no-store', signal: AbortSignal.timeout(5000) });
      return response.ok ? {} : await response.json();
    } catch {
      return null;
    }
  }

  // Exponential backoff with full jitter: many pages that lost the same server do not all come back in the same moment.
  #wait(reason, code) {
    this.#drop();
    const ceiling = Math.min(maxDelay, baseDelay * 2 ** this.#attempts++);
    const delay = Math.max(minDelay, Math.random() * ceiling);
    this.#timers.retry = setTimeout(() => this.#connect(), delay);
    this.#enter({ name: 'waiting', reason: navigator.onLine ? reason : 'offline', code, retryAt: Date.now() + delay });
  }

  #drop(code) {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer); // clears intervals too
    this.#timers = {};
    this.#unanswered = 0;
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    socket.close(code);
  }

  #enter(state) {
    this.state = state;
    this.dispatchEvent(new CustomEvent('state', { detail: state }));
  }
}
