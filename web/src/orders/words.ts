// What changes and refusals are called.

import type { DuplexError } from 'duplex-client';
import { has, t } from '../shared/i18n.js';
import { count, differing, money, type Change, type Column, type Draft } from './model.js';

const own = new Set<number>(); // versions that this page has made

/** Remembers a change as this page's. */
export function isOurs(version: number): void {
  own.add(version);
}

export const byUs = ({ version }: Change) => own.has(version);

/** Who has made a change. */
export function who(change?: Change): string {
  if (!change) return t('who.somebody');
  if (byUs(change)) return t('who.you');
  return change.by || change.program || t('who.somebody');
}

export function value(draft: Draft, column: Column): string {
  if (column === 'price') return money(draft.price);
  if (column === 'quantity') return count(draft.quantity);
  if (column === 'status') return has(`status.${draft.status}`) ? t(`status.${draft.status}`) : draft.status;
  return draft[column];
}

/** "Quantity 3 → 5, Status New → Paid" */
export function difference(was: Draft, now: Draft): string {
  return differing(was, now)
    .map((column) => t('conflict.column', { name: t(`column.${column}`), was: value(was, column), now: value(now, column) }))
    .join(document.documentElement.lang.startsWith('zh') ? '，' : ', ');
}

/** Why something did not work, and the column that is to blame if it is one. */
export function reason(error: unknown): { text: string; column?: Column } {
  const { code = '', message = String(error) } = error as Partial<DuplexError>;
  if (code === 'disconnected' || code === 'timeout') return { text: t('error.lost') };
  if (!has(`error.${code}`)) return { text: t('error.other', { text: message }) };
  const column = code.replace('orders.', '');
  return { text: t(`error.${code}`), column: (['customer', 'item', 'quantity', 'price', 'status'] as string[]).includes(column) ? column as Column : undefined };
}

