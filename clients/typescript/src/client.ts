import { encode, sizeOf, type Frame } from './codec.js';
import { DuplexError } from './errors.js';
import { LONGEST } from './limits.js';
import { Link } from './link.js';
import { Outbox } from './outbox.js';
import { web } from './platform.js';
import { Subscription, toMessage, type Owner } from './subscription.js';
import type {
  ClientEvents, ClientOptions, ClientState, History, HistoryOptions, Message, Presence, Published, PublishOptions, RequestOptions, Session,
  SubscribeOptions,
} from './types.js';

/** How many subscribes and publishes may wait for their answers at once, so that a limit of the server is felt early. */
const WINDOW = 64;
/** How many of its own messages with `echo: false` a client recognises when the server repeats them after a reconnect. */
const SILENT = 1_000;

/** A command that is neither a subscribe nor a publish. */
interface Call {
  encoded: string | ArrayBuffer;
  sent: boolean;
  resend: boolean;
  timer: unknown;
  messages: Message<any>[];
  settle(error?: DuplexError, frame?: Frame): void;
}

/**
 * A client of a Duplex server. It connects when it is made, comes back by itself whenever the connection is lost, resumes every
 * subscription where it was, and sends what could not be sent.
 *
 * ```ts
 * const client = new Client('wss://example.com/ws', { token: () => fetchToken() });
 * const lobby = client.subscribe('chat.lobby', { last: 50, onMessage: ({ data }) => show(data), onGap: () => reload() });
 * await client.publish('chat.lobby', { text: 'hi' });
 * ```
 */
export class Client {
  private readonly _link: Link;
  private readonly _outbox: Outbox;
  private readonly _subscriptions = new Map<string, Subscription<any>>();
  private readonly _calls = new Map<number, Call>();
  private readonly _listeners = new Map<string, Set<(event: any) => void>>();
  private readonly _silent = new Set<string>();
  private readonly _prefix = Math.random().toString(36).slice(2) + Math.random().toString(36).slice(2, 8);
  private readonly _subscribing = new Map<number, Subscription<any>>(); // by the id of the command that waits for its answer
  private _pause: unknown; // the timer of a pause in subscribing that the server has asked for
  private _owner: Owner;

  /**
   * @param url `ws:`, `wss:`, `http:` or `https:`; in a browser also a path, such as `/ws`
   * @throws DuplexError `bad-request` if it is none of them
   */
  constructor(url: string, options: ClientOptions = {}) {
    const absolute = url[0] === '/' && typeof location === 'object' ? location.origin + url : url;
    if (!/^(ws|http)s?:\/\/./.test(absolute)) {
      throw new DuplexError('bad-request', `cannot connect to "${url}": give a URL such as wss://example.com/ws`);
    }
    this._outbox = new Outbox(options.outbox ?? {}, () => this._flush());
    this._owner = {
      call: (callback, self, argument) => this._run(callback, self, argument),
      askPresence: (subscription) => this._askPresence(subscription),
      isSilent: (messageId) => this._silent.has(messageId),
      drop: (subscription) => this._unsubscribe(subscription),
    };
    this._link = new Link(absolute.replace(/^http/, 'ws'), options, options.platform ?? web(options.WebSocket), {
      up: () => this._flush(),
      down: (error) => this._down(error),
      frame: (frame) => this._frame(frame),
      state: (change) => this._emit('state', change),
      error: (error) => this._emit('error', error),
    });
    this._link.connect();
  }

  /** What the client is doing at the moment. */
  get state(): ClientState {
    return this._link.state;
  }

  /** What the server said when it last accepted a connection; undefined before, and after `close()`. */
  get session(): Session | undefined {
    return this._link.session;
  }

  /** Connects now instead of later, or again after `closed`. Subscriptions that have not ended are resumed where they were. */
  connect(): void {
    this._link.connect();
  }

  /**
   * Ends the connection and stays away. What waits to be published, and every call, rejects with `closed`. Subscriptions stay `pending`,
   * for a `connect()` that may follow.
   */
  close(): void {
    this._link.close(1000, new DuplexError('closed', 'the client is closed'));
  }

  /** Calls the listener at each event, until the function that it returns is called. */
  on<E extends keyof ClientEvents>(event: E, listener: (event: ClientEvents[E]) => void): () => void {
    let listeners = this._listeners.get(event);
    if (!listeners) this._listeners.set(event, listeners = new Set());
    listeners.add(listener);
    return () => { listeners.delete(listener); };
  }

