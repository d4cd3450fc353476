// The list of channels: one pattern, with the newest state of each.

import type { Client } from 'duplex-client';

/** The state of a channel, as internal/showcase/live publishes it. */
export interface Channel {
  channel: string;
  /** Which broadcast of the channel it is. */
  n: number;
  live: boolean;
  user: string;
  name: string;
  codec: string;
  /** Frames from one key frame to the next. */
  every: number;
  viewers: number;
  since: string;
}

/** A name that a channel can have. */
export const isChannel = (name: string) => /^[\p{L}\p{M}\p{Nd}_-]{1,32}$/u.test(name);

export class Channels {
  readonly #all = new Map<string, Channel>();

  constructor(client: Client, changed: (channel?: Channel) => void) {
    client.subscribe<Channel>('demo.live.channel.*', {
      last: 1000,
      onMessage: ({ data }) => {
        this.#all.set(data.channel, data);
        changed(data);
      },
      onGap: ({ reason }) => {
        if (reason !== 'epoch') return; // each message is the whole state: the newest is enough
        this.#all.clear();
        changed();
      },
    });
  }

  get(name: string): Channel | undefined {
    return this.#all.get(name);
  }

  get live(): Channel[] {
    return [...this.#all.values()].filter(({ live }) => live).sort((a, b) => b.viewers - a.viewers || a.channel.localeCompare(b.channel));
  }
}
