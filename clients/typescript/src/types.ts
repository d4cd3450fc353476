// What the package's users see, but for the classes. All durations are milliseconds; all times are milliseconds since 1970.

import type { DuplexError } from './errors.js';
import type { Platform } from './platform.js';

/** "Everything up to here is known." Offsets are comparable within one epoch only. */
export interface Position {
  epoch: string;
  offset: number;
}

/** Who published or is present. */
export interface Sender {
  /** The token's user; begins with `~` if there was no token. */
  user: string;
  /** What the user's token or client says about itself. */
  info?: object;
}

/** A message of a topic. */
export interface Message<T = unknown> {
  topic: string;
  /** What was published; a Uint8Array if it was bytes. */
  data: T;
  /** Its place in the topic; 0 if it has none, as in topics without history of a server with several nodes. */
  offset: number;
  /** When the server got it. */
  time: number;
  messageId?: string;
  key?: string;
  /** Absent when the program behind the server published it. */
  from?: Sender;
  meta?: object;
}

/** Messages after `since` and up to `until` are lost to this client, except those that it still gets. */
export interface Gap {
  /** Absent when the gap may concern any topic of a pattern. */
  topic?: string;
  reason: 'expired' | 'epoch' | 'slow' | 'superseded' | 'lost' | (string & {});
  since?: Position;
  until?: Position;
  /** How many messages were dropped, where the server counted. */
  count?: number;
  /** True: joins or leaves were dropped too. With `onPresence` the client asks again by itself. */
  presence?: boolean;
}

/** Who is in a topic. */
export interface Presence {
  /** The number of users. */
  count: number;
  connections: number;
  /** At most 1,000 of them; absent where the topic only counts. */
  users?: (Sender & { connections: number })[];
}

/**
 * - `pending`: not subscribed at the server at the moment, and will be as soon as there is a connection.
 * - `live`: the server has confirmed it.
 * - `ended`: by `unsubscribe()`, or by the server, which then gave an error.
 */
export type SubscriptionState = 'pending' | 'live' | 'ended';

/** What goes with a new state of a subscription. */
export interface SubscriptionChange {
  state: SubscriptionState;
  /** With `live`: where it begins. */
  position?: Position;
  /** With `live`, when it began at a position: true if nothing was lost, otherwise `onGap` follows. */
  recovered?: boolean;
  /** With `ended`: why, unless `unsubscribe()` was called. */
  error?: DuplexError;
}

/** Options of `subscribe`. Callbacks run one after the other, in the server's order. */
export interface SubscribeOptions<T = unknown> {
  /** Begin with what came after this position, for example one that was stored. Absent: begin with what is published from now on. */
  since?: Position;
  /** Without `since`: begin with the last so many messages, as far as the topic keeps them. It counts once: later connections resume. */
  last?: number;
  /** Ask for `onJoin` and `onLeave`; not for patterns. Default: whether one of the callbacks for presence is given. */
  presence?: boolean;
  onMessage?(message: Message<T>): void;
  onGap?(gap: Gap): void;
  onJoin?(who: Sender): void;
  onLeave?(who: Sender): void;
  /** Who is there, each time the subscription has become live and after lost joins or leaves: whatever you know, replace it by this. */
  onPresence?(presence: Presence): void;
  onState?(change: SubscriptionChange): void;
}

/** Options of `publish`. */
export interface PublishOptions {
  /** What the message is about, at most 255 bytes: a topic with the policy `latest` keeps the newest of each key for a slow reader. */
  key?: string;
  /** False: do not send it to this client, if it is subscribed. Default true. */
  echo?: boolean;
  /** An object of at most 1 KiB, passed on. */
  meta?: object;
  /** 1 to 64 characters out of `A-Z a-z 0-9 - _ . ~`, new for each message. Default: a random one. */
  messageId?: string;
  /**
   * True: now or never. Rejects with `offline` without a connection and with `outbox-full` if others wait before it, and is not sent a
   * second time. Default false.
   */
  volatile?: boolean;
  /** Give up after this long. Default: `outbox.age`. */
  timeout?: number;
}

/**
 * What `publish` resolves with: the message has its place, and whoever is subscribed or comes back gets it, or a gap. `offset` is 0 as in
 * `Message`.
 */
export interface Published extends Position {
  messageId: string;
  /** True: an earlier `publish` with this messageId is what has been delivered. */
  duplicate?: boolean;
}

