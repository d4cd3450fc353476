// What this browser remembers: nothing, where storage is switched off.

export function load(storage: Storage, key: string): string | null {
  try {
    return storage.getItem(key);
  } catch {
    return null;
  }
}

/** Remembers a value, or forgets it if it is empty. */
export function save(storage: Storage, key: string, value: string): void {
  try {
    if (value) storage.setItem(key, value);
    else storage.removeItem(key);
  } catch {
    // not remembered, then
  }
}
