// Being an operator: on a machine of one's own everybody is; elsewhere the visitor shows a key of the API.

import { DuplexError, type Client } from 'duplex-client';
import { ask } from './dialog.js';
import { load, save } from './store.js';

const storageKey = 'duplex.key'; // for as long as the tab is there

/**
 * Makes this session that of an operator, and again whenever it is new. `ready` is called each time: subscribe to what operators see there.
 * Resolves with false if the visitor has no key; then nothing more happens.
 */
export async function operate(client: Client, ready: () => void): Promise<boolean> {
  if (!(await admitted(client)) && !(await askForKey(client))) return false;
  ready();
  client.on('state', async ({ state }) => {
    if (state === 'open' && await admitted(client).catch(() => false)) ready();
  });
  return true;
}

/** Asks for the key until it is right. */
const askForKey = async (client: Client) => Boolean(await ask({
  texts: 'key', type: 'password',
  accept: (key) => {
    save(sessionStorage, storageKey, key);
    return admitted(client);
  },
}));

/** Whether the session is that of an operator now, by the key that the tab has. */
export async function admitted(client: Client): Promise<boolean> {
  try {
    await client.request('demo.operator', { key: load(sessionStorage, storageKey) ?? '' }, { resend: true });
    return true;
  } catch (error) {
    if (error instanceof DuplexError && error.code === 'demo.not-operator') return false;
    throw error;
  }
}
