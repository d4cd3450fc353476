/**
 * One connection for all tabs of a site.
 *
 * @module
 */
import { Mux } from './mux.js';
import { web, type Platform, type Socket, type SocketEvents } from './platform.js';

export type { Platform } from './platform.js';

/** Options of `share`. */
export interface ShareOptions {
  /**
   * Tabs with the same name share. They must have the same user, for the connection has the token and the `info` of the tab that holds
   * it: put the user's name into it if several can be signed in at once. Default: the URL of the server.
   */
  name?: string;
  /** What makes the one connection. Default: a WebSocket. */
  platform?: Platform;
}

/** What goes through the channel. `from` and `to` are connections of tabs, not tabs: each attempt has a name of its own. */
type Note =
  | { is: 'lead' } // a new leader: whoever looks for one may call again
  | { is: 'hello'; from: string }
  | { is: 'open'; to: string[]; from: string }
  | { is: 'up'; to: string; from: string; data: string | ArrayBuffer }
  | { is: 'down'; to: string[]; data: string | ArrayBuffer }
  | { is: 'close'; to: string[]; code: number; reason: string };

/**
 * A platform for browsers on which all tabs of an origin share one connection, for the option `platform` of a client. One tab holds it,
 * and the others speak through that tab; when it closes, another takes over, and each subscription continues where it was.
 * Where there are no Web Locks (in pages that are not from `https:` or localhost) each tab has its own connection.
 */
export function share({ name, platform = web() }: ShareOptions = {}): Platform {
  if (typeof navigator !== 'object' || !navigator.locks || typeof BroadcastChannel !== 'function') return platform;
  return {
    connect: (url, protocol, events) => new Tab(`duplex.v1 ${name ?? url}`, url, protocol, platform, events),
    ...(platform.watch && { watch: (page) => platform.watch!(page) }),
  };
}

/** The end of a tab's connection at that tab; and in the leader's tab, the whole of it. */
class Tab implements Socket {
  private readonly _id = Math.random().toString(36).slice(2);
  private readonly _channel: BroadcastChannel;
  private readonly _left = new AbortController();
  private _leader: string | undefined;
  private _mux: Mux | undefined;
  private _upstream: Socket | undefined;
  private _linger = 0;
  private _over = false; // nothing more for the client
  private _closed = false; // nor for the channel

  constructor(
    private readonly _name: string, private readonly _url: string, private readonly _protocol: string, private readonly _platform: Platform,
    private readonly _events: SocketEvents,
  ) {
    this._channel = new BroadcastChannel(_name);
    this._channel.onmessage = ({ data }) => this._note(data);
    // A lock of its own says that the tab is there, even to a leader that it cannot tell any more.
    this._hold(`${_name} ${this._id}`, () => {
      this._post({ is: 'hello', from: this._id });
      this._hold(_name, () => this._lead());
    });
  }

  send(data: string | ArrayBuffer): void {
    if (this._mux) this._mux.fromTab(this._id, data);
    else this._post({ is: 'up', to: this._leader!, from: this._id, data });
  }

  /** Leaves. A leader takes the connection with it, so that the next one makes its own; the page may go to sleep now. */
  close(code: number, reason: string): void {
    this._over = this._closed = true;
    this._upstream?.close(code, reason);
    this._upstream = undefined;
    this._channel.close();
    if (this._linger) setTimeout(() => this._left.abort(), this._linger);
    else this._left.abort();
  }

  get buffered(): number {
    return this._upstream?.buffered ?? 0;
  }

  /** Holds a lock until it leaves. */
  private _hold(lock: string, held: () => void): void {
    const { signal } = this._left;
    navigator.locks.request(lock, { signal }, () => {
      if (this._closed) return undefined;
      const left = new Promise((resolve) => { signal.addEventListener('abort', resolve); });
      held();
      return left;
    }).catch(() => {}); // it has left
  }

  private _post(note: Note): void {
    if (!this._closed) this._channel.postMessage(note);
  }

  private _note(note: Note): void {
    switch (note.is) {
      case 'lead':
        if (!this._leader && !this._mux) this._post({ is: 'hello', from: this._id });
        break;
      case 'hello':
        if (this._mux) this._admit(note.from);
        break;
      case 'open':
        if (this._leader || this._mux || !note.to.includes(this._id)) break;
        this._leader = note.from;
        this._events.open();
        break;
      case 'up':
        if (note.to === this._id) this._mux?.fromTab(note.from, note.data);
        break;
      case 'down':
        if (note.to.includes(this._id)) this._events.message(note.data);
        break;
      case 'close':
        if (note.to.includes(this._id)) this._end(note.code, note.reason);
    }
  }

  private _end(code: number, reason: string): void {
    if (this._over) return;
    this._over = true;
    this._events.close(code, reason);
  }

  /** It is this tab's turn: the leader before has gone. */
  private _lead(): void {
    // What went through that leader is lost; the client begins anew, and asks for what it missed.
    if (this._leader) return this._end(1012, 'another tab takes over; retry-after=0ms');
    this._mux = new Mux(this._id, (data) => this._upstream?.send(data), (to, data) => {
      const others = to.filter((id) => id !== this._id);
      if (others.length) this._post({ is: 'down', to: others, data });
      if (others.length < to.length) queueMicrotask(() => { if (!this._over) this._events.message(data); });
    }, () => this._lost(1013, 'one subscription of several tabs failed'));
    try {
      this._upstream = this._platform.connect(this._url, this._protocol, {
        open: () => this._events.open(),
        message: (data) => this._fromServer(data),
        close: (code, reason) => this._lost(code, reason),
      });
    } catch (error) {
      return this._lost(1006, String(error));
    }
    this._post({ is: 'lead' });
  }

  private _fromServer(data: string | ArrayBuffer): void {
    try {
      this._mux!.fromServer(data);
    } catch (error) {
      this._lost(1006, `the server sent what is no frame: ${error}`);
    }
  }

  /** The connection has ended. The tabs are told how before the lock says it, which would bring them back at once. */
  private _lost(code: number, reason: string): void {
    this._linger = 250;
    const { tabs } = this._mux!;
    if (tabs.length) this._post({ is: 'close', to: tabs, code, reason });
    this._end(code, reason);
  }

  /** Takes in another tab, until its lock is free. */
  private _admit(tab: string): void {
    const { signal } = this._left;
    navigator.locks.request(`${this._name} ${tab}`, { signal }, () => { if (this._upstream) this._mux!.gone(tab); }).catch(() => {});
    this._post({ is: 'open', to: [tab], from: this._id });
  }
}
