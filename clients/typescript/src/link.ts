// One connection after the other: when to come, when to come back, with which token, and whether the other side is still there.
// It knows nothing of topics; frames that are not its own go to its host.

import { decode, encode, sizeOf, type Frame } from './codec.js';
import { DuplexError } from './errors.js';
import { LONGEST } from './limits.js';
import type { Platform, Socket } from './platform.js';
import type { ClientOptions, ClientState, Session, StateChange } from './types.js';

/** What a link tells the client. */
export interface Host {
  /** Connected and answered. */
  up(): void;
  /** The connection has gone; `error` says why if none will follow. */
  down(error?: DuplexError): void;
  frame(frame: Frame): void;
  state(change: StateChange): void;
  error(error: DuplexError): void;
}

/** A connection that lasted this long ends a row of failures. */
const STABLE = 5_000;
/** The slowest network that a connection is kept on while it uploads, in bytes a millisecond. */
const SLOWEST = 16;
/** Close codes after which the server does not want to see this client again. 4401 has rules of its own. */
const FINAL = [1008, 4400, 4403, 4409];
/** What the client says when it drops a connection that it wants to resume; 1000 is for the end. */
const DROPPED = 4000;

export class Link {
  state: ClientState = 'closed';
  session: Session | undefined;

  private _socket: Socket | undefined;
  private _attempt: object | undefined; // a new one for each connection: what belongs to another is stale
  private _connectId = 0;
  private _refreshId = 0;
  private _lastId = 0;
  private _resume: string | undefined;
  private _openedAt = 0;
  private _failures = 0;
  private _notBefore = 0;
  private _bye: Frame | undefined; // the disconnect, or the error that answered connect
  private _token: string | undefined;
  private _tokenUntil = Infinity; // by our clock
  private _tokenRetried = false;
  private _skew = 0; // of the server's clock
  private _sent = 0; // bytes given to the socket
  private _heard = 0; // how many of them when something last came
  private _timer: unknown; // of the attempt, or until the next one
  private _beat: unknown;
  private _pong: unknown;
  private _refresh: unknown;
  private _unwatch: (() => void) | undefined;

  constructor(
    private readonly _url: string,
    private readonly _options: ClientOptions,
    private readonly _platform: Platform,
    private readonly _host: Host,
  ) {
    this._resume = _options.resume;
  }

  nextId(): number {
    return ++this._lastId;
  }

  connect(): void {
    if (this.state === 'closed') {
      this._failures = this._notBefore = 0;
      this._tokenRetried = false;
      this._unwatch = this._platform.watch?.({ sleep: () => this._sleep(), wake: () => this._wake(), check: () => this._check() });
      this._dial();
    } else {
      this._wake();
    }
  }

  close(code: number, error: DuplexError): void {
    if (this.state === 'closed') return;
    this._unwatch?.();
    this._unwatch = this.session = undefined;
    if (code === 1000) this._resume = undefined; // else connect() takes the session back
    this._drop(code === 1000 ? code : DROPPED, error.code);
    this._set({ state: 'closed', code, error });
    this._host.down(error);
  }

  send(encoded: string | ArrayBuffer): void {
    this._sent += sizeOf(encoded);
    try {
      this._socket?.send(encoded);
    } catch {
      // It is closing; its close event follows.
    }
  }

  private _set(change: StateChange): void {
    this.state = change.state;
    this._host.state(change);
  }

  private _dial(): void {
    const attempt = this._attempt = {};
    const current = () => attempt === this._attempt;
    const limit = this._options.connectTimeout ?? 15_000;
    clearTimeout(this._timer as number);
    this._bye = undefined;
    this._timer = setTimeout(() => this._ended(1006, `no answer within ${limit} ms`), limit);
    this._set({ state: 'connecting' });
    this._getToken().then((token) => {
      if (!current()) return;
      this._connectId = this.nextId();
      const { info } = this._options;
      const first = encode({ type: 'connect', id: this._connectId, token, resume: this._resume, info });
      this._socket = this._platform.connect(this._url, 'duplex.v1', {
        open: () => { if (current()) this.send(first); },
        message: (data) => { if (current()) this._receive(data); },
        close: (code, reason) => { if (current()) this._ended(code, reason); },
      });
    }).catch((error) => {
      if (!current()) return;
      this._host.error(error instanceof DuplexError ? error : new DuplexError('offline', `cannot connect: ${error}`));
      this._ended(1006, String(error));
    });
  }

  private async _getToken(): Promise<string | undefined> {
    const { token } = this._options;
    if (typeof token !== 'function') return token;
    if (this._token === undefined || Date.now() >= this._tokenUntil) this._token = await token();
    return this._token;
  }

  private _receive(data: string | ArrayBuffer): void {
    clearTimeout(this._pong as number);
    this._pong = undefined;
    this._heard = this._sent;
    let frame: Frame;
    try {
      frame = decode(data);
    } catch (error) {
      this._host.error(new DuplexError('bad-frame', `the server sent what is no frame: ${error}`));
      return this._ended(1006, 'bad frame');
    }
    if (frame.type === 'disconnect') {
      this._bye = frame;
    } else if (frame.id && frame.id === this._connectId) {
      this._connectId = 0;
      if (frame.type === 'reply') this._open(frame);
      else this._refused(frame);
    } else if (frame.id && frame.id === this._refreshId) {
      if (frame.type === 'reply') this._expires(frame.expires);
      else this._host.error(new DuplexError(frame.code!, `the new token: ${frame.message}`));
    } else {
      this._host.frame(frame);
    }
  }

