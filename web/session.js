// The tab's connection to the hub, under one name: it says why it is gone, and when it comes back.

import { Client, web } from './duplex-client.js';
import { load, save } from './store.js';

const storageKey = 'duplex.session';
const outbox = { bytes: 16 * 2 ** 20 }; // one picture is larger than what the client keeps by itself
const pongTimeout = 30_000; // a large picture on its way down is in front of the answer

/**
 * States: connecting; open; waiting (with reason and retryAt); refused (with error); ended (the same tab goes on elsewhere).
 * Event: "state".
 */
export class Session extends EventTarget {
  state = { name: 'connecting' };
  #socket; // the connection, for what it has not sent yet
  #opened = false; // this attempt has been answered

  constructor(name) {
    super();
    this.name = name;
    const place = web();
    const platform = { ...place, connect: (...args) => (this.#socket = place.connect(...args)) };
    this.client = new Client(new URL('ws', location.href).href, { info: { name }, resume: earlier(name), pongTimeout, outbox, platform });
    this.client.on('state', (change) => this.#changed(change));
  }

  /** Ends the connection for good. */
  close() {
    save(sessionStorage, storageKey, '');
    this.client.close();
  }

  /** Does not wait for the next attempt, and takes the conversation back from another tab. */
  retry() {
    this.client.connect();
  }

  /** Bytes that the browser has not handed to the network yet. */
  get buffered() {
    return this.#socket?.buffered ?? 0;
  }

  #changed({ state, code, error, after }) {
    const opened = this.#opened;
    this.#opened = state === 'open';
    if (state === 'open') {
      // Who has this secret is this tab: a page that was reloaded, or a tab that was duplicated.
      save(sessionStorage, storageKey, JSON.stringify({ name: this.name, resume: this.client.session.resume }));
      this.#enter({ name: 'open' });
    } else if (state === 'waiting') {
      this.#enter({ name: 'waiting', reason: reasonOf(code, error, opened), code, retryAt: Date.now() + after });
    } else if (state === 'closed') {
      if (code !== 1000) this.#enter(error.code === 'replaced' || code === 4409 ? { name: 'ended' } : { name: 'refused', error });
    } else {
      this.#enter({ name: 'connecting' });
    }
  }

  #enter(state) {
    this.state = state;
    this.dispatchEvent(new Event('state'));
  }
}

/** What lets this tab go on with its session. */
function earlier(name) {
  try {
    const stored = JSON.parse(load(sessionStorage, storageKey));
    return stored.name === name ? stored.resume : undefined;
  } catch {
    return undefined;
  }
}

/** Why a connection is gone, as a key of the texts. */
function reasonOf(code, error, opened) {
  if (!navigator.onLine) return 'offline';
  if (error?.code === 'restart' || code === 1001 || code === 1012) return 'restart';
  if (code === 1013) return 'slow';
  if (code === 4503) return 'busy';
  if (code !== undefined && code !== 1006) return 'closed';
  if (!opened) return 'unreachable';
  return /^no sign of life/.test(error?.message) ? 'silent' : 'lost';
}
