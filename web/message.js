// What is published in a room, as the page shows it; docs/chat.md describes it for other clients.

import { has, t } from './i18n.js';
import { limits } from './rooms.js';

/** The pictures that the server passes on. */
export const pictureTypes = ['image/png', 'image/jpeg', 'image/gif', 'image/webp', 'image/avif'];

const operator = '★ Duplex'; // no visitor can be called that

/** The name of who published or is present: chosen, or given by the server. Nobody: the program behind the server. */
export const nameOf = (who) => (typeof who?.info?.name === 'string' ? who.info.name : who?.user ?? operator);

/** A message of the hub as { id, from, time, epoch, offset } with text, or with blob and name. */
export function toShow({ messageId, offset, from, time, data, meta }, epoch) {
  const message = { id: messageId ?? `${epoch}-${offset}`, from: nameOf(from), time, epoch, offset };
  if (data instanceof Uint8Array) {
    const type = pictureTypes.includes(meta?.mime) ? meta.mime : '';
    return { ...message, blob: new Blob([data], { type }), name: typeof meta?.name === 'string' ? meta.name : '' };
  }
  const text = typeof data === 'string' ? data : data?.text;
  return { ...message, text: typeof text === 'string' ? text : JSON.stringify(data) };
}

/** The text that an error has under a code of the server; code without what belongs to the server only. */
export const problemOf = ({ code }) => ({ 'bad-topic': 'room-malformed', 'bad-request': 'room-malformed', 'topic-full': 'room-full' }[code]
  ?? code?.replace(/^chat\./, ''));

/** Says what is wrong; args are name and room, as far as they matter. */
export function problemText(error, args) {
  const key = `error.${problemOf(error)}`;
  const limit = key === 'error.picture-too-large' ? Math.floor(limits.picture / 2 ** 20) : limits.text;
  return has(key) ? t(key, { ...args, limit }) : t('error.other', { message: error.message });
}
