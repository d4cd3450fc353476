// Messages that wait to be published, or for the word that they are. The order within a topic is the order of publish(), whatever
// happens to connections and however often the server says "later".

import { sizeOf, type Frame } from './codec.js';
import { DuplexError } from './errors.js';
import { LONGEST } from './limits.js';
import type { PublishOptions, Published } from './types.js';

/** The server knows a messageId for two minutes, so after this a message that may have arrived is not sent again. */
const DOUBLES = 110_000;
/** A message that went down with so many connections is taken for their cause. */
const TRIES = 5;
/** How long a message waits that the server could not make sure of, if it does not say how long. */
const UNSURE = 1_000;

interface Entry {
  id: number;
  encoded: string | ArrayBuffer;
  size: number;
  topic: string;
  volatile: boolean | undefined;
  messageId: string;
  flying: boolean;
  /** When it was first sent without being refused since. An answer of which the server is not sure is no refusal. */
  sentAt: number;
  tries: number;
  /** The server could not make sure of it, so it may have been accepted. */
  unsure: boolean;
  /** The last "later" of the server, as what it means if there is no later. */
  refused?: DuplexError | undefined;
  timer: unknown;
  resolve(result: Published): void;
  reject(error: DuplexError): void;
}

export class Outbox {
  flying = 0;
  private _entries = new Map<number, Entry>(); // in the order of publish()
  private _bytes = 0;
  private _held = new Map<string, { until: number; timer: unknown }>(); // topics that the server does not want to hear of for now

  constructor(
    private readonly _limits: { messages?: number; bytes?: number; age?: number },
    private readonly _pump: () => void,
  ) {}

  add(id: number, encoded: string | ArrayBuffer, topic: string, messageId: string, options: PublishOptions): Promise<Published> {
    const { messages = 1_000, bytes = 8 * 2 ** 20, age = 3_600_000 } = this._limits;
    const size = sizeOf(encoded);
    if (this._entries.size >= messages || this._bytes + size > bytes) {
      throw new DuplexError('outbox-full', `${this._entries.size} messages of ${this._bytes} bytes wait to be published; `
        + `${messages} of ${bytes} bytes may`);
    }
    return new Promise((resolve, reject) => {
      const limit = options.timeout ?? age;
      const timer = setTimeout(() => {
        const sent = this._entries.get(id)?.sentAt;
        this._settle(id, new DuplexError(sent ? 'unanswered' : 'timeout', `not published within ${limit} ms`));
        this._pump();
      }, Math.min(limit, LONGEST));
      this._entries.set(id, {
        id, encoded, size, topic, messageId, volatile: options.volatile, flying: false, sentAt: 0, tries: 0, unsure: false, timer, resolve, reject,
      });
      this._bytes += size;
    });
  }

  /** Sends what may be sent: at most so many at once, and nothing that would overtake another of its topic. */
  flush(send: (encoded: string | ArrayBuffer) => void, room: number, frameLimit: number): void {
    const now = Date.now();
    const busy = new Set<string>();
    const blocked = new Set<string>();
    for (const { flying, unsure, topic } of this._entries.values()) {
      if (flying) busy.add(topic);
      if (flying && unsure) blocked.add(topic);
    }
    for (const entry of [...this._entries.values()]) {
      const { id, topic } = entry;
      if (entry.flying) continue;
      if (entry.size > frameLimit) {
        this._settle(id, new DuplexError('too-large', `the message takes ${entry.size} bytes; a frame has at most ${frameLimit}`));
      } else if (entry.sentAt && (now - entry.sentAt > DOUBLES || entry.tries >= TRIES)) {
        this._settle(id, entry.refused ?? new DuplexError('unanswered', 'the message was sent, and the connection lost before the answer'));
      } else if (blocked.has(topic) || this.flying >= room || this._held.has(topic) || (entry.refused && busy.has(topic))) {
        blocked.add(topic);
        if (entry.volatile) this._settle(id, new DuplexError('outbox-full', 'other messages wait before it'));
      } else {
        entry.flying = true;
        entry.sentAt ||= now;
        entry.tries++;
        this.flying++;
        busy.add(topic);
        if (entry.unsure) blocked.add(topic);
        send(entry.encoded);
      }
    }
  }

  /** Takes the answer to a publish; false if it is not one's own. */
  answer(frame: Frame): boolean {
    const entry = this._entries.get(frame.id!);
    if (!entry) return false;
    if (frame.type === 'reply') {
      for (const other of this._entries.values()) {
        // It cannot be sent any more without coming too late.
        if (other.topic === entry.topic && other.id < entry.id && !other.flying && other.refused) this._settle(other.id, other.refused);
      }
      const { epoch, offset, duplicate } = frame;
      this._settle(entry.id, undefined, { epoch: epoch!, offset: offset ?? 0, messageId: entry.messageId, ...(duplicate && { duplicate }) });
      return true;
    }
    const error = new DuplexError(frame.code!, frame.message!, frame.retry);
    const unsure = frame.code === 'unavailable'; // only the same again can tell
    const pause = frame.retry ?? (unsure ? UNSURE : undefined);
    entry.unsure ||= unsure;
    if (pause == null || entry.volatile) {
      this._settle(entry.id, error);
    } else {
      entry.refused = entry.unsure ? new DuplexError('unanswered', `the server could not make sure of the message: ${frame.message}`) : error;
      this._land(entry);
      entry.tries = 0;
      if (!entry.unsure) entry.sentAt = 0;
      this._hold(entry.topic, pause);
    }
    return true;
  }

  /** The connection is gone; with an error, everything is. */
  down(error?: DuplexError): void {
    if (error) {
      for (const { timer } of this._held.values()) clearTimeout(timer as number);
      this._held.clear();
    }
    // Whether these have been accepted is not known, so what was refused before them may come too late now.
    const last = new Map<string, number>();
    for (const { flying, topic, id } of this._entries.values()) if (flying) last.set(topic, id);
    for (const entry of [...this._entries.values()]) {
      const overtaken = !entry.flying && last.get(entry.topic)! > entry.id;
      const lost = error ?? (entry.volatile ? new DuplexError('unanswered', 'the connection was lost before the answer')
        : overtaken && entry.refused);
      if (lost) this._settle(entry.id, lost);
      else this._land(entry);
    }
  }

  private _hold(topic: string, pause: number): void {
    const until = Date.now() + pause;
    const held = this._held.get(topic);
    if (held && held.until >= until) return;
    clearTimeout(held?.timer as number);
    const timer = setTimeout(() => {
      this._held.delete(topic);
      this._pump();
    }, pause);
    this._held.set(topic, { until, timer });
  }

  private _land(entry: Entry): void {
    if (entry.flying) this.flying--;
    entry.flying = false;
  }

  private _settle(id: number, error: DuplexError | undefined, result?: Published): void {
    const entry = this._entries.get(id);
    if (!entry) return;
    this._land(entry);
    clearTimeout(entry.timer as number);
    this._entries.delete(id);
    this._bytes -= entry.size;
    if (error) entry.reject(error);
    else entry.resolve(result!);
  }
}
