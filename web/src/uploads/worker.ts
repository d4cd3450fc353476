// Computes SHA-256 of files apart from the page, which stays quick. Several may be asked for at the same time; they take turns.

import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';

const step = 1 << 20;

addEventListener('message', async ({ data: { id, blob } }: MessageEvent<{ id: number; blob: Blob }>) => {
  try {
    const sum = sha256.create();
    for (let at = 0; at < blob.size; at += step) sum.update(new Uint8Array(await blob.slice(at, at + step).arrayBuffer()));
    postMessage({ id, sum: bytesToHex(sum.digest()) });
  } catch {
    postMessage({ id }); // the file has changed, or has gone
  }
});
