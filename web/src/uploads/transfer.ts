// One file on its way: begin, chunks, finish; and begin again wherever something came in between.

import { DuplexError, type Client } from 'duplex-client';
import { Speed } from './format.js';
import { Changed, hash } from './hashing.js';
import { browserKey, forget, isLarge, keep, type Kept } from './kept.js';

/**
 * `missing`: the file has to be chosen again. `elsewhere`: another window goes on. `failed`: `problem` says why. The rest goes on by itself,
 * but for `paused`.
 */
export type State = 'waiting' | 'sending' | 'checking' | 'offline' | 'paused' | 'missing' | 'elsewhere' | 'failed' | 'done' | 'cancelled';

export interface Done {
  id: string;
  name: string;
  sha256: string;
}

const requestTime = 30_000;
const remembered = 8 << 20; // bytes after which it is written down how far a large file is
const patience = 5;
const smallest = 16 << 10;
const atOnce = 4; // chunks under way
const frameRest = 4 << 10; // of a frame, besides the chunk
const transient = ['disconnected', 'timeout', 'unavailable', 'rate', 'uploads.checking'];
const anew = ['uploads.gone', 'uploads.rested'];
const begins = ['uploads.gone', 'uploads.rested', 'uploads.unsent']; // answers of finish after which begin says more
const later = ['uploads.full', 'uploads.disk', 'uploads.many']; // it may be tried again without losing anything

export class Transfer {
  state: State;
  sent: number;
  problem?: { code: string; text: string };
  done?: Done;
  readonly speed = new Speed();
  #chunk = 256 << 10;
  #window = atOnce;
  #turn = 0; // a new one for each run: what belongs to another is stale
  #sum?: Promise<string>;
  #begun = false;
  #lost = 0; // how often the server did not know it any more
  #finish?: { id: string; sha256: string }; // everything is there; the answer may have been lost

  constructor(
    readonly kept: Kept,
    private file: Blob | undefined,
    private readonly client: Client,
    private readonly release: () => void,
    private readonly changed: () => void,
  ) {
    this.sent = kept.offset;
    this.state = kept.paused ? 'paused' : file ? 'waiting' : 'missing';
  }

  get busy(): boolean {
    return this.state === 'sending' || this.state === 'checking';
  }

  /** It is its turn. */
  start(): void {
    const turn = ++this.#turn;
    this.#set('sending');
    void this.#run(turn);
  }

  pause(): void {
    if (!['waiting', 'sending', 'offline', 'checking'].includes(this.state)) return;
    this.#turn++;
    this.kept.paused = true;
    this.#remember();
    this.#set('paused');
  }

  /** Goes on as soon as it is its turn; with another handle of the same file, if one is given. */
  resume(file?: Blob): void {
    if (file) {
      this.file = file;
      this.#sum = undefined;
    }
    this.kept.paused = false;
    this.#lost = 0;
    this.problem = undefined;
    if (this.file) this.#remember();
    this.#set(this.file ? 'waiting' : 'missing');
  }

  /** Leaves nothing behind, here or there. If the server cannot be told now, it is told later. */
  async cancel(): Promise<void> {
    this.#turn++;
    this.#set('cancelled');
    if (this.kept.id || this.#begun) {
      this.kept.cancelled = true;
      await keep(this.kept);
      await tellCancelled(this.client, this.kept);
    } else {
      await forget(this.kept.key);
    }
    this.release();
  }

