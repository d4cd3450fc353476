// Bytes as people read them.

export const fromBase64 = (text = '') => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
export const toBase64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));

/** A byte in hexadecimal. */
export const hex = (byte: number) => byte.toString(16).padStart(2, '0');

/** Bytes in hexadecimal, divided by spaces. */
export const hexes = (bytes: Uint8Array) => [...bytes].map(hex).join(' ');

const strict = new TextDecoder('utf-8', { fatal: true });
const lenient = new TextDecoder();

/** The text that bytes are, or undefined. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** A text whose end, or beginning, may be cut in the middle of a character. */
export const roughly = (bytes: Uint8Array) => lenient.decode(bytes);

/** A byte as an ASCII character; a dot if it is none that can be seen. */
export const glyph = (byte: number) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·');

/** An ID that nobody guesses. */
export function secret(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return toBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

export const bits = (byte: number) => byte.toString(2).padStart(8, '0');
