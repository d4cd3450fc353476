// What this browser remembers: nothing, where storage is switched off.

export function load(storage, key) {
  try {
    return storage.getItem(key);
  } catch {
    return null;
  }
}

export function save(storage, key, value) {
  try {
    storage.setItem(key, value);
  } catch {
    // not remembered, then
  }
}
