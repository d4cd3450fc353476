// Who else has the document open, and where their cursors are: Yjs' awareness, over a topic that is not kept.

import type { Client, DuplexError, Subscription } from 'duplex-client';
import { applyAwarenessUpdate, Awareness, encodeAwarenessUpdate, removeAwarenessStates } from 'y-protocols/awareness';
import type * as Y from 'yjs';

interface Changes {
  added: number[];
  updated: number[];
  removed: number[];
}

const pause = 80; // ms between two positions of the own cursor
const again = 6000; // ms: by then the server knows that this visitor's former connection is gone

export class Cursors {
  readonly awareness: Awareness;
  #live?: Subscription;
  #timer = 0;
  #sender?: string; // of the message that is being applied
  readonly #users = new Map<number, string>(); // who has told the state of a client

  /** `onNote` gets what the server itself says on the topic. */
  constructor(readonly client: Client, doc: Y.Doc, readonly topic: string, readonly onNote: (note: unknown) => void) {
    this.awareness = new Awareness(doc);
    this.awareness.on('update', ({ added, updated }: Changes, origin: unknown) => {
      if (origin === 'local') this.#timer ||= window.setTimeout(() => this.#tell(), pause);
      else if (this.#sender) this.#heard([...added, ...updated], this.#sender);
      // Who has just come may not have heard of this visitor.
      if (origin !== 'local' && this.#sender && added.length) this.#timer ||= window.setTimeout(() => this.#tell(), pause + Math.random() * 500);
    });
  }

  begin(): void {
    this.#live = this.client.subscribe<unknown>(this.topic, {
      onMessage: ({ data, from }) => {
        if (data instanceof Uint8Array) this.apply(data, from?.user);
        else this.onNote(data);
      },
      onLeave: ({ user }) => this.#forget((id) => this.#users.get(id) === user),
      onState: ({ state }) => {
        if (state === 'live') this.awareness.setLocalState(this.awareness.getLocalState());
      },
    });
  }

  end(): void {
    this.#tell(true);
    void this.#live?.unsubscribe();
    this.#forget((id) => id !== this.awareness.clientID);
  }

  /** Takes states of others, which a user has told. */
  apply(states: Uint8Array, user?: string): void {
    this.#sender = user;
    try {
      applyAwarenessUpdate(this.awareness, states, this);
    } catch {
      // not what the server lets through
    }
    this.#sender = undefined;
  }

  destroy(): void {
    clearTimeout(this.#timer);
    this.awareness.destroy();
  }

  #heard(ids: number[], user: string): void {
    for (const id of ids) this.#users.set(id, user);
    // A visitor without a token is one tab: what it was before a reload is gone.
    if (user.startsWith('~') && ids.length) this.#forget((id) => this.#users.get(id) === user && !ids.includes(id));
  }

  #forget(which: (id: number) => boolean): void {
    removeAwarenessStates(this.awareness, [...this.awareness.getStates().keys()].filter((id) => id !== this.awareness.clientID && which(id)), this);
  }

  /** Tells where the own cursor is, or that it is gone. */
  #tell(gone = false): void {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const { awareness } = this;
    if (this.#live?.state !== 'live' || (!gone && !awareness.getLocalState())) return;
    const id = awareness.clientID;
    if (gone) awareness.meta.get(id)!.clock++;
    const states = encodeAwarenessUpdate(awareness, [id], gone ? new Map() : awareness.getStates());
    this.client.publish(this.topic, states, { key: String(id), echo: false, volatile: true }).catch(({ code }: DuplexError) => {
      if (code === 'edit.not-yours') this.#timer ||= window.setTimeout(() => this.#tell(), again);
    });
  }
}