  #set(state: State): void {
    this.state = state;
    if (state !== 'sending') this.speed.clear();
    this.changed();
  }

  #remember(): void {
    this.kept.offset = this.sent;
    void keep(this.kept, this.file);
  }

  async #run(turn: number): Promise<void> {
    try {
      this.#sum ??= hash(this.file!);
      this.#sum.catch(() => {}); // whoever waits for it hears of it
      this.#begun = true;
      if (await this.#finished(turn)) return;
      const { id, offset, chunk } = await begin(this.client, this.kept);
      this.kept.id = id;
      if (turn !== this.#turn) return;
      this.sent = offset;
      this.#remember();
      this.changed();
      if (this.state !== 'sending') this.#set('sending');
      await this.#send(turn, id, Math.min(chunk, (this.client.session?.limits.frame ?? Infinity) - frameRest));
      if (turn !== this.#turn) return;
      this.#set('checking');
      const sha256 = await this.#sum;
      if (turn !== this.#turn) return;
      this.#finish = { id, sha256 };
      if (!await this.#finished(turn)) throw new DuplexError('uploads.gone', 'the server does not know it any more');
    } catch (error) {
      if (turn === this.#turn) this.#failed(error as DuplexError);
    }
  }

  /** Asks the server to make a file of what it has, also when it was asked before. False: there is nothing to be asked for. */
  async #finished(turn: number): Promise<boolean> {
    if (!this.#finish) return false;
    this.#set('checking');
    try {
      this.done = await this.client.request<Done>('demo.uploads.finish', { key: browserKey, ...this.#finish }, { timeout: requestTime, resend: true });
    } catch (error) {
      if (!begins.includes((error as DuplexError).code)) throw error;
      this.#finish = undefined;
      return false;
    }
    if (turn === this.#turn) this.#end('done');
    return true;
  }

  #end(state: 'done' | 'failed'): void {
    this.#turn++;
    void forget(this.kept.key);
    this.release();
    this.#set(state);
  }

  /** Sends what the server does not have. It reads ahead no further than what is under way. */
  async #send(turn: number, id: string, most: number): Promise<void> {
    const { size } = this.kept;
    const underWay = new Set<Promise<void>>();
    let failure: unknown;
    for (let next = this.sent; next < size && failure === undefined && turn === this.#turn;) {
      const at = next;
      next = Math.min(size, at + Math.max(1, Math.min(this.#chunk, most)));
      const bytes = await read(this.file!, at, next);
      if (failure !== undefined || turn !== this.#turn) break;
      const asked = performance.now();
      const one: Promise<void> = this.#ask(turn, frame(id, at, bytes))
        .then(({ offset }) => {
          if (turn !== this.#turn) return;
          this.#pace(performance.now() - asked);
          this.speed.add(Math.max(0, offset - this.sent));
          this.sent = Math.max(this.sent, offset);
          if (isLarge(this.kept) && this.sent - this.kept.offset >= remembered) this.#remember();
        }, (error: unknown) => { failure ??= error; })
        .finally(() => underWay.delete(one));
      underWay.add(one);
      if (underWay.size >= this.#window) await Promise.race(underWay);
    }
    // After a failure the others are not waited for: the server may keep them waiting for one that was lost. Whatever they bring is valid.
    while (underWay.size && failure === undefined) await Promise.race(underWay);
    if (failure !== undefined) throw failure;
  }

  /** Sends a chunk; if it was too much for the server's rate, again after the time that it names. Those behind it wait there. */
  async #ask(turn: number, bytes: Uint8Array): Promise<{ offset: number }> {
    for (;;) {
      try {
        return await this.client.request<{ offset: number }>('demo.uploads.chunk', bytes, { timeout: requestTime });
      } catch (error) {
        const { code, retry } = error as DuplexError;
        if (code !== 'rate' || turn !== this.#turn) throw error;
        await new Promise((resolve) => { setTimeout(resolve, retry ?? 100); });
      }
    }
  }

  /** Larger chunks where they are answered at once, smaller ones where the network is slow. */
  #pace(took: number): void {
    if (took < 500) this.#chunk = Math.min(this.#chunk * 2, 1 << 20);
    else if (took > 3_000) this.#chunk = Math.max(this.#chunk / 2, smallest);
    if (took < 3_000) this.#window = atOnce;
  }

  #failed(error: DuplexError | Changed): void {
    const code = error instanceof Changed ? 'changed' : error.code ?? 'other';
    if (transient.includes(code) || (anew.includes(code) && ++this.#lost <= patience)) {
      if (code === 'timeout') [this.#chunk, this.#window] = [smallest, 1];
      this.#again(code === 'disconnected' || code === 'timeout' ? 0 : (error as DuplexError).retry ?? 500);
    } else if (code === 'closed') {
      this.#set('offline');
    } else if (code === 'uploads.elsewhere') {
      this.#turn++;
      this.#set('elsewhere');
    } else {
      this.problem = { code, text: error.message };
      if (later.includes(code)) {
        this.#turn++;
        this.#set('failed');
      } else {
        if (code === 'changed') this.file = undefined;
        this.#end('failed');
      }
    }
  }

  /** Begins again: at once, or when there is a connection. */
  #again(after: number): void {
    const turn = ++this.#turn;
    this.#set('offline');
    const go = () => { if (turn === this.#turn) this.#set('waiting'); };
    if (this.client.state === 'open') {
      setTimeout(go, after);
      return;
    }
    const stop = this.client.on('state', ({ state }) => {
      if (turn !== this.#turn) stop();
      if (state !== 'open') return;
      stop();
      go();
    });
  }

  /** Whether it can be tried again without choosing the file again. */
  get hasFile(): boolean {
    return this.file !== undefined;
  }
}

interface Begun {
  id: string;
  offset: number;
  chunk: number;
}

function begin(client: Client, { name, size, modified, head }: Kept): Promise<Begun> {
  return client.request<Begun>('demo.uploads.begin', { key: browserKey, name, size, modified, head }, { timeout: requestTime, resend: true });
}

async function read(file: Blob, from: number, to: number): Promise<ArrayBuffer> {
  try {
    return await file.slice(from, to).arrayBuffer();
  } catch {
    throw new Changed();
  }
}

/** A chunk as the server reads it: 16 bytes of id, 8 of offset, the bytes. */
function frame(id: string, at: number, bytes: ArrayBuffer): Uint8Array {
  const all = new Uint8Array(24 + bytes.byteLength);
  for (let i = 0; i < 16; i++) all[i] = parseInt(id.slice(2 * i, 2 * i + 2), 16);
  new DataView(all.buffer).setBigUint64(16, BigInt(at));
  all.set(new Uint8Array(bytes), 24);
  return all;
}

/** Tells the server that an upload is cancelled. If it cannot be told, it is told when the page is there again. */
export async function tellCancelled(client: Client, kept: Kept): Promise<void> {
  try {
    // Whether it had begun may not be known: then this finds out.
    const id = kept.id ?? (await begin(client, kept)).id;
    await client.request('demo.uploads.cancel', { key: browserKey, id }, { resend: true });
    await forget(kept.key);
  } catch (error) {
    if (/^uploads\./.test((error as DuplexError).code)) await forget(kept.key); // there was nothing
  }
}