  /**
   * Subscribes a topic, or a pattern with `*` for one part and `>` for the rest, from now on or as soon as there is a connection, and
   * again after each reconnect. No message is given twice, and none is lost without a gap.
   *
   * @throws DuplexError `already-subscribed`: one client has one subscription of each topic or pattern. Share it, or end it first.
   */
  subscribe<T = unknown>(topic: string, options: SubscribeOptions<T> = {}): Subscription<T> {
    if (this._subscriptions.has(topic)) {
      throw new DuplexError('already-subscribed', `there is a subscription of "${topic}" already: use that, or unsubscribe it first`);
    }
    const subscription = new Subscription<T>(topic, options, this._owner);
    this._subscriptions.set(topic, subscription);
    this._flush();
    return subscription;
  }

  /**
   * Publishes JSON, or the bytes of an ArrayBuffer or a view of one. Without a connection, and when the server asks for patience, the
   * message waits; after a lost connection it is sent again with the same messageId, which the server delivers once. Messages of one
   * topic keep the order of the calls, unless a connection is lost together with the server's word that one of them was too much for its
   * rate. The data are read before this returns.
   *
   * Rejects with a DuplexError: `outbox-full` and `offline` (`volatile`) at once, `timeout` or `unanswered` when it waited too long,
   * `too-large`, `bad-request`, `closed`, or the server's own, such as `forbidden`. A message that the server refused for its `rate` is
   * sent again after the time that it named, unless one behind it has been accepted meanwhile; then it rejects with `rate`.
   */
  async publish(topic: string, data: unknown, options: PublishOptions = {}): Promise<Published> {
    const { state } = this._link;
    if (state === 'closed' || (options.volatile && state !== 'open')) {
      throw new DuplexError(state === 'closed' ? state : 'offline', `cannot publish: the client is ${state}`);
    }
    const id = this._link.nextId();
    const { key, echo, meta, messageId = `${this._prefix}-${id}` } = options;
    const encoded = this._encode({ type: 'publish', id, topic, messageId, key, echo, meta, data });
    const published = this._outbox.add(id, encoded, topic, messageId, options);
    if (echo === false) {
      this._silent.add(messageId);
      if (this._silent.size > SILENT) this._silent.delete(this._silent.values().next().value!);
    }
    this._flush();
    return published;
  }

  /**
   * Asks the program behind the server. Resolves with its answer, a Uint8Array if it is bytes. Rejects with a DuplexError: `timeout`,
   * `disconnected` (see `resend`), `unknown-method`, `refused`, or a code of the handler's own, which has a dot in it.
   */
  async request<T = unknown>(method: string, data?: unknown, options: RequestOptions = {}): Promise<T> {
    const { timeout = 10_000, resend = false } = options;
    return (await this._call({ type: 'request', method, timeout, data: data ?? null }, timeout, resend))[0].data as T;
  }

  /** Reads what a topic keeps. Rejects with a DuplexError: `no-history`, `forbidden`, `timeout` and others. */
  async history<T = unknown>(topic: string, options: HistoryOptions = {}): Promise<History<T>> {
    const { limit, before, after, epoch, timeout } = options;
    const [reply, messages] = await this._call({ type: 'history', topic, limit, before, after, epoch }, timeout);
    return { messages, epoch: reply.epoch!, more: !!reply.more, lost: !!reply.lost };
  }

  /** Asks who is in a topic. Rejects with a DuplexError: `no-presence`, `forbidden`, `timeout` (default 10,000 ms) and others. */
  async presence(topic: string, options: { timeout?: number } = {}): Promise<Presence> {
    const [{ type, id, ...presence }] = await this._call({ type: 'presence', topic }, options.timeout);
    return presence as Presence;
  }

  /** The frame, ready to be sent, or the error that says why it cannot. */
  private _encode(frame: Frame): string | ArrayBuffer {
    try {
      if (typeof Blob === 'function' && frame.data instanceof Blob) throw new TypeError('read a Blob first: await blob.arrayBuffer()');
      return encode(frame);
    } catch (error) {
      throw new DuplexError('bad-request', `cannot send this: ${(error as Error).message}`);
    }
  }

  /** Sends a command and waits for its reply, and for the messages that come with it. */
  private _call(frame: Frame, timeout = 10_000, resend = true): Promise<[Frame, Message<any>[]]> {
    if (this._link.state === 'closed') return Promise.reject(new DuplexError('closed', `cannot ${frame.type}: the client is closed`));
    const id = frame.id = this._link.nextId();
    return new Promise((resolve, reject) => {
      const call: Call = {
        encoded: this._encode(frame),
        sent: false,
        resend,
        messages: [],
        timer: setTimeout(() => call.settle(new DuplexError('timeout', `no answer to ${frame.type} within ${timeout} ms`)),
          Math.min(timeout, LONGEST)),
        settle: (error, reply) => {
          clearTimeout(call.timer as number);
          this._calls.delete(id);
          if (error) reject(error);
          else resolve([reply!, call.messages]);
        },
      };
      this._calls.set(id, call);
      this._flush();
    });
  }

