// Keeps a Yjs document the same as everybody else's, over topics of the hub. Updates may come in any order and more than once, so the
// provider never has to sort or to remember what it has sent: when in doubt it asks the server what that knows, and sends the rest.

import type { Client, DuplexError, Subscription } from 'duplex-client';
import * as Y from 'yjs';
import { Cursors } from './awareness.js';

/** How the document stands. `waiting`: there is no connection; `offline`: the visitor wants it so. */
export type Saved = 'opening' | 'saved' | 'saving' | 'offline' | 'waiting' | 'refused';

/** What the server says about a document (demo.edit.state). The bytes are base64. */
interface State {
  vector: string;
  states: string;
  updates: number;
  snapshot: number;
  limit: number;
}

/** What goes with a snapshot: it is everything up to this offset of the log. */
interface About {
  epoch: string;
  offset: number;
}

/** The log was compacted: so many updates have become part of a snapshot of so many bytes. */
export interface Compacted {
  updates: number;
  snapshot: number;
}

export interface ProviderEvents {
  onSaved(saved: Saved, error?: DuplexError): void;
  /** How many updates are in the log, and how large the snapshot behind which they are. */
  onLog(updates: number, snapshot: number): void;
  onCompacted(compacted: Compacted): void;
  /** An update could not be shown. */
  onFault(): void;
}

const pause = 50; // ms between two publications: what is typed meanwhile becomes one update
const large = 16 << 10; // bytes of an update that are worth some work to make them fewer
const retry = { later: 2000, refused: 15_000, changed: 1000 }; // ms: nobody's fault; the server does not want it; neither, but it has changed
const harmless = new Set(['edit.known', 'offline', 'closed', 'outbox-full', 'unavailable', 'timeout', 'unanswered', 'rate', 'disconnected', 'internal']);

/** What somebody lacks who has a state vector. What was deleted is only there as long as the visitor may undo that: others do not need it. */
function whatLacks(doc: Y.Doc, vector: Uint8Array): Uint8Array {
  const lacks = Y.encodeStateAsUpdate(doc, vector);
  if (lacks.length < large) return lacks;
  const copy = new Y.Doc(); // one in which nothing can be undone
  Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc));
  const least = Y.encodeStateAsUpdate(copy, vector);
  copy.destroy();
  return least;
}

const bytes = (base64: string) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

export class Provider {
  readonly cursors: Cursors;
  readonly #unwatch: () => void;
  #log?: Subscription;
  #loaded = false; // everything that the server had has been read
  #unsent: Uint8Array[] = []; // updates of this visitor
  #behind = true; // the server may lack more than #unsent
  #busy = false;
  #refused = false;
  #timer = 0;
  #due = 0;
  #updates = 0;
  #snapshot = 0;
  #offline = false;
  #closed = false;

  /** `doc` has what this browser remembers already; `name` is the document's. */
  constructor(readonly client: Client, readonly doc: Y.Doc, readonly name: string, readonly events: ProviderEvents) {
    this.cursors = new Cursors(client, doc, this.#topic('.live'), (note) => this.#compacted(note as Compacted));
    doc.on('update', this.#changed);
    this.#unwatch = client.on('state', () => this.#show());
    this.#begin();
  }

  /** Stops, or goes on: what is written meanwhile stays here. */
  set offline(offline: boolean) {
    if (this.#offline === offline) return;
    this.#offline = offline;
    if (offline) this.#end();
    else this.#begin();
  }

  /** Compares the document with the server's: something may have changed in it that no change told. */
  compare(): void {
    this.#behind = true;
    this.#schedule(pause);
  }

  close(): void {
    if (this.#live && this.#unsent.length) this.#publish(Y.mergeUpdates(this.#unsent)).catch(() => {}); // this browser keeps it
    this.#closed = true;
    this.#end();
    this.cursors.destroy();
    this.doc.off('update', this.#changed);
    this.#unwatch();
    clearTimeout(this.#timer);
  }

  #topic(part = ''): string {
    return `demo.edit.${this.name}${part}`;
  }

  #begin(): void {
    this.#log = this.client.subscribe<Uint8Array>(this.#topic(), {
      onMessage: (message) => {
        this.#apply(message.data);
        this.#count(1);
      },
      onGap: () => {
        this.#loaded = false;
        this.#behind = true;
        void this.#sync();
      },
      onState: ({ state, recovered, error }) => {
        if (error) {
          this.events.onSaved('refused', error);
        } else if (state === 'live') {
          if (!recovered) this.#loaded = false;
          this.#behind = true;
          void this.#sync();
        } else {
          this.#show();
        }
      },
    });
    this.cursors.begin();
    this.#show();
  }

  #end(): void {
    void this.#log?.unsubscribe();
    this.cursors.end();
    this.#loaded = false;
    this.#show();
  }

  get #live(): boolean {
    return !this.#offline && !this.#closed && this.#log?.state === 'live';
  }