  private _open(frame: Frame): void {
    clearTimeout(this._timer as number);
    const { session, user, resume, expires, limits, time, ping } = frame;
    const resumed = session === this.session?.session;
    this.session = { session: session!, user: user!, limits: limits ?? {}, ...(resume && { resume }), ...(expires && { expires }) };
    this._resume = resume;
    this._openedAt = Date.now();
    const every = Math.min(Math.max(ping ?? 25_000, 1_000), LONGEST);
    // setInterval would pile up beats in a page that is throttled.
    const beat = () => {
      this._beat = setTimeout(beat, every);
      // Asking again would put off the verdict, where patience is longer than a beat.
      if (!this._pong) this._probe(this._options.pongTimeout ?? 10_000);
    };
    this._beat = setTimeout(beat, every);
    this._expires(expires, time);
    this._set({ state: 'open', resumed });
    this._host.up();
  }

  private _refused(frame: Frame): void {
    this._bye = { after: frame.retry, reconnect: !!frame.retry || /^(rate|unavailable|internal)$/.test(frame.code!), ...frame };
    this._ended(/^token-/.test(frame.code!) ? 4401 : 1006, frame.message ?? '');
  }

  /** Ends the present connection without a word to anybody else. */
  private _drop(code: number, reason: string): void {
    for (const timer of [this._timer, this._beat, this._pong, this._refresh]) clearTimeout(timer as number);
    this._attempt = this._pong = undefined;
    const socket = this._socket;
    this._socket = undefined;
    try {
      socket?.close(code, reason);
    } catch {
      // Some refuse to close what is not open yet; it is of no interest any more.
    }
  }

  /** The connection is lost: decides whether and when there is another. */
  private _ended(code: number, reason: string): void {
    const bye = this._bye;
    const error = new DuplexError(bye?.code ?? 'disconnected', bye?.message || reason || `the connection ended with code ${code}`);
    if (this.state === 'open' && Date.now() - this._openedAt >= STABLE) {
      this._failures = 0;
      this._tokenRetried = false;
    }
    this._drop(DROPPED, '');
    let after = bye?.after ?? Number(/retry-after=(\d+)ms/.exec(reason)?.[1] ?? NaN);
    let again = bye?.reconnect ?? !FINAL.includes(code);
    if (code === 4401) {
      again = typeof this._options.token === 'function' && !this._tokenRetried;
      this._tokenRetried = true;
      this._token = undefined;
      // Revoking refuses what is issued in the same second, too.
      after ||= bye?.code === 'token-revoked' ? 1_100 : 0;
    }
    if (!again) return this.close(code, error);
    this._notBefore = Date.now() + (after || 0);
    if (isNaN(after)) {
      const { base = 1_000, max = 30_000 } = this._options.backoff ?? {};
      after = Math.random() * Math.min(max, base * 2 ** this._failures);
    }
    this._failures++;
    this._wait(after, { state: 'waiting', code, error, after: Math.round(after) });
    this._host.down();
  }

  private _wait(after: number, change: StateChange): void {
    clearTimeout(this._timer as number);
    this._timer = setTimeout(() => this._dial(), Math.min(after, LONGEST));
    this._set(change);
  }

  private _sleep(): void {
    if (this.state === 'closed' || this.state === 'asleep') return;
    this._drop(DROPPED, 'asleep');
    this._set({ state: 'asleep' });
    this._host.down();
  }

  private _wake(): void {
    const after = this._notBefore - Date.now();
    this._check();
    if (this.state !== 'asleep' && this.state !== 'waiting') return;
    this._failures = 0; // they were another network's, or nobody's who was looking
    if (after > 0) this._wait(after, { state: 'waiting', after });
    else this._dial();
  }

  private _check(): void {
    if (this.state === 'open') this._probe((this._options.pongTimeout ?? 10_000) / 2);
  }

  /** Asks for a sign of life. What is still being sent stands before the question, so progress there counts as one. */
  private _probe(limit: number): void {
    const waiting = () => this._socket?.buffered ?? 0;
    // What the system has taken may be on its way for long.
    const allowed = limit + Math.min(this._sent - this._heard, 2 ** 20) / SLOWEST;
    const watch = (before: number, gone: number) => {
      clearTimeout(this._pong as number);
      this._pong = setTimeout(() => {
        const now = waiting();
        // The question itself, and a little more, disappears into the system even if nobody is there.
        if ((before || now) && this._sent - now - gone > 256) watch(now, this._sent - now);
        else this._ended(1006, `no sign of life within ${Math.round(allowed)} ms`);
      }, allowed);
    };
    watch(waiting(), this._sent - waiting());
    this.send(encode({ type: 'ping', id: this.nextId() }));
  }

  /** Plans the refresh of a token: a minute before it expires, or a fifth of its rest if that is less. */
  private _expires(expires: number | undefined, serverTime?: number): void {
    clearTimeout(this._refresh as number);
    if (serverTime) this._skew = serverTime - Date.now();
    if (!expires) return;
    const rest = expires - this._skew - Date.now();
    const until = Math.max(rest - 60_000, rest * 0.8);
    this._tokenUntil = Date.now() + until;
    if (typeof this._options.token === 'function') this._planRefresh(until);
  }

  private _planRefresh(after: number): void {
    const attempt = this._attempt;
    this._refresh = setTimeout(() => {
      if (after > LONGEST) return this._planRefresh(after - LONGEST);
      this._token = undefined;
      this._getToken().then((token) => {
        if (attempt !== this._attempt) return;
        this._refreshId = this.nextId();
        this.send(encode({ type: 'refresh', id: this._refreshId, token }));
      }, (error) => {
        this._host.error(new DuplexError('token-expired', `no new token: ${error}`));
        if (attempt === this._attempt) this._planRefresh(10_000);
      });
    }, Math.min(after, LONGEST));
  }
}
