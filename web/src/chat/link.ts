// The tab's connection to the hub under one name. Going from room to room keeps it; another name is another connection.

import { web, type Client, type Platform, type Socket } from 'duplex-client';
import * as connection from '../shared/connection.js';

const options = {
  outbox: { bytes: 16 * 2 ** 20 }, // one picture is larger than what the client keeps by itself
  pongTimeout: 30_000, // a large picture on its way down is in front of the answer
};

export class Link {
  readonly client: Client;
  #socket?: Socket;

  constructor(readonly name: string) {
    const place = web();
    const platform: Platform = { ...place, connect: (...args) => (this.#socket = place.connect(...args)) };
    this.client = connection.connect(name, { ...options, platform });
  }

  /** Who we are at the server; empty before it has said so. */
  get user(): string {
    return this.client.session?.user ?? '';
  }

  /** Bytes that the browser has not handed to the network yet. */
  get buffered(): number {
    return this.#socket?.buffered ?? 0;
  }

  /** Ends the connection for good: the next one is somebody else. */
  close(): void {
    connection.forget();
    this.client.close();
  }
}
