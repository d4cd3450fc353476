// Frames as they are on the wire. Mini-programs have no TextEncoder, so the UTF-8 of a binary frame's header goes through
// encodeURIComponent, which every JavaScript engine has and which refuses malformed text.

import type { Position, Sender } from './types.js';

/** A frame of any type: docs/protocol.md says which has what. Absent fields are undefined or null. */
export interface Frame {
  type: string;
  id?: number | undefined;
  topic?: string | undefined;
  sub?: string | undefined;
  data?: unknown;
  code?: string;
  message?: string;
  retry?: number;
  reconnect?: boolean;
  after?: number | undefined; // of a disconnect, a time; of history, an offset
  epoch?: string | undefined;
  offset?: number;
  recovered?: boolean;
  duplicate?: boolean;
  since?: Position | undefined;
  until?: Position;
  reason?: string;
  count?: number;
  presence?: boolean | undefined;
  last?: number | undefined;
  time?: number;
  messageId?: string;
  key?: string | undefined;
  echo?: boolean | undefined;
  meta?: object | undefined;
  from?: Sender;
  reply?: number;
  user?: string;
  info?: object | undefined;
  token?: string | undefined;
  resume?: string | undefined;
  session?: string;
  expires?: number;
  ping?: number;
  limits?: { frame?: number; subscriptions?: number };
  method?: string;
  timeout?: number;
  limit?: number | undefined;
  before?: number | undefined;
  more?: boolean;
  lost?: boolean;
  connections?: number;
  users?: { user: string; info?: object; connections: number }[];
}

/** Bytes in the forms that a caller may have them in. */
export type Bytes = ArrayBuffer | ArrayBufferView;

/** Whether data goes into a binary frame. An ArrayBuffer of another frame or worker is one too, so its name is asked, not its class. */
export const isBytes = (data: unknown): data is Bytes =>
  ArrayBuffer.isView(data) || Object.prototype.toString.call(data) === '[object ArrayBuffer]';

/** A frame as text, or as an ArrayBuffer if its data are bytes. Throws what JSON.stringify throws, and if there is no JSON for data. */
export function encode(frame: Frame): string | ArrayBuffer {
  if (!('data' in frame)) return JSON.stringify(frame);
  const { data, ...rest } = frame;
  if (!isBytes(data)) {
    const json: string | undefined = JSON.stringify(data);
    if (json === undefined) throw new TypeError(`there is no JSON for ${typeof data}`);
    return `${JSON.stringify(rest).slice(0, -1)},"data":${json}}`;
  }
  const body = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
  const head = utf8(JSON.stringify(rest));
  if (head.length > 0xffff) throw new RangeError('the fields beside data have more than 65,535 bytes');
  const frameBytes = new Uint8Array(2 + head.length + body.length);
  frameBytes[0] = head.length >> 8;
  frameBytes[1] = head.length;
  frameBytes.set(head, 2);
  frameBytes.set(body, 2 + head.length);
  return frameBytes.buffer;
}

/** The frame in what a socket received; the data of a binary one is a Uint8Array. Throws if it is none. */
export function decode(received: string | ArrayBuffer): Frame {
  let frame: Frame;
  if (typeof received === 'string') {
    frame = JSON.parse(received);
  } else {
    const bytes = new Uint8Array(received);
    const end = 2 + (bytes[0]! << 8) + bytes[1]!;
    if (!(end <= bytes.length)) throw new RangeError('the header is longer than its frame');
    let escaped = '';
    for (let i = 2; i < end; i++) escaped += (bytes[i]! < 16 ? '%0' : '%') + bytes[i]!.toString(16);
    frame = JSON.parse(decodeURIComponent(escaped));
    frame.data = bytes.subarray(end);
  }
  if (typeof frame.type !== 'string') throw new TypeError('a frame has a type');
  for (const [field, value] of Object.entries(frame)) {
    if (value === null && field !== 'data') delete frame[field as keyof Frame];
  }
  return frame;
}

/** The size of an encoded frame in bytes. */
export function sizeOf(encoded: string | ArrayBuffer): number {
  if (typeof encoded !== 'string') return encoded.byteLength;
  let size = encoded.length;
  for (let i = 0; i < encoded.length; i++) {
    const unit = encoded.charCodeAt(i);
    // Each half of a surrogate pair counts for two of its four bytes.
    if (unit > 0x7f) size += unit > 0x7ff && (unit & 0xf800) !== 0xd800 ? 2 : 1;
  }
  return size;
}

function utf8(text: string): number[] {
  const bytes: number[] = [];
  encodeURIComponent(text).replace(/%(..)|./g, (char: string, hex?: string) => {
    bytes.push(hex ? parseInt(hex, 16) : char.charCodeAt(0));
    return '';
  });
  return bytes;
}
