// Orders and what happens to them, as internal/showcase/orders has them.

import { locale } from '../shared/i18n.js';

export const statuses = ['new', 'paid', 'shipped', 'cancelled'] as const;
export const columns = ['customer', 'item', 'quantity', 'price', 'status'] as const;
export type Column = (typeof columns)[number];

/** What people write into a row. The price of one is in cents. */
export interface Draft {
  customer: string;
  item: string;
  quantity: number;
  price: number;
  status: string;
}

export interface Order extends Draft {
  id: number;
  /** The number of the change that made it what it is: the higher, the newer. */
  version: number;
}

export interface Change {
  version: number;
  op: 'add' | 'change' | 'remove' | 'reset';
  id: number;
  /** Which table; with SQLite every server has one of its own. */
  place: string;
  was?: Draft;
  now?: Draft;
  /** Who did it on a page like this, or */
  by?: string;
  /** what else did it, as far as the database knows. */
  program?: string;
  time: string;
}

/** The table as this page knows it. Whatever comes, in whatever order: of each row it keeps the newest. */
export class Orders {
  readonly all = new Map<number, Order>();
  readonly #versions = new Map<number, number>(); // also of rows that have gone
  #touched = new Set<number>(); // since the last ask()

  /** Takes a row, or that it has gone. False if something newer is known. */
  set(id: number, version: number, now?: Draft): boolean {
    this.#touched.add(id);
    if (version <= (this.#versions.get(id) ?? -1)) return false;
    this.#versions.set(id, version);
    if (now) this.all.set(id, { id, version, ...pick(now) });
    else this.all.delete(id);
    return true;
  }

  /** The list is being asked for. What is heard from here on may be newer than the answer. */
  ask(): void {
    this.#touched = new Set();
  }

  /** Another table. */
  clear(): void {
    this.all.clear();
    this.#versions.clear();
  }

  /** Takes the answer. */
  replace(list: Order[]): void {
    const there = new Set(list.map(({ id }) => id));
    for (const id of [...this.all.keys()]) {
      if (!there.has(id) && !this.#touched.has(id)) this.all.delete(id);
    }
    for (const order of list) this.set(order.id, order.version, order);
  }
}

const pick = ({ customer, item, quantity, price, status }: Draft): Draft => ({ customer, item, quantity, price, status });

/** The columns in which two rows differ. */
export const differing = (a: Draft, b: Draft): Column[] => columns.filter((column) => a[column] !== b[column]);

export const money = (cents: number) => (cents / 100).toLocaleString(locale(), { minimumFractionDigits: 2, maximumFractionDigits: 2 });
export const count = (n: number) => n.toLocaleString(locale());

/** Reads what somebody has typed; undefined if it is no number. What may be in the database is for the database to say. */
export function readQuantity(text: string): number | undefined {
  return /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : undefined;
}

export function readPrice(text: string): number | undefined {
  const plain = text.trim().replace(',', '.');
  return /^-?\d{1,12}(\.\d{1,2})?$/.test(plain) ? Math.round(Number(plain) * 100) : undefined;
}

export const writePrice = (cents: number) => (cents / 100).toFixed(2);
