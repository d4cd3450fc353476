// SHA-1 (FIPS 180-4), because crypto.subtle exists on secure origins only, and a handshake is no secret.

const rotate = (n: number, by: number) => (n << by) | (n >>> (32 - by));

/** The 20 bytes of the digest. */
export function sha1(message: Uint8Array): Uint8Array {
  const blocks = Math.ceil((message.length + 9) / 64);
  const padded = new DataView(new ArrayBuffer(blocks * 64));
  message.forEach((byte, i) => padded.setUint8(i, byte));
  padded.setUint8(message.length, 0x80);
  padded.setUint32(blocks * 64 - 8, Math.floor(message.length / 2 ** 29));
  padded.setUint32(blocks * 64 - 4, (message.length * 8) >>> 0);
  const state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  for (let block = 0; block < blocks; block++) compress(state, padded, block * 64);
  const digest = new DataView(new ArrayBuffer(20));
  state.forEach((word, i) => digest.setUint32(i * 4, word));
  return new Uint8Array(digest.buffer);
}

function compress(state: number[], padded: DataView, at: number): void {
  const words = Array.from({ length: 16 }, (_, i) => padded.getInt32(at + i * 4));
  for (let i = 16; i < 80; i++) words.push(rotate(words[i - 3]! ^ words[i - 8]! ^ words[i - 14]! ^ words[i - 16]!, 1));
  let [a, b, c, d, e] = state as [number, number, number, number, number];
  for (let i = 0; i < 80; i++) {
    const [mix, constant] = round(i, b, c, d);
    const next = (rotate(a, 5) + mix + e + constant + words[i]!) | 0;
    [a, b, c, d, e] = [next, a, rotate(b, 30), c, d];
  }
  [a, b, c, d, e].forEach((word, i) => { state[i] = (state[i]! + word) | 0; });
}

function round(i: number, b: number, c: number, d: number): [mix: number, constant: number] {
  if (i < 20) return [(b & c) | (~b & d), 0x5a827999];
  if (i < 40) return [b ^ c ^ d, 0x6ed9eba1];
  if (i < 60) return [(b & c) | (b & d) | (c & d), 0x8f1bbcdc];
  return [b ^ c ^ d, 0xca62c1d6];
}
