// What a client needs of the place it runs in.

import { DuplexError } from './errors.js';
import type { WebSocketConstructor } from './types.js';

/** A connection as the client sees it. */
export interface Socket {
  /** Sends text or bytes. Called after `open` only. */
  send(data: string | ArrayBuffer): void;
  /** Closes it; harmless when it is closed. The events that may still come are ignored. */
  close(code: number, reason: string): void;
  /** Bytes that were given to `send` and have not left. Absent where that cannot be known. */
  readonly buffered?: number;
}

/** What a connection tells the client. None may be called before `connect` has returned. */
export interface SocketEvents {
  open(): void;
  message(data: string | ArrayBuffer): void;
  /** The connection has ended, or could not be made (code 1006). Called once. */
  close(code: number, reason: string): void;
}

/** What the surroundings tell the client. */
export interface PageEvents {
  /** The page is being put away: end the connection, and stay without one until `wake`. */
  sleep(): void;
  /** The page or the network is back: connect now, or find out now whether the connection has survived. */
  wake(): void;
  /** The network may be gone: find out now. */
  check(): void;
}

/** A place to run in. */
export interface Platform {
  /** Opens a connection; may throw if that is impossible at once. */
  connect(url: string, protocol: string, events: SocketEvents): Socket;
  /** Reports sleep and wake until the function that it returns is called. */
  watch?(page: PageEvents): () => void;
}

/** Browsers, their workers, and Node. The constructor is looked up at each connection, so that tests and wrappers may replace it. */
export const web = (constructor?: WebSocketConstructor): Platform => ({
  connect(url, protocol, events) {
    const WebSocket = constructor ?? globalThis.WebSocket as WebSocketConstructor | undefined;
    if (!WebSocket) throw new DuplexError('offline', 'there is no WebSocket: give one with the option WebSocket, such as that of "ws"');
    const socket = new WebSocket(url, [protocol]);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => events.open();
    socket.onmessage = ({ data }) => events.message(data);
    socket.onclose = ({ code, reason }) => events.close(code, reason);
    socket.onerror = () => {}; // says nothing that close does not
    return {
      send: (data) => socket.send(data),
      close: (code, reason) => socket.close(code, reason),
      get buffered() { return socket.bufferedAmount; },
    };
  },

  watch({ sleep, wake, check }) {
    if (typeof addEventListener !== 'function') return () => {};
    const page = typeof document === 'object' ? document : undefined;
    const seen = () => { if (!page!.hidden) wake(); };
    const events: [EventTarget | undefined, string, () => void][] = [
      [globalThis, 'online', wake], [globalThis, 'offline', check], [globalThis, 'pagehide', sleep], [globalThis, 'pageshow', wake],
      [page, 'freeze', sleep], [page, 'resume', wake], [page, 'visibilitychange', seen],
    ];
    for (const [target, name, listener] of events) target?.addEventListener(name, listener);
    return () => { for (const [target, name, listener] of events) target?.removeEventListener(name, listener); };
  },
});
