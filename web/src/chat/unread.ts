// How much was said, in rooms that one has been in, since one was there: the server tells that something was said, and counts when asked.

import type { Client, Position, Subscription } from 'duplex-client';
import { load, save } from '../shared/store.js';
import { recentRooms } from './rooms.js';

const storageKey = 'duplex.chat.read';
const maxRooms = 50; // whose place is remembered
const pause = 600; // between two questions

type Places = Record<string, Position>;

function places(): Places {
  try {
    const stored: unknown = JSON.parse(load(localStorage, storageKey) ?? '');
    return typeof stored === 'object' && stored !== null ? (stored as Places) : {};
  } catch {
    return {};
  }
}

/** Up to where this browser has read in a room. */
export function readIn(room: string): Position | undefined {
  const { epoch, offset } = places()[room] ?? {};
  return typeof epoch === 'string' && typeof offset === 'number' ? { epoch, offset } : undefined;
}

/** Remembers it. Returns whether that is further than before. */
export function rememberRead(room: string, to: Position): boolean {
  const before = readIn(room);
  if (before && before.epoch === to.epoch && before.offset >= to.offset) return false;
  const { [room]: _, ...others } = places();
  save(localStorage, storageKey, JSON.stringify(Object.fromEntries([[room, to], ...Object.entries(others)].slice(0, maxRooms))));
  return true;
}

export class Unread {
  readonly counts = new Map<string, number>(); // by room
  readonly #news = new Map<string, Subscription>(); // by room
  #timer = 0;

  constructor(private readonly client: Client, private readonly changed: () => void) {}

  /** Watches the rooms that one has been in, but not the one that one looks at. */
  watch(current: string): void {
    const wanted = recentRooms().filter((room) => room !== current && readIn(room));
    for (const [room, subscription] of this.#news) {
      if (wanted.includes(room)) continue;
      subscription.unsubscribe();
      this.#news.delete(room);
      this.counts.delete(room);
    }
    for (const room of wanted) {
      if (this.#news.has(room)) continue;
      // Each time that it has become live something may have been missed.
      this.#news.set(room, this.client.subscribe(`chat.${room}.news`, {
        presence: false, onMessage: () => this.#ask(), onState: ({ state }) => state === 'live' && this.#ask(),
      }));
    }
    this.changed();
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const subscription of this.#news.values()) subscription.unsubscribe();
  }

  #ask(after = pause): void {
    this.#timer ||= window.setTimeout(() => {
      this.#timer = 0;
      void this.#count();
    }, after);
  }

  async #count(): Promise<void> {
    const rooms = [...this.#news.keys()].map((room) => ({ room, ...readIn(room) }));
    if (rooms.length === 0) return;
    try {
      const answer = await this.client.request<{ rooms: { room: string; unread: number }[] }>('chat.unread', { rooms }, { resend: true });
      for (const { room, unread } of answer.rooms) if (this.#news.has(room)) this.counts.set(room, unread);
      this.changed();
    } catch (error) {
      const { retry } = error as { retry?: number };
      if (retry !== undefined) this.#ask(Math.max(retry, pause));
    }
  }
}
