// A frame as it was on the wire, taken apart as RFC 6455, section 5.2 says.

import { fromBase64, hexes, roughly, textOf } from './bytes.js';

/** What the server publishes about the connection: internal/showcase/how/report.go. Bytes are in base64. */
export interface Report {
  kind: 'open' | 'frame' | 'end';
  connection: number;
  /** Milliseconds since 1970, by the server's clock. */
  at: number;
  skipped?: number;
  request?: string;
  exact?: boolean;
  response?: string;
  compression?: Compression;
  number?: number;
  server?: boolean;
  header?: string;
  payload?: string;
  length: number;
  message?: string;
  inflated?: number;
}

export interface Compression {
  serverBits: number;
  clientBits: number;
  serverTakeover: boolean;
  clientTakeover: boolean;
}

export type FieldName = 'fin' | 'rsv1' | 'rsv2' | 'rsv3' | 'opcode' | 'mask' | 'length' | 'extended' | 'key' | 'payload';

/** A field of the header: bits from (included) to (excluded). */
export interface Field {
  name: FieldName;
  from: number;
  to: number;
  value: number;
}

const opcodes: Record<number, string> = { 0: 'continuation', 1: 'text', 2: 'binary', 8: 'close', 9: 'ping', 10: 'pong' };

export class Frame {
  readonly connection: number;
  readonly number: number;
  readonly at: number;
  readonly server: boolean;
  readonly header: Uint8Array;
  /** As it was on the wire; of a long one the beginning. */
  readonly payload: Uint8Array;
  /** Of the whole payload. */
  readonly length: number;
  /** What the message inflates to, or its beginning, with the last frame of a compressed one. */
  readonly message?: Uint8Array;
  readonly inflated?: number;
  readonly fields: Field[] = [];

  constructor(report: Report) {
    this.connection = report.connection;
    this.number = report.number!;
    this.at = report.at;
    this.server = report.server ?? false;
    this.header = fromBase64(report.header);
    this.payload = fromBase64(report.payload);
    this.length = report.length;
    if (report.inflated !== undefined) {
      this.message = fromBase64(report.message);
      this.inflated = report.inflated;
    }
    this.#parse();
  }

  #parse(): void {
    let at = 0;
    const take = (name: FieldName, size: number) => {
      let value = 0;
      for (let bit = at; bit < at + size; bit++) value = value * 2 + ((this.header[bit >> 3]! >> (7 - (bit & 7))) & 1);
      this.fields.push({ name, from: at, to: at + size, value });
      at += size;
      return value;
    };
    for (const name of ['fin', 'rsv1', 'rsv2', 'rsv3'] as const) take(name, 1);
    take('opcode', 4);
    const masked = take('mask', 1);
    const length = take('length', 7);
    if (length > 125) take('extended', length === 126 ? 16 : 64);
    if (masked) take('key', 32);
  }

  #value(name: FieldName): number {
    return this.fields.find((field) => field.name === name)?.value ?? 0;
  }

  get fin(): boolean { return this.#value('fin') === 1; }
  get opcode(): number { return this.#value('opcode'); }
  get type(): string { return opcodes[this.opcode] ?? 'reserved'; }
  get control(): boolean { return this.opcode >= 8; }
  get compressed(): boolean { return this.#value('rsv1') === 1; }
  get masked(): boolean { return this.#value('mask') === 1; }
  /** The masking key, if there is one. */
  get key(): Uint8Array { return this.masked ? this.header.slice(-4) : new Uint8Array(); }

  /** The payload without its mask. */
  get plain(): Uint8Array {
    const { key } = this;
    return this.masked ? this.payload.map((byte, i) => byte ^ key[i % 4]!) : this.payload;
  }

  /** What a close frame says. */
  get closing(): { code?: number; reason: string } {
    const { plain } = this;
    if (plain.length < 2) return { reason: '' };
    return { code: plain[0]! * 256 + plain[1]!, reason: roughly(plain.slice(2)) };
  }

  /** In a line. */
  get preview(): string {
    if (this.type === 'close') {
      const { code, reason } = this.closing;
      return [code, reason].filter((part) => part).join(' ');
    }
    const shown = this.message ?? this.plain;
    if (this.type === 'binary' || this.compressed && !this.message) return hexes(shown.slice(0, 24));
    return textOf(shown) ?? (this.opcode === 0 || shown.length < this.length ? roughly(shown) : hexes(shown.slice(0, 24)));
  }
}
