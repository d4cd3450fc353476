// A platform whose sockets are scripts: the test plays the server, one frame at a time. Time is Vitest's fake clock.

import { afterEach, beforeEach, expect, vi } from 'vitest';
import { decode, encode, type Frame } from '../src/codec.js';
import { Client, type ClientOptions, type PageEvents, type Platform, type SocketEvents, type StateChange } from '../src/duplex-client.js';

/** One connection, seen from the server. */
export class Peer {
  readonly frames: Frame[] = []; // what the client has sent, and no expect() has taken yet
  closed: { code: number; reason: string } | undefined; // by the client
  buffered = 0;
  opened = false;

  constructor(readonly url: string, readonly protocol: string, readonly events: SocketEvents) {}

  send(data: string | ArrayBuffer): void {
    expect(this.opened, 'sent before open').toBe(true);
    expect(this.closed, 'sent after close').toBeUndefined();
    this.frames.push(decode(data));
  }

  close(code: number, reason: string): void {
    this.closed ??= { code, reason };
  }

  /** Accepts the connection, and answers connect with what the fields say. Returns the connect. */
  async open(fields: Partial<Frame> = {}): Promise<Frame> {
    await vi.advanceTimersByTimeAsync(0);
    this.opened = true;
    this.events.open();
    const connect = this.take('connect');
    this.push({
      type: 'reply', id: connect.id, session: 's1', user: '~1', resume: 'r1', ping: 25_000, time: Date.now(), limits: { frame: 1 << 20 },
      ...fields,
    });
    return connect;
  }

  /** Takes the oldest frame that the client has sent, which is of this type. */
  take(type: string): Frame {
    const frame = this.frames.shift();
    expect(frame?.type, `the client sends ${type}`).toBe(type);
    return frame!;
  }

  /** Takes the oldest frame, which is of this type, and answers it. */
  reply(type: string, fields: Partial<Frame> = {}): Frame {
    const frame = this.take(type);
    this.push({ type: 'reply', id: frame.id, ...fields });
    return frame;
  }

  refuse(type: string, code: string, retry?: number): Frame {
    const frame = this.take(type);
    this.push({ type: 'error', id: frame.id, code, message: `${code}!`, ...(retry !== undefined && { retry }) });
    return frame;
  }

  push(frame: Frame): void {
    this.events.message(encode(frame));
  }

  message(topic: string, offset: number, fields: Partial<Frame> = {}): void {
    this.push({ type: 'message', topic, offset, time: 1, data: offset, ...fields });
  }

  lose(code = 1006, reason = ''): void {
    this.events.close(code, reason);
  }
}

/** A client, and all connections that it has ever made. */
export class Stage {
  readonly peers: Peer[] = [];
  readonly states: StateChange[] = [];
  readonly errors: string[] = [];
  page!: PageEvents;
  watching = false;
  refuse: Error | undefined; // what connect throws
  readonly client: Client;

  constructor(options: ClientOptions = {}) {
    const platform: Platform = {
      connect: (url, protocol, events) => {
        if (this.refuse) throw this.refuse;
        const peer = new Peer(url, protocol, events);
        this.peers.push(peer);
        return peer;
      },
      watch: (page) => {
        this.page = page;
        this.watching = true;
        return () => { this.watching = false; };
      },
    };
    this.client = new Client('ws://server/ws', { platform, ...options });
    this.client.on('state', (change) => this.states.push(change));
    this.client.on('error', (error) => this.errors.push(error.code));
    stages.push(this);
  }

  /** The latest connection. */
  get peer(): Peer {
    return this.peers.at(-1)!;
  }

  /** Waits out the backoff, and accepts the next connection. */
  async reopen(fields: Partial<Frame> = {}): Promise<Frame> {
    const before = this.peers.length;
    while (this.peers.length === before) {
      expect(this.client.state).toBe('waiting');
      await vi.advanceTimersToNextTimerAsync();
    }
    return this.peer.open({ resume: `r${before + 1}`, ...fields });
  }
}

let stages: Stage[] = [];

beforeEach(() => {
  vi.useFakeTimers({ now: 1_763_726_400_000 });
});

afterEach(() => {
  for (const { client } of stages) client.close();
  stages = [];
  expect(vi.getTimerCount(), 'a closed client has no timers').toBe(0);
  vi.useRealTimers();
});

/** A client that is connected. */
export async function connected(options: ClientOptions = {}, fields: Partial<Frame> = {}): Promise<Stage> {
  const stage = new Stage(options);
  await vi.advanceTimersByTimeAsync(0);
  await stage.peer.open(fields);
  return stage;
}

/** What became of a promise, so that a test can ask without waiting. */
export function outcome<T>(promise: Promise<T>): { value?: T; code?: string; error?: any } {
  const result: { value?: T; code?: string; error?: any } = {};
  promise.then((value) => { result.value = value; }, (error) => { result.code = error.code; result.error = error; });
  return result;
}
/** Lets promises and due timers run. */
export const settle = () => vi.advanceTimersByTimeAsync(0);