  /** Sends whatever may be sent. */
  private _flush(): void {
    if (this._link.state !== 'open') return;
    const send = (encoded: string | ArrayBuffer) => this._link.send(encoded);
    const limit = this.session!.limits.frame ?? Infinity;
    for (const subscription of this._subscriptions.values()) {
      if (this._subscribing.size >= WINDOW || this._pause) break;
      if (subscription.state !== 'pending' || subscription._id) continue;
      const command = subscription._command(this._link.nextId());
      this._subscribing.set(command.id!, subscription);
      send(encode(command));
    }
    for (const call of this._calls.values()) {
      if (call.sent) continue;
      if (sizeOf(call.encoded) > limit) {
        call.settle(new DuplexError('too-large', `the command takes ${sizeOf(call.encoded)} bytes; a frame has at most ${limit}`));
      } else {
        call.sent = true;
        send(call.encoded);
      }
    }
    this._outbox.flush(send, WINDOW, limit);
  }

  private _down(error?: DuplexError): void {
    clearTimeout(this._pause as number);
    this._pause = undefined;
    this._subscribing.clear();
    for (const call of [...this._calls.values()]) {
      if (error) call.settle(error);
      else if (call.sent && !call.resend) call.settle(new DuplexError('disconnected', 'the connection was lost before the answer'));
      call.sent = false;
      call.messages = [];
    }
    this._outbox.down(error);
    for (const subscription of this._subscriptions.values()) subscription._pending(error);
  }

  private _frame(frame: Frame): void {
    switch (frame.type) {
      case 'message':
        if (frame.reply) this._calls.get(frame.reply)?.messages.push(toMessage(frame));
        else this._subscriptions.get(frame.sub ?? frame.topic!)?._push(frame);
        break;
      case 'gap':
      case 'join':
      case 'leave':
        this._subscriptions.get(frame.sub ?? frame.topic!)?._push(frame);
        break;
      case 'unsubscribed':
        this._ended(frame.topic!, new DuplexError(frame.code!, frame.message!));
        break;
      case 'reply':
      case 'error':
        this._answer(frame);
    }
  }

  private _answer(frame: Frame): void {
    const error = frame.type === 'error' ? new DuplexError(frame.code!, frame.message!, frame.retry) : undefined;
    const call = this._calls.get(frame.id!);
    if (call) call.settle(error, frame);
    else if (this._outbox.answer(frame)) this._flush();
    else if (!this._subscribed(frame, error) && error && !frame.id) this._emit('error', error);
  }

  /** Takes the answer to a subscribe; false if it is not one. */
  private _subscribed(frame: Frame, error?: DuplexError): boolean {
    const subscription = this._subscribing.get(frame.id!);
    if (!subscription) return false;
    this._subscribing.delete(frame.id!);
    if (!error) {
      subscription._live(frame);
    } else if (error.retry != null || /^(unavailable|internal)$/.test(error.code)) {
      subscription._id = 0;
      clearTimeout(this._pause as number);
      this._pause = setTimeout(() => {
        this._pause = undefined;
        this._flush();
      }, error.retry ?? 1_000 + Math.random() * 4_000);
    } else {
      this._ended(subscription.topic, error);
    }
    this._flush();
    return true;
  }

  private _ended(topic: string, error?: DuplexError): void {
    const subscription = this._subscriptions.get(topic);
    this._subscriptions.delete(topic);
    subscription?._end(error);
  }

  private async _unsubscribe(subscription: Subscription<any>): Promise<void> {
    if (subscription.state === 'ended') return;
    const { topic, state, _id } = subscription;
    this._ended(topic);
    this._subscribing.delete(_id);
    if (this._link.state === 'open' && (_id || state === 'live')) {
      // Whatever goes wrong, it does not come back: the next connection does not ask for it.
      await this._call({ type: 'unsubscribe', topic }, undefined, false).catch(() => {});
    }
  }

  private _askPresence(subscription: Subscription<any>): void {
    const { onPresence } = subscription._options;
    if (!onPresence) return;
    this.presence(subscription.topic).then((presence) => {
      if (subscription.state === 'live') this._run(onPresence, subscription._options, presence);
    }, (error) => {
      if (this._link.state === 'open') this._emit('error', error);
    });
  }

  private _emit<E extends keyof ClientEvents>(event: E, argument: ClientEvents[E]): void {
    for (const listener of [...this._listeners.get(event) ?? []]) this._run(listener, this, argument);
  }

  private _run<A>(callback: ((argument: A) => void) | undefined, self: object, argument: A): void {
    try {
      callback?.call(self, argument);
    } catch (error) {
      setTimeout(() => { throw error; }); // to where uncaught errors of this place are reported
    }
  }
}
