// Times, people and errors in words.

import type { DuplexError } from 'duplex-client';
import { has, locale, t } from '../shared/i18n.js';
import type { Target } from './notification.js';

/** Whom a notification is for. */
export function forWhom({ kind, id, name }: Target): string {
  if (kind === 'all') return t('to.all');
  return kind === 'group' ? t(`group.${id}`) : name ?? '';
}

/** A time, with the day unless that is today. */
export function moment(time: number): string {
  const date = new Date(time);
  const today = date.toDateString() === new Date().toDateString();
  return date.toLocaleString(locale(), today ? { timeStyle: 'medium' } : { dateStyle: 'medium', timeStyle: 'short' });
}

/** How long until then. */
export function until(time: number): string {
  const seconds = Math.max(0, Math.round((time - Date.now()) / 1000));
  const format = new Intl.RelativeTimeFormat(locale(), { numeric: 'always' });
  if (seconds < 100) return format.format(seconds, 'second');
  if (seconds < 100 * 60) return format.format(Math.round(seconds / 60), 'minute');
  return seconds < 48 * 3600 ? format.format(Math.round(seconds / 3600), 'hour') : format.format(Math.round(seconds / 86_400), 'day');
}

export function words(error: unknown): string {
  const { code, message } = error as DuplexError;
  return has(`error.${code}`) ? t(`error.${code}`) : t('error.other', { message });
}
