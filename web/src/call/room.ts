// A room of the hub: who is there, and signals between the two.

import type { Client, DuplexError, Sender, Subscription } from 'duplex-client';

/** A message of the room, as internal/showcase/call checks it. */
export interface Signal {
  kind: 'hello' | 'ring' | 'accept' | 'decline' | 'hang-up' | 'media' | 'description' | 'candidate';
  /** Instances of the page: a page that was loaded anew is another one. */
  from: string;
  to?: string;
  /** Of a hello: a call goes on. */
  calling?: boolean;
  audio?: boolean;
  video?: boolean;
  description?: { type: 'offer' | 'answer'; sdp: string };
  candidate?: RTCIceCandidateInit;
}

interface Handlers {
  /** The other page is there, for the first time or again. */
  met(hello: Signal, name: string): void;
  signal(signal: Signal): void;
  /** The other person's page has lost its connection to the server, or is closed. */
  left(): void;
  refused(error: DuplexError): void;
  /** Whether a call goes on. */
  calling(): boolean;
}

const instance = () => [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

export class Room {
  me = instance();
  /** The other page, if one has been met. */
  other = '';
  readonly #subscription: Subscription;
  readonly #topic: string;

  constructor(readonly client: Client, readonly name: string, readonly handlers: Handlers) {
    this.#topic = `demo.call.room.${name}`;
    this.#subscription = client.subscribe<Signal>(this.#topic, {
      presence: true,
      onMessage: ({ data, from }) => this.#take(data, from),
      onLeave: ({ user }) => user !== client.session?.user && handlers.left(),
      onPresence: ({ users = [] }) => users.some(({ user }) => user !== client.session?.user) || handlers.left(),
      // Signals may be lost: who says hello finds out what is to be done.
      onGap: () => this.#hello(),
      onState: ({ state, error }) => {
        if (state === 'live') this.#hello();
        if (state === 'ended' && error) handlers.refused(error);
      },
    });
  }

  send(kind: Signal['kind'], more: Partial<Signal> = {}): void {
    this.#publish({ kind, from: this.me, to: this.other, ...more });
  }

  /** From now on this is another page, as after a reload. */
  renew(): void {
    this.me = instance();
    this.other = '';
  }

  leave(): void {
    this.#subscription.unsubscribe();
  }

  #hello(to?: string): void {
    this.#publish({ kind: 'hello', from: this.me, ...(to && { to }), calling: this.handlers.calling() });
  }

  #publish(signal: Signal): void {
    // It waits for a connection. What the server refuses, or what comes too late, the next hello makes good.
    this.client.publish(this.#topic, signal, { echo: false, timeout: 20_000 }).catch(() => undefined);
  }

  #take(signal: Signal, from?: Sender): void {
    if (signal.to && signal.to !== this.me) return; // to a page that has been loaded anew since
    if (signal.kind !== 'hello') {
      if (signal.from === this.other) this.handlers.signal(signal);
      return;
    }
    this.other = signal.from;
    const info = from?.info as { name?: unknown } | undefined;
    // The answer goes first: what follows it is only understood by who knows this page.
    if (!signal.to) this.#hello(signal.from);
    this.handlers.met(signal, typeof info?.name === 'string' ? info.name : '?');
  }
}
