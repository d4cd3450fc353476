// A server of the session protocol in a few lines, over real sockets, for what a real one does not do on request.

import type { AddressInfo } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import { decode, encode, type Frame } from '../src/codec.js';

export class Toy {
  readonly sockets = new Set<WebSocket>();
  readonly closes: { code: number; reason: string }[] = []; // as the server sees them
  connections = 0; // ever
  private readonly _server: WebSocketServer;
  private readonly _log: Frame[] = []; // every message
  private readonly _known = new Map<string, number>(); // the offset of each messageId
  private readonly _topics = new Map<WebSocket, Set<string>>();

  private constructor(server: WebSocketServer) {
    this._server = server;
    server.on('connection', (socket) => this._accept(socket));
  }

  static async start(): Promise<Toy> {
    const handleProtocols = (offered: Set<string>) => offered.has('duplex.v1') && 'duplex.v1';
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols });
    await new Promise((resolve) => { server.once('listening', resolve); });
    return new Toy(server);
  }

  get url(): string {
    return `ws://127.0.0.1:${(this._server.address() as AddressInfo).port}/ws`;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.terminate();
    await new Promise((resolve) => { this._server.close(resolve); });
  }

  publish(topic: string, data: unknown): void {
    const message: Frame = { type: 'message', topic, offset: this._log.length + 1, time: Date.now(), data };
    this._log.push(message);
    for (const [socket, topics] of this._topics) if (topics.has(topic)) socket.send(encode(message));
  }

  private _accept(socket: WebSocket): void {
    this.connections++;
    this.sockets.add(socket);
    this._topics.set(socket, new Set());
    socket.on('close', (code, reason) => {
      this.closes.push({ code, reason: String(reason) });
      this.sockets.delete(socket);
      this._topics.delete(socket);
    });
    socket.on('message', (data: Buffer, binary) => {
      const frame = decode(binary ? Uint8Array.from(data).buffer : String(data));
      const { type, id, topic, since, data: body } = frame;
      const reply = (fields: object) => socket.send(encode({ type: 'reply', id, ...fields } as Frame));
      if (type === 'connect') {
        reply({ session: 's', user: '~1', resume: 'r', ping: 25_000, time: Date.now(), limits: { frame: 1 << 20 } });
      } else if (type === 'subscribe') {
        const offset = since?.offset ?? this._log.length;
        this._topics.get(socket)!.add(topic!);
        reply({ topic, epoch: 'e', offset, ...(since && { recovered: true }) });
        for (const message of this._log) if (message.topic === topic && message.offset! > offset) socket.send(encode(message));
      } else if (type === 'publish') {
        const known = this._known.get(frame.messageId!);
        if (!known) this.publish(topic!, body);
        this._known.set(frame.messageId!, known ?? this._log.length);
        reply({ epoch: 'e', offset: known ?? this._log.length, ...(known && { duplicate: true }) });
      } else if (type === 'request') {
        reply({ data: body });
      } else {
        reply({});
      }
    });
  }
}

/** Waits until check() is true; the test's timeout ends it if it never is. */
export async function until(check: () => unknown): Promise<void> {
  while (!check()) await new Promise((resolve) => { setTimeout(resolve, 5); });
}
