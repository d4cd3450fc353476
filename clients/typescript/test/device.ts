// Mini-programs: their calls, played as their documents describe them, and the bare language that they run in.

import { runInNewContext } from 'node:vm';
import { build } from 'esbuild';
import { WebSocket } from 'ws';
import type { MiniProgram, SocketTask } from '../src/wechat.js';

/** wx or uni, as far as documented: SocketTasks over real sockets, at most five, string or ArrayBuffer, cut in the background. */
export class Device {
  readonly tasks = new Set<WebSocket>();
  background = false;
  private readonly _shown = new Set<() => void>();
  private readonly _network = new Set<(result: object) => void>();
  private readonly _style: 'wechat' | 'uni';

  constructor(style: 'wechat' | 'uni') {
    this._style = style;
  }

  get api(): MiniProgram {
    return {
      connectSocket: (options) => this._connect(options),
      onAppShow: (callback) => { this._shown.add(callback); },
      offAppShow: (callback) => { this._shown.delete(callback); },
      onNetworkStatusChange: (callback) => { this._network.add(callback); },
      offNetworkStatusChange: (callback) => { this._network.delete(callback); },
    };
  }

  get listeners(): number {
    return this._shown.size + this._network.size;
  }

  hide(): void {
    this.background = true;
    for (const socket of this.tasks) socket.terminate();
  }

  show(): void {
    this.background = false;
    for (const callback of this._shown) callback();
  }

  private _connect(options: Parameters<MiniProgram['connectSocket']>[0]): SocketTask | Promise<unknown> | undefined {
    const { url, protocols, fail, complete } = options;
    // uni gives a Promise where there is no callback.
    if (this._style === 'uni' && !fail && !complete) return Promise.resolve();
    if (this.background || this.tasks.size >= 5) {
      setTimeout(() => {
        fail?.({ errMsg: this.background ? 'connectSocket:fail interrupted' : 'connectSocket:fail exceed max task count' });
        complete?.();
      });
      return undefined;
    }
    const socket = new WebSocket(url, protocols);
    socket.binaryType = 'arraybuffer';
    this.tasks.add(socket);
    const callbacks: Record<string, (result: any) => void> = {};
    socket.onopen = () => callbacks.open?.({ header: {} });
    socket.onmessage = ({ data }) => callbacks.message?.({ data });
    socket.onerror = ({ message }) => callbacks.error?.({ errMsg: message });
    socket.onclose = ({ code, reason }) => {
      this.tasks.delete(socket);
      callbacks.close?.(this.background ? { code: 1000, reason: 'interrupted' } : { code, reason });
    };
    setTimeout(() => complete?.());
    return {
      onOpen: (callback) => { callbacks.open = callback; },
      onMessage: (callback) => { callbacks.message = callback; },
      onClose: (callback) => { callbacks.close = callback; },
      onError: (callback) => { callbacks.error = callback; },
      // The class of another realm is as good as ours; a view is what the documents do not allow.
      send: ({ data, complete: sent }) => {
        const kind = Object.prototype.toString.call(data);
        if (typeof data !== 'string' && kind !== '[object ArrayBuffer]') throw new TypeError('string or ArrayBuffer');
        socket.send(typeof data === 'string' ? data : new Uint8Array(data), () => sent?.());
      },
      // As documented: before it is open, closing does nothing.
      close: ({ code, reason }) => { if (socket.readyState === WebSocket.OPEN) socket.close(code, reason); },
    };
  }
}

type Module = typeof import('../src/duplex-client.js') & typeof import('../src/wechat.js') & typeof import('../src/uni.js');

/** The client and its platforms as one script, run where there is nothing but the language, timers, and wx or uni. */
export async function inside(globals: object): Promise<Module> {
  const { outputFiles } = await build({
    stdin: {
      contents: 'export * from "./src/duplex-client"; export * from "./src/wechat"; export * from "./src/uni";',
      resolveDir: `${import.meta.dirname}/..`, loader: 'ts',
    },
    bundle: true, write: false, format: 'iife', globalName: 'duplex', target: 'es2019', minify: true, mangleProps: /^_/,
  });
  return runInNewContext(`${outputFiles[0]!.text}; duplex`, { setTimeout, clearTimeout, ...globals });
}
