// What is published in a room, as the page shows it; docs/chat.md describes it for other clients.

import type { DuplexError, Message, Position, Sender } from 'duplex-client';
import { has, t } from '../shared/i18n.js';
import { limits } from './rooms.js';

/** The pictures that the server passes on. */
export const pictureTypes = ['image/png', 'image/jpeg', 'image/gif', 'image/webp', 'image/avif'];

const operator = '★ Duplex'; // no visitor can be called that

/** The message that another one replies to. */
export interface Quote extends Position {
  from: string;
  text: string;
  picture: boolean;
}

/** A message with text, or with blob and name. */
export interface Shown extends Position {
  id: string;
  from: string;
  time: number;
  text?: string;
  blob?: Blob;
  name?: string;
  width?: number;
  height?: number;
  reply?: Quote;
}

/** What we publish that is not confirmed yet. */
export interface Item {
  id: string;
  time: number;
  text?: string;
  file?: File;
  reply?: Quote;
  state: 'queued' | 'next' | 'sending' | 'paused' | 'failed' | 'gone';
  progress: number;
  error?: DuplexError;
}

/** The name of who published or is present: chosen, or given by the server. Nobody: the program behind the server. */
export function nameOf(who?: Sender): string {
  const { name } = (who?.info ?? {}) as { name?: unknown };
  return typeof name === 'string' ? name : who?.user ?? operator;
}

export function toShow({ messageId, offset, from, time, data, meta }: Message, epoch: string): Shown {
  const message = { id: messageId ?? `${epoch}-${offset}`, from: nameOf(from), time, epoch, offset };
  if (data instanceof Uint8Array) {
    const { mime, name, width, height, reply } = (meta ?? {}) as Record<string, unknown>;
    const type = pictureTypes.includes(mime as string) ? (mime as string) : '';
    const size = isSide(width) && isSide(height) ? { width, height } : {};
    return { ...message, ...size, blob: new Blob([data as BlobPart], { type }), name: typeof name === 'string' ? name : '', reply: quoteIn(reply) };
  }
  if (typeof data === 'string') return { ...message, text: data };
  const { text, reply } = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>;
  return { ...message, text: typeof text === 'string' ? text : JSON.stringify(data), reply: quoteIn(reply) };
}

const isSide = (n: unknown): n is number => Number.isInteger(n) && (n as number) > 0;

/** A quote as the server completes it. The program behind the server may publish anything else. */
function quoteIn(value: unknown): Quote | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { epoch, offset, from, text, picture } = value as Record<string, unknown>;
  if (typeof epoch !== 'string' || typeof offset !== 'number') return undefined;
  return { epoch, offset, from: typeof from === 'string' ? from : operator, text: typeof text === 'string' ? text : '', picture: picture === true };
}

/** What a reply to a message would quote. */
export const quoteOf = ({ epoch, offset, from, text, name, blob }: Shown): Quote => (
  { epoch, offset, from, text: (blob ? name ?? '' : text ?? '').replace(/\s+/g, ' ').slice(0, 80), picture: Boolean(blob) });

const renamed: Record<string, string> = { 'bad-topic': 'room-malformed', 'bad-request': 'room-malformed', 'topic-full': 'room-full' };

/** The text that an error has under a code of the server; code without what belongs to the server only. */
export const problemOf = ({ code }: DuplexError): string => renamed[code] ?? code.replace(/^chat\./, '');

/** Says what is wrong; args are name and room, as far as they matter. */
export function problemText(error: DuplexError, args: { name?: string; room?: string } = {}): string {
  const key = `error.${problemOf(error)}`;
  const limit = key === 'error.picture-too-large' ? Math.floor(limits.picture / 2 ** 20) : limits.text;
  return has(key) ? t(key, { ...args, limit }) : t('error.other', { message: error.message });
}