  #changed = (update: Uint8Array, origin: unknown): void => {
    if (origin === this || (origin as { name?: string } | null)?.name === this.doc.guid) return; // from the server, or from this browser's storage
    this.#unsent.push(update);
    this.#show();
    if (!this.#busy) this.#schedule(this.#refused ? retry.changed : pause);
  };

  /** Sends what there is in so many ms, or earlier. */
  #schedule(ms: number): void {
    const due = Date.now() + ms;
    if (this.#timer && this.#due <= due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = window.setTimeout(() => {
      this.#timer = 0;
      this.#flush();
    }, ms);
  }

  #apply(update: Uint8Array): void {
    try {
      Y.applyUpdate(this.doc, update, this);
    } catch {
      this.events.onFault();
    }
  }

  /** Sends what was written. */
  #flush(): void {
    if (this.#busy) return;
    if (!this.#live) {
      this.#behind = true; // #sync finds out what has to be sent
      this.#unsent = [];
      return this.#show();
    }
    if (this.#behind) return void this.#sync();
    if (this.#unsent.length) void this.#work(() => this.#publish(Y.mergeUpdates(this.#unsent.splice(0))));
  }

  /** Reads what is missing here, then sends what is missing there. */
  async #sync(): Promise<void> {
    if (this.#busy || !this.#live) return;
    await this.#work(async () => {
      this.#behind = false; // unless something happens meanwhile
      if (!this.#loaded) await this.#load();
      const state = await this.client.request<State>('demo.edit.state', { document: this.name });
      this.#updates = state.updates;
      this.#snapshot = state.snapshot;
      this.#count(0);
      this.cursors.apply(bytes(state.states));
      this.#unsent = [];
      const lacks = whatLacks(this.doc, bytes(state.vector));
      if (lacks.length > 2) await this.#publish(lacks); // two bytes say nothing
    });
  }

  /** Does one thing at a time with the server, and again later what did not succeed. */
  async #work(task: () => Promise<void>): Promise<void> {
    this.#busy = true;
    this.#show();
    let problem: DuplexError | undefined;
    try {
      await task();
    } catch (error) {
      this.#behind = true;
      problem = error as DuplexError;
    }
    this.#busy = false;
    if (this.#closed) return;
    this.#refused = problem !== undefined && !harmless.has(problem.code);
    if (problem) this.#schedule(this.#refused ? retry.refused : retry.later);
    else if (this.#unsent.length || this.#behind) this.#schedule(pause);
    this.#show(problem);
  }

  /** The snapshot, and the log behind it. */
  async #load(): Promise<void> {
    const newest = await this.client.history<Uint8Array>(this.#topic('.snapshot'), { limit: 1 });
    const [snapshot] = newest.messages;
    if (snapshot) this.#apply(snapshot.data);
    const about = snapshot?.meta as About | undefined;
    let after = about?.epoch === newest.epoch ? about.offset : 0;
    for (let more = true; more;) {
      const page = await this.client.history<Uint8Array>(this.#topic(), { after, limit: 1000 });
      for (const { data } of page.messages) this.#apply(data);
      after = page.messages.at(-1)?.offset ?? after;
      more = page.more && page.messages.length > 0;
    }
    this.#loaded = true;
  }

  /** Now or never: what does not get through is part of the next #sync. */
  async #publish(update: Uint8Array): Promise<void> {
    try {
      await this.client.publish(this.#topic(), update, { echo: false, volatile: true });
      this.#count(1);
    } catch (error) {
      if ((error as DuplexError).code !== 'edit.known') throw error;
    }
  }

  #count(more: number): void {
    this.#updates += more;
    this.events.onLog(this.#updates, this.#snapshot);
  }

  #compacted(note: Compacted): void {
    this.#updates = Math.max(0, this.#updates - note.updates);
    this.#snapshot = note.snapshot;
    this.#count(0);
    this.events.onCompacted(note);
  }

  #show(problem?: DuplexError): void {
    const { onSaved } = this.events;
    if (this.#closed) return;
    if (this.#offline) onSaved('offline');
    else if (this.#refused && this.#live) onSaved('refused', problem);
    else if (!this.#live) onSaved(this.#loaded || this.client.state === 'waiting' ? 'waiting' : 'opening');
    else if (!this.#loaded) onSaved('opening');
    else onSaved(this.#busy || this.#behind || this.#unsent.length ? 'saving' : 'saved');
  }
}
