// What the mini-programs of WeChat and of uni-app's platforms have in common.

import type { Platform } from './platform.js';

/** A connection of a mini-program. */
export interface SocketTask {
  send(options: { data: string | ArrayBuffer; complete?: () => void }): void;
  close(options: { code?: number; reason?: string }): void;
  onOpen(callback: () => void): void;
  onMessage(callback: (result: { data: any }) => void): void;
  onClose(callback: (result: any) => void): void;
  onError(callback: (result: any) => void): void;
}

/** The part of `wx` or `uni` that the client uses. */
export interface MiniProgram {
  connectSocket(options: {
    url: string; protocols?: string[]; multiple?: boolean; fail?: (result: any) => void; complete?: () => void;
  }): any;
  onAppShow?(callback: () => void): void;
  offAppShow?(callback: () => void): void;
  onNetworkStatusChange?(callback: (result: any) => void): void;
  offNetworkStatusChange?(callback: (result: any) => void): void;
}

/** The platform of a mini-program with this interface. */
export const miniProgram = (api: MiniProgram): Platform => ({
  connect(url, protocol, events) {
    let open = false;
    let over = false;
    let buffered = 0;
    let farewell: { code: number; reason: string } | undefined;
    const end = (code: number, reason: string) => {
      if (over) return;
      over = true;
      events.close(code, reason);
    };
    const failed = (result?: any) => end(1006, String(result?.errMsg ?? 'there are too many connections'));
    // fail may come before connectSocket has returned, and the client is not to be called before connect has.
    const fail = (result: any) => { setTimeout(() => failed(result)); };
    const task: SocketTask | undefined = api.connectSocket({
      url,
      protocols: [protocol],
      fail,
      complete() {}, // without a callback uni returns a Promise
      multiple: true, // Alipay's mini-programs have one connection otherwise
    });
    if (!task || typeof task.onOpen !== 'function') {
      setTimeout(failed, 100); // nothing to wait for, but a reason may still come
    } else {
      task.onOpen(() => {
        open = true;
        if (farewell) task.close(farewell);
        else if (!over) events.open();
      });
      task.onMessage(({ data }) => { if (!over) events.message(data); });
      // A connection that the system cuts in the background ends with code 0 or 1000.
      task.onClose((result) => end(result?.code || 1006, String(result?.reason ?? '')));
      task.onError((result) => {
        if (open && !over) task.close({ code: 4000 });
        failed(result);
      });
    }
    return {
      send(data) {
        const size = typeof data === 'string' ? data.length : data.byteLength;
        buffered += size;
        task!.send({ data, complete() { buffered -= size; } });
      },
      close(code, reason) {
        if (over || farewell) return;
        // Closing what is not open yet does nothing there, and every connection that is left over counts against the limit of 5.
        farewell = { code, reason };
        if (open) task!.close(farewell);
      },
      get buffered() { return buffered; },
    };
  },

  watch({ wake, check }) {
    const network = (result: any) => (result?.isConnected === false ? check() : wake());
    // Going to the background is no reason to sleep: choosing a picture does that too, and the system cuts what lasts longer than 5 s.
    api.onAppShow?.(wake);
    api.onNetworkStatusChange?.(network);
    return () => {
      api.offAppShow?.(wake);
      api.offNetworkStatusChange?.(network);
    };
  },
});
