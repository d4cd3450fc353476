// The header before each picture: 24 bytes, numbers big-endian, as internal/showcase/live/frame.go reads them.

export const headerBytes = 24;
export const codecs = ['', 'jpeg', 'vp8', 'vp9', 'h264'] as const;
export type Codec = 'jpeg' | 'vp8' | 'vp9' | 'h264';

export interface Frame {
  codec: Codec;
  /** It can be shown without those before it. */
  key: boolean;
  width: number;
  height: number;
  sequence: number;
  /** Milliseconds since 1970, by the server's clock. */
  captured: number;
  payload: Uint8Array<ArrayBuffer>;
}

export function pack({ codec, key, width, height, sequence, captured, payload }: Frame): Uint8Array {
  const bytes = new Uint8Array(headerBytes + payload.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x44, 0x46, 1, codecs.indexOf(codec), key ? 1 : 0]);
  view.setUint16(6, width);
  view.setUint16(8, height);
  view.setUint32(12, sequence);
  view.setBigUint64(16, BigInt(Math.round(captured)));
  bytes.set(payload, headerBytes);
  return bytes;
}

/** Undefined if it is none; the server lets none of these through. */
export function unpack(bytes: unknown): Frame | undefined {
  if (!(bytes instanceof Uint8Array) || bytes.length <= headerBytes || bytes[0] !== 0x44 || bytes[1] !== 0x46) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const codec = codecs[bytes[3]!];
  if (!codec) return undefined;
  return {
    codec,
    key: bytes[4] === 1,
    width: view.getUint16(6),
    height: view.getUint16(8),
    sequence: view.getUint32(12),
    captured: Number(view.getBigUint64(16)),
    payload: new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset + headerBytes, bytes.length - headerBytes),
  };
}
