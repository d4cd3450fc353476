// A model of everything around the clients, driven by one seed: a server that keeps little and forgets on a crash, networks that delay, cut
// and fall silent, and the locks and channels of tabs. What the server ever accepted is kept aside, to hold against what arrived.

import { decode, encode, type Frame } from '../src/codec.js';
import type { PageEvents, Platform, Position, SocketEvents } from '../src/duplex-client.js';

/** Numbers that look random, the same for the same seed. */
export class Chance {
  constructor(private _state: number) {}

  /** From 0 to below the limit. */
  below(limit: number): number {
    this._state = (this._state + 0x6d2b79f5) | 0;
    let t = Math.imul(this._state ^ (this._state >>> 15), 1 | this._state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  }

  percent(chance: number): boolean {
    return this.below(100) < chance;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

export interface Accepted extends Position {
  topic: string;
  data: unknown;
  messageId: string;
}

export const matches = (pattern: string, topic: string): boolean =>
  new RegExp(`^${pattern.replaceAll('.', '\\.').replace('*', '[^.]+').replace('>', '.+')}$`).test(topic);

/** How many messages the server keeps, in all topics together. */
const KEPT = 25;

class Connection {
  readonly topics = new Set<string>();
  user = '';
  session = '';
  connected = false;
  constructor(readonly send: (frame: Frame, arrived?: () => void) => void, readonly close: (code: number) => void) {}
}

/** The server. */
export class Hub {
  /** Everything it ever accepted. */
  readonly accepted: Accepted[] = [];
  /** Messages that it refused for their rate, until the refusal has arrived at the client. */
  readonly refused = new Set<string>();
  epochs = 1;
  calm = false;
  private _offset = 0;
  private _kept: Accepted[] = [];
  private _known = new Map<string, Accepted>();
  private _sessions = 0;
  readonly connections = new Set<Connection>();

  constructor(private readonly _chance: Chance, private readonly _shared: boolean) {}

  get epoch(): string {
    return `e${this.epochs}`;
  }

  /** kill -9, and a new start. */
  crash(): void {
    for (const connection of [...this.connections]) connection.close(1006);
    this.connections.clear();
    this.epochs++;
    this._offset = 0;
    this._kept = [];
    this._known.clear();
  }

  restart(): void {
    for (const connection of [...this.connections]) {
      connection.send({ type: 'disconnect', code: 'restart', message: '', reconnect: true, after: 100 });
      connection.close(1012);
      this.connections.delete(connection);
    }
  }

  handle(connection: Connection, frame: Frame): void {
    if (!this.connections.has(connection)) return;
    const { id, topic, messageId } = frame;
    const reply = (fields: object) => connection.send({ type: 'reply', id, ...fields } as Frame);
    const refuse = (code: string, retry: number) => {
      if (messageId) this.refused.add(messageId);
      connection.send({ type: 'error', id, code, message: code, retry }, () => {
        // Where a connection is shared, it has only arrived at the tab that holds it.
        if (messageId && !this._shared) this.refused.delete(messageId);
      });
    };
    if (frame.type === 'connect') return this._connect(connection, frame);
    if (!connection.connected) throw new Error(`${frame.type} before connect`);
    if (!this.calm && /^(sub|pub|hist)/.test(frame.type) && this._chance.percent(4)) return refuse('rate', this._chance.below(60));
    switch (frame.type) {
      case 'subscribe':
        if (connection.topics.has(topic!)) throw new Error(`${topic} is subscribed already`);
        this._subscribe(connection, frame);
        break;
      case 'unsubscribe':
        connection.topics.delete(topic!);
        reply({});
        break;
      case 'publish': {
        const key = `${connection.user} ${topic} ${messageId}`;
        const known = this._known.get(key);
        const message = known ?? this._publish({ topic: topic!, data: frame.data, messageId: messageId!, epoch: this.epoch, offset: 0 });
        this._known.set(key, message);
        reply({ epoch: message.epoch, offset: message.offset, ...(known && { duplicate: true }) });
        break;
      }
      case 'history': {
        const all = this._kept.filter((one) => one.topic === topic && one.offset > (frame.after as unknown as number ?? -1));
        const page = frame.after !== undefined ? all.slice(0, frame.limit) : all.slice(-frame.limit!);
        for (const one of page) connection.send(this._message(one, { reply: id! }));
        const lost = frame.epoch !== undefined && (frame.epoch !== this.epoch || frame.after as unknown as number < this._base);
        reply({ epoch: this.epoch, messages: page.length, more: page.length < all.length, ...(lost && { lost }) });
        break;
      }
      default:
        reply({});
    }
  }

  /** Everything up to here is forgotten. */
  private get _base(): number {
    return this._kept.length ? this._kept[0]!.offset - 1 : this._offset;
  }

  private _connect(connection: Connection, frame: Frame): void {
    const session = frame.resume ?? `s${this.epochs}.${++this._sessions}`;
    for (const other of [...this.connections]) {
      if (other !== connection && other.session === session) {
        other.close(4409);
        this.connections.delete(other);
      }
    }
    Object.assign(connection, { connected: true, session, user: frame.token });
    connection.send({
      type: 'reply', id: frame.id, session, user: frame.token!, resume: session, ping: 1_000, time: Date.now(), limits: { frame: 65_536 },
    });
  }

  private _publish(message: Accepted): Accepted {
    message.offset = this._offset += 1 + this._chance.below(2); // by one or more
    this._kept.push(message);
    this.accepted.push(message);
    if (this._kept.length > KEPT) this._kept.shift();
    for (const connection of this.connections) {
      for (const name of connection.topics) {
        if (matches(name, message.topic)) connection.send(this._message(message, name === message.topic ? {} : { sub: name }));
      }
    }
    return message;
  }

  private _message({ topic, offset, data, messageId }: Accepted, fields: object): Frame {
    return { type: 'message', topic, offset, time: 1, messageId, data, ...fields };
  }

  private _subscribe(connection: Connection, { id, topic, since, last }: Frame): void {
    const { epoch } = this;
    const pattern = /[*>]/.test(topic!);
    const all = this._kept.filter((one) => matches(topic!, one.topic));
    const recovered = since?.epoch === epoch && since.offset >= this._base;
    const first = last ? all.at(-last) ?? all[0] : undefined;
    const start = recovered ? since.offset : since ? this._base : first ? first.offset - 1 : this._offset;
    connection.send({ type: 'reply', id, topic, epoch, offset: start, ...(since && { recovered }) });
    if (since && !recovered) {
      const until = { epoch, offset: this._base };
      const reason = since.epoch === epoch ? 'expired' : 'epoch';
      connection.send({ type: 'gap', ...(pattern ? { sub: topic } : { topic }), reason, since, until });
    }
    for (const one of all) if (one.offset > start) connection.send(this._message(one, pattern ? { sub: topic } : {}));
    connection.topics.add(topic!);
  }
}

/** Connections of clients to the hub. Each frame takes its time, and none overtakes another. */
export class Network {
  calm = false;
  private readonly _cuts = new Set<(how: 'cut' | 'silent') => void>();

  constructor(private readonly _chance: Chance, private readonly _hub: Hub) {}

  /** Something happens to one connection. */
  fail(): void {
    const cuts = [...this._cuts];
    if (cuts.length) this._chance.pick(cuts)(this._chance.percent(75) ? 'cut' : 'silent');
  }

  platform(watch: (page: PageEvents) => void): Platform {
    return {
      connect: (_url, _protocol, events) => this._connect(events),
      watch: (page) => {
        watch(page);
        return () => {};
      },
    };
  }

  private _connect(events: SocketEvents) {
    const up = this._stream();
    const down = this._stream();
    const connection = new Connection(
      (frame, arrived) => down.then(() => {
        arrived?.();
        events.message(encode(frame));
      }),
      (code) => down.then(() => end(code)),
    );
    const gone = () => up.then(() => { this._hub.connections.delete(connection); });
    const end = (code: number) => {
      this._cuts.delete(cut);
      down.stop();
      gone();
      events.close(code, '');
    };
    const cut = (how: 'cut' | 'silent') => {
      this._cuts.delete(cut);
      down.stop();
      if (this._chance.percent(50)) up.stop(); // otherwise what was sent arrives, and only the answers do not
      // The server finds out in its own time.
      setTimeout(() => this._hub.connections.delete(connection), this._chance.below(3_000));
      if (how === 'cut') setTimeout(() => events.close(1006, ''), this._chance.below(50));
    };
    this._cuts.add(cut);
    up.then(() => {
      if (!this.calm && this._chance.percent(10)) return end(1006);
      this._hub.connections.add(connection);
      down.then(() => events.open());
    });
    return {
      send: (data: string | ArrayBuffer) => up.then(() => this._hub.handle(connection, decode(data))),
      close: () => {
        this._cuts.delete(cut);
        down.stop();
        gone();
      },
    };
  }

  /** Does one thing after the other, each after a while. */
  private _stream() {
    let last = 0;
    let stopped = false;
    return {
      then: (deed: () => void) => {
        last = Math.max(last, Date.now() + this._chance.below(20));
        setTimeout(() => { if (!stopped) deed(); }, last - Date.now());
      },
      stop: () => { stopped = true; },
    };
  }
}

interface Request {
  signal: AbortSignal;
  held: () => void;
}

/** The locks and channels of a browser, in which tabs may die without a word. */
export class Browser {
  private readonly _queues = new Map<string, Request[]>(); // the first of each holds the lock
  private readonly _channels = new Set<Channel>();
  private readonly _owners = new Map<AbortSignal, number>();
  private _current = -1; // the tab whose code runs
  readonly dead = new Set<number>();

  constructor(readonly chance: Chance) {}

  /** What share() finds in its tab. */
  get globals() {
    const browser = this;
    return {
      navigator: {
        locks: {
          request: (name: string, { signal }: { signal: AbortSignal }, held: () => unknown) => this._request(name, signal, held),
        },
      },
      BroadcastChannel: class extends Channel {
        constructor(name: string) {
          super(name, browser._channels, browser._current, browser.dead, browser.chance);
        }
      },
    };
  }

  /** Runs code of a tab. */
  inside<T>(tab: number, code: () => T): T {
    this._current = tab;
    try {
      return code();
    } finally {
      this._current = -1;
    }
  }

  crash(tab: number): void {
    this.dead.add(tab);
    for (const [signal, owner] of this._owners) if (owner === tab) this._release(signal);
  }

  private _request(name: string, signal: AbortSignal, held: () => unknown): Promise<void> {
    // A tab's first lock is asked for at once, and all later ones come with the same signal.
    if (!this._owners.has(signal)) this._owners.set(signal, this._current);
    return new Promise((_, reject) => {
      if (signal.aborted) return reject(new Error('aborted'));
      const queue = this._queues.get(name) ?? [];
      this._queues.set(name, queue);
      const request: Request = {
        signal,
        held: () => {
          if (this.dead.has(this._owners.get(signal)!)) return;
          const result = held();
          if (!(result instanceof Promise)) this._drop(name, request);
        },
      };
      queue.push(request);
      signal.addEventListener('abort', () => this._release(signal));
      if (queue.length === 1) this._grant(request);
    });
  }

  private _grant(request: Request): void {
    setTimeout(request.held, this.chance.below(3));
  }

  private _release(signal: AbortSignal): void {
    for (const [name, queue] of this._queues) for (const request of [...queue]) if (request.signal === signal) this._drop(name, request);
  }

  private _drop(name: string, request: Request): void {
    const queue = this._queues.get(name)!;
    const at = queue.indexOf(request);
    if (at < 0) return;
    queue.splice(at, 1);
    if (at === 0 && queue.length) this._grant(queue[0]!);
  }
}

class Channel {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  private _closed = false;
  private _last = 0;

  constructor(
    private readonly _name: string, private readonly _all: Set<Channel>, private readonly _tab: number, private readonly _dead: Set<number>,
    private readonly _chance: Chance,
  ) {
    _all.add(this);
  }

  postMessage(message: unknown): void {
    if (this._closed) throw new Error('the channel is closed');
    if (this._dead.has(this._tab)) return;
    const data = structuredClone(message);
    this._last = Math.max(this._last, Date.now() + this._chance.below(3));
    const others = [...this._all].filter((other) => other !== this && other._name === this._name);
    setTimeout(() => {
      for (const other of others) if (!other._closed && !this._dead.has(other._tab)) other.onmessage?.({ data });
    }, this._last - Date.now());
  }

  close(): void {
    this._closed = true;
    this._all.delete(this);
  }
}
