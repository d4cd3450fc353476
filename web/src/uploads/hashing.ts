// SHA-256 of files, by the worker. crypto.subtle wants a whole file in memory, and is not there on pages without TLS.

const worker = new Worker(new URL('./worker.js', document.baseURI), { type: 'module' });
const waiting = new Map<number, { resolve(sum: string): void; reject(reason: Error): void }>();
let last = 0;

worker.addEventListener('message', ({ data: { id, sum } }: MessageEvent<{ id: number; sum?: string }>) => {
  const asked = waiting.get(id);
  waiting.delete(id);
  if (sum === undefined) asked?.reject(new Changed());
  else asked?.resolve(sum);
});

/** What was chosen cannot be read any more. */
export class Changed extends Error {}

/** The sum in hexadecimal digits. */
export function hash(blob: Blob): Promise<string> {
  const id = ++last;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker.postMessage({ id, blob });
  });
}

const beginning = 64 << 10;

/** The sum of a file's beginning, which helps to know it again. */
export const hashHead = (file: Blob) => hash(file.slice(0, beginning));
