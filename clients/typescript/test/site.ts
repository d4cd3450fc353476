// A web site in front of a server of the session protocol: it has a page and the bundles, and passes WebSockets on, byte by byte, so that
// a test can count them, stop them and cut them.

import http from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';
import { bundle, entries } from '../build.js';

const page = `<!doctype html><meta charset="utf-8"><title>test</title>
<script type="module">
import { Client } from '/duplex-client.js';
import { share } from '/share.js';
/** Connects, subscribes, and writes down what comes. */
window.start = (topic, { shared, subscribe, ...options } = {}) => {
  window.data = [];
  window.gaps = [];
  window.states = [];
  window.client = new Client('/ws', { backoff: { base: 50, max: 200 }, ...(shared && { platform: share() }), ...options });
  client.on('state', ({ state }) => states.push(state));
  window.sub = client.subscribe(topic, { onMessage: (message) => data.push(message.data), onGap: (gap) => gaps.push(gap), ...subscribe });
  return sub.ready;
};
window.ready = true;
</script>`;

export class Site {
  connections = 0; // that were ever made
  readonly reports: any[] = []; // what pages have posted
  private readonly _pairs = new Set<[Socket, Socket]>();
  private _frozen = false;

  private constructor(private readonly _server: http.Server, private readonly _backend: URL) {
    _server.on('upgrade', (request: http.IncomingMessage, near: Socket, head: Buffer) => this._pass(request, near, head));
  }

  static async start(backend: string): Promise<Site> {
    const files = new Map<string, string>();
    for (const entry of entries) files.set(`/${entry}.js`, await bundle(entry));
    const server = http.createServer((request, response) => {
      if (request.method === 'POST') {
        let body = '';
        request.on('data', (part) => { body += part; }).on('end', () => {
          site.reports.push(JSON.parse(body));
          response.end();
        });
        return;
      }
      const script = files.get(request.url!);
      response.setHeader('Content-Type', script ? 'text/javascript' : 'text/html');
      response.end(script ?? (request.url === '/favicon.ico' ? '' : page));
    });
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    const site = new Site(server, new URL(backend));
    return site;
  }

  /** localhost is a place where browsers allow locks. */
  get url(): string {
    return `http://localhost:${(this._server.address() as AddressInfo).port}`;
  }

  /** The same place, for programs. */
  get socket(): string {
    return `${this.url.replace(/^http/, 'ws')}/ws`;
  }

  get open(): number {
    return this._pairs.size;
  }

  /** From now on no byte passes, as in a network that was lost without a word. New connections hang, unless only the present ones do. */
  freeze({ onlyPresent = false } = {}): void {
    this._frozen = !onlyPresent;
    for (const [near, far] of this._pairs) {
      near.unpipe(far).pause();
      far.unpipe(near).pause();
    }
  }

  /** New connections pass again; those that were frozen end. */
  thaw(): void {
    this._frozen = false;
    this.cut();
  }

  cut(): void {
    for (const pair of this._pairs) for (const socket of pair) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    this._server.closeAllConnections();
    await new Promise((resolve) => { this._server.close(resolve); });
  }

  private _pass(request: http.IncomingMessage, near: Socket, head: Buffer): void {
    this.connections++;
    const far = net.connect(Number(this._backend.port), this._backend.hostname);
    const pair: [Socket, Socket] = [near, far];
    this._pairs.add(pair);
    for (const socket of pair) {
      socket.on('error', () => {});
      socket.on('close', () => {
        this._pairs.delete(pair);
        near.destroy();
        far.destroy();
      });
    }
    const headers = Array.from({ length: request.rawHeaders.length / 2 }, (_, i) => request.rawHeaders.slice(2 * i, 2 * i + 2).join(': '));
    far.write(`GET ${this._backend.pathname} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`);
    far.write(head);
    if (this._frozen) return; // with both streams paused
    near.pipe(far);
    far.pipe(near);
  }
}
