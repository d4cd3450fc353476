// The race: the same messages over four transports.

import { at } from '../shared/connection.js';

export const transports = ['poll', 'wait', 'events', 'socket'] as const;
export type Transport = (typeof transports)[number];

/** A message, as internal/showcase/how/race.go makes it. */
interface Message {
  n: number;
  /** Milliseconds since 1970, by the server's clock. */
  made: number;
}

const pause = 1000; // before another attempt
const probes = 5; // questions for the server's time
const mostLatencies = 1200;

/** What a transport has brought. */
export class Lane {
  received = 0;
  lost = 0;
  last = 0; // number of the last message
  readonly latencies: number[] = [];

  get latest(): number | undefined { return this.latencies.at(-1); }

  get median(): number | undefined {
    const sorted = [...this.latencies].sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }

  /** Takes a message unless it is here already. */
  take({ n, made }: Message, now: number): void {
    if (n <= this.last) return;
    this.lost += n - this.last - 1;
    this.last = n;
    this.received++;
    this.latencies.push(Math.max(0, now - made));
    if (this.latencies.length > mostLatencies) this.latencies.shift();
  }
}

export interface Choice {
  /** Messages a minute. */
  pace: number;
  /** Milliseconds from one poll to the next. */
  interval: number;
}

export class Race {
  readonly lanes: Record<Transport, Lane> = { poll: new Lane(), wait: new Lane(), events: new Lane(), socket: new Lane() };
  readonly #stop = new AbortController();
  readonly #running = new Set<Transport>(transports);
  #start = 0;
  #offset = 0; // from this clock to the server's

  constructor(readonly id: string, readonly run: number, readonly choice: Choice, readonly changed: (over: boolean) => void, readonly refused: (code: string) => void) {}

  /** Begins; rejects when the server cannot be reached. */
  async begin(): Promise<void> {
    await this.#compareClocks();
    if (this.#stop.signal.aborted) return;
    this.#start = Math.round(this.#now());
    void this.#poll();
    void this.#wait();
    this.#events();
    this.#socket();
  }

  end(): void {
    this.#stop.abort();
    this.#running.clear();
  }

  /** The server's time. */
  #now(): number { return performance.timeOrigin + performance.now() + this.#offset; }

  /** The answer that came fastest tells the server's time best. */
  async #compareClocks(): Promise<void> {
    let fastest = Infinity;
    for (let i = 0; i < probes; i++) {
      const asked = performance.timeOrigin + performance.now();
      const response = await fetch(at('how/time'), { cache: 'no-store', signal: this.#stop.signal });
      const { now } = await response.json() as { now: number };
      const answered = performance.timeOrigin + performance.now();
      if (answered - asked >= fastest) continue;
      fastest = answered - asked;
      this.#offset = now - (asked + answered) / 2;
    }
  }

  #url(path: string, by: Transport): string {
    const { pace } = this.choice;
    return at(`how/${path}?race=${this.id}&run=${this.run}&start=${this.#start}&pace=${pace}&after=${this.lanes[by].last}`);
  }

  #take(by: Transport, ...messages: Message[]): void {
    const now = this.#now();
    for (const message of messages) this.lanes[by].take(message, now);
    if (messages.length > 0) this.changed(false);
  }

  #over(by: Transport): void {
    this.#running.delete(by);
    if (this.#running.size === 0 && !this.#stop.signal.aborted) this.changed(true);
  }

  /** Asks once, and reports whether there is more to come. */
  async #ask(path: string, by: Transport): Promise<boolean> {
    const response = await fetch(this.#url(path, by), { cache: 'no-store', signal: this.#stop.signal });
    if (!response.ok) throw await this.#refusal(response);
    const { messages, over } = await response.json() as { messages: Message[]; over?: boolean };
    this.#take(by, ...messages);
    return !over;
  }

  /** What the server refuses it refuses again; it says so, and the race is off. Other errors pass. */
  async #refusal(response: Response): Promise<Error> {
    const { code } = await response.json().catch(() => ({})) as { code?: string };
    if (code === 'how.busy' || code === 'how.too-fast' || code === 'how.bad-race') this.refused(code);
    return new Error(`the server answered ${response.status}`);
  }

  /** Short polling: asks again and again. */
  async #poll(): Promise<void> {
    for (let more = true; more && !this.#stop.signal.aborted;) {
      await sleep(this.choice.interval);
      if (!this.#stop.signal.aborted) more = await this.#ask('poll', 'poll').catch(() => sleep(pause).then(() => true));
    }
    this.#over('poll');
  }

  /** Long polling: asks, and is answered when there is something. */
  async #wait(): Promise<void> {
    for (let more = true; more && !this.#stop.signal.aborted;) {
      more = await this.#ask('wait', 'wait').catch(() => sleep(pause).then(() => true));
    }
    this.#over('wait');
  }

  /** Server-sent events: one answer without end. The browser comes back by itself, and says what it has. */
  #events(): void {
    const source = new EventSource(this.#url('events', 'events'));
    source.onmessage = ({ data }) => this.#take('events', JSON.parse(data) as Message);
    source.addEventListener('over', () => {
      source.close();
      this.#over('events');
    });
    this.#stop.signal.addEventListener('abort', () => source.close());
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED || this.#stop.signal.aborted) return; // a refusal ends it for good
      setTimeout(() => !this.#stop.signal.aborted && this.#events(), pause);
    };
  }

  #socket(): void {
    const socket = new WebSocket(this.#url('stream', 'socket').replace(/^http/, 'ws'));
    const stop = () => socket.close();
    socket.onmessage = ({ data }) => this.#take('socket', JSON.parse(data as string) as Message);
    socket.onclose = ({ code }) => {
      this.#stop.signal.removeEventListener('abort', stop);
      if (code === 1000) this.#over('socket');
      else if (!this.#stop.signal.aborted) setTimeout(() => !this.#stop.signal.aborted && this.#socket(), pause);
    };
    this.#stop.signal.addEventListener('abort', stop);
  }
}

const sleep = (time: number) => new Promise<void>((resolve) => { setTimeout(resolve, time); });
