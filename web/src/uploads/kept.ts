// What this browser remembers of unfinished uploads, in IndexedDB: small files whole, of others enough to know them again. Where there is
// no IndexedDB nothing is remembered, and everything else works.

import { load, save } from '../shared/store.js';

export interface Kept {
  /** Name, size, date and beginning: what makes it the same file. */
  key: string;
  name: string;
  size: number;
  modified: number;
  head: string;
  /** The server's; absent until the upload has begun. */
  id?: string;
  /** Bytes that the server had when this was written. */
  offset: number;
  paused: boolean;
  /** The server is still to be told. */
  cancelled?: boolean;
  /** All of it, if it is small. */
  blob?: Blob;
}

/** Files up to this size are kept, so that they go on by themselves after a reload. */
const small = 64 << 20;

/** Whether it is kept without its file, so that remembering it costs nothing. */
export const isLarge = ({ size }: Kept) => size > small;

export const keyOf = (name: string, size: number, modified: number, head: string) => [size, modified, head, name].join(' ');

let database: Promise<IDBDatabase> | undefined;

function open(): Promise<IDBDatabase> {
  database ??= new Promise((resolve, reject) => {
    const request = indexedDB.open('duplex-uploads', 1);
    request.onupgradeneeded = () => request.result.createObjectStore('unfinished', { keyPath: 'key' });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return database;
}

async function run<T>(mode: IDBTransactionMode, act: (store: IDBObjectStore) => IDBRequest<T>): Promise<T | undefined> {
  try {
    const transaction = (await open()).transaction('unfinished', mode);
    const request = act(transaction.objectStore('unfinished'));
    return await new Promise<T>((resolve, reject) => {
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  } catch {
    return undefined;
  }
}

export const all = async (): Promise<Kept[]> => (await run<Kept[]>('readonly', (store) => store.getAll())) ?? [];

/** Remembers an upload; where there is no room for the file, without it. */
export async function keep(kept: Kept, file?: Blob): Promise<void> {
  const whole = file && file.size <= small && !kept.cancelled ? { ...kept, blob: file } : kept;
  if ((await run('readwrite', (store) => store.put(whole))) === undefined && whole.blob) {
    const { blob: _, ...rest } = whole;
    await run('readwrite', (store) => store.put(rest));
  }
}

export const forget = (key: string) => run('readwrite', (store) => store.delete(key));

/** Makes this window the one that goes on with an upload, until it is closed or release is called. undefined: another window does. */
export async function claim(key: string): Promise<(() => void) | undefined> {
  if (!navigator.locks) return () => {}; // without TLS; the server sees to it that only one goes on
  // A page that is being reloaded may hold it for another moment.
  const patience = AbortSignal.timeout(1_500);
  return new Promise((resolve) => {
    navigator.locks
      .request(`duplex-upload ${key}`, { signal: patience }, () => new Promise<void>((release) => resolve(release)))
      .catch(() => resolve(undefined));
  });
}

const secret = 'duplex.uploads';

/** What says that uploads are this browser's. */
export const browserKey = load(localStorage, secret) ?? invent();

function invent(): string {
  const key = Array.from(crypto.getRandomValues(new Uint8Array(24)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  save(localStorage, secret, key);
  return key;
}