/** Options of `request`. */
export interface RequestOptions {
  /** For everything together, waiting for a connection included; at most 30,000. Default 10,000. */
  timeout?: number;
  /** True: ask again if the connection is lost before the answer, for requests that may be carried out twice. Default false. */
  resend?: boolean;
}

/** Options of `history`. Without `before` or `after`: the last messages. */
export interface HistoryOptions {
  /** 1 to 1,000. Default 100. */
  limit?: number;
  /** Only messages before this offset, the nearest ones. */
  before?: number;
  /** Only messages after this offset, the nearest ones. */
  after?: number;
  /** What `before` or `after` belongs to; the answer's `lost` is true if it is not the present epoch. */
  epoch?: string;
  /** Default 10,000. */
  timeout?: number;
}

/** A page of history. */
export interface History<T = unknown> {
  /** In ascending order, whatever was asked for. */
  messages: Message<T>[];
  epoch: string;
  /** The topic keeps further messages in that direction. */
  more: boolean;
  /** Messages that were asked for are forgotten. */
  lost: boolean;
}

/**
 * - `connecting`: opening a connection.
 * - `open`: connected; commands are answered.
 * - `waiting`: there is no connection, another attempt will be made by itself.
 * - `asleep`: the page is hidden away (frozen, or in the back/forward cache); it comes back when the page does.
 * - `closed`: by `close()`, or for good by the server. `connect()` begins anew.
 */
export type ClientState = 'connecting' | 'open' | 'waiting' | 'asleep' | 'closed';

/** What goes with a new state of the client. */
export interface StateChange {
  state: ClientState;
  /** With `waiting` and `closed`: the close code of the connection, 1006 if there was none. */
  code?: number;
  /** With `waiting` and `closed`: why, as the server or the client says. */
  error?: DuplexError;
  /** With `waiting`: how long until the next attempt. */
  after?: number;
  /** With `open`: true if this continues the session of the last connection, so nobody has seen a leave and a join. */
  resumed?: boolean;
}

/** What the server says about a connection. */
export interface Session {
  /** Stays the same as long as connections resume each other. */
  session: string;
  user: string;
  /** When the token expires, by the server's clock. */
  expires?: number;
  /** For the option `resume` of a client that goes on with this session. */
  resume?: string;
  limits: { frame?: number; subscriptions?: number };
}

/** Events of a client, for `on`. */
export interface ClientEvents {
  state: StateChange;
  /** What no promise and no subscription can report: a token callback that failed, a refused refresh, a malformed frame. */
  error: DuplexError;
}

/** Options of a client. */
export interface ClientOptions {
  /** A JWT, or what gets one: called for the first connection, before the token expires, and once when the server refuses it. */
  token?: string | (() => string | undefined | Promise<string | undefined>);
  /** What others see of this client, at most 1 KiB. A token's `info` takes its place. */
  info?: object;
  /**
   * What `session.resume` of an earlier client was: this one goes on with its session, as the same user, for example after a page was
   * reloaded. The other one, if it is still connected, is closed with 4409. It is a secret; `sessionStorage` is a place for it.
   */
  resume?: string;
  /** Waits between attempts are random between 0 and `base` (default 1,000), doubled with each failure up to `max` (default 30,000). */
  backoff?: { base?: number; max?: number };
  /** How long an attempt may take, from asking for a token to the server's answer. Default 15,000. */
  connectTimeout?: number;
  /**
   * How long the server may be silent after it was asked for a sign of life, before the connection counts as lost. An upload that makes
   * progress prolongs it, and so does what was sent since the server was last heard: 65 s for a MiB. Default 10,000; half of it when the
   * page has just woken up.
   */
  pongTimeout?: number;
  /**
   * Bounds of what waits to be published: `messages` (default 1,000), `bytes` (default 8 MiB), and `age`, the longest wait of a message
   * (default an hour).
   */
  outbox?: { messages?: number; bytes?: number; age?: number };
  /** A constructor like the browser's WebSocket, such as that of `ws` in Node 20. Default: the global one. */
  WebSocket?: WebSocketConstructor;
  /** Where the client runs: `wechat()`, `uni()`, `share()`, or your own. Default: a browser, or Node. */
  platform?: Platform;
}

/** The part of a WebSocket that the client uses. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(data: string | ArrayBuffer): void;
  close(code?: number, reason?: string): void;
}

/** The constructor of a WebSocket. */
export type WebSocketConstructor = new (url: string, protocols?: string | string[]) => WebSocketLike;
