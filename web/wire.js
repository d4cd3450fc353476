// The frames of the chat; docs/chat.md describes them.

const pictureKind = 1;
const preamble = 3;

/** An id that nobody guesses. crypto.randomUUID is missing on pages without TLS, getRandomValues is not. */
export function randomID() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}

export const encodeText = (id, text) => JSON.stringify({ type: 'text', id, text });

/** A picture's frame, without a copy of the file. */
export function encodePicture(id, file) {
  const header = new TextEncoder().encode(JSON.stringify({ id, name: file.name?.slice(0, 100) || undefined }));
  const head = new Uint8Array(preamble);
  head[0] = pictureKind;
  new DataView(head.buffer).setUint16(1, header.length);
  return new Blob([head, header, file]);
}

/** Turns what arrives into an object with a type; a picture has its bytes as blob. Throws on what is not of this format. */
export function decode(data) {
  if (typeof data === 'string') return JSON.parse(data);
  const view = new DataView(data);
  if (view.getUint8(0) !== pictureKind) throw new Error('unknown kind of binary frame');
  const length = view.getUint16(1);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, preamble, length)));
  const blob = new Blob([new Uint8Array(data, preamble + length)], { type: header.mime });
  return { ...header, type: 'picture', blob };
}
