// One row of the table. Its cells are changed in place, so that what one has focused or selected stays.

import { icon, make } from '../shared/dom.js';
import { label, say, t } from '../shared/i18n.js';
import { count, differing, money, statuses, type Change, type Column, type Order } from './model.js';
import { value, who } from './words.js';

const pencil = 'M4 20h4L19 9l-4-4L4 16zM13.500 6.500l4 4';
const bin = 'M5 7h14M10 7V4.500h4V7M7 7l1 13h8l1-13M10 11v5M14 11v5';
const tones: Record<string, string> = { new: 'info', paid: 'good', shipped: 'accent', cancelled: '' };
const shown = 5_000; // how long a row says who has changed it

export interface RowEvents {
  edit(order: Order): void;
  remove(order: Order): void;
}

export class Row {
  readonly element = make('tr');
  order: Order;
  readonly #id = make('th', 'right number');
  readonly #by = make('span', 'pill warn by');
  readonly #cells: Record<Column, HTMLTableCellElement>;
  readonly #sum = make('td', 'right');
  readonly #status = make('span', 'pill');
  readonly #edit = make('button', 'icon');
  readonly #remove = make('button', 'icon');
  #sure = 0; // a first click on delete asks, a second one does it

  constructor(order: Order, events: RowEvents) {
    this.order = order;
    this.element.dataset.id = String(order.id);
    this.#id.scope = 'row';
    this.#id.append(String(order.id));
    this.#by.hidden = true;
    this.#cells = { customer: make('td'), item: make('td'), quantity: make('td', 'right'), price: make('td', 'right'), status: make('td', '', this.#status, this.#by) };
    for (const button of [this.#edit, this.#remove]) button.type = 'button';
    this.#edit.append(icon(pencil));
    this.#edit.addEventListener('click', () => events.edit(this.order));
    this.#remove.addEventListener('click', () => this.#removal(() => events.remove(this.order)));
    this.#remove.addEventListener('blur', () => this.#calm());
    const { customer, item, quantity, price, status } = this.#cells;
    const actions = make('td', 'actions', make('div', 'buttons', this.#edit, this.#remove));
    this.element.append(this.#id, customer, item, quantity, price, this.#sum, status, actions);
    this.element.addEventListener('dblclick', () => events.edit(this.order));
    this.#calm();
    this.show();
  }

  /** Takes what the row is now. */
  update(order: Order): void {
    this.order = order;
    this.show();
  }

  /** Fills in the cells, also after a switch of the language. */
  show(): void {
    const { order } = this;
    for (const column of ['customer', 'item', 'quantity', 'price'] as const) this.#cells[column].textContent = value(order, column);
    this.#sum.textContent = money(order.price * order.quantity);
    this.#status.textContent = value(order, 'status');
    this.#status.className = `pill ${tones[order.status] ?? ''}`;
    this.element.classList.toggle('cancelled', order.status === 'cancelled');
    for (const [cell, key] of [[this.#cells.quantity, 'quantity'], [this.#cells.price, 'price'], [this.#sum, 'sum']] as const) cell.dataset.label = t(`column.${key}`);
    label(this.#edit, 'row.edit', { id: order.id });
    if (!this.#sure) label(this.#remove, 'row.remove', { id: order.id });
  }

  /** Shows what has just been changed, and by whom. */
  flash(change: Change): void {
    const cells = change.was && change.now ? differing(change.was, change.now).map((column) => this.#cells[column]) : Object.values(this.#cells);
    if (change.was && change.now && (change.was.price !== change.now.price || change.was.quantity !== change.now.quantity)) cells.push(this.#sum);
    for (const cell of cells) {
      cell.classList.remove('flash');
      void cell.offsetWidth; // so that the animation begins again
      cell.classList.add('flash');
    }
    this.#by.textContent = who(change);
    this.#by.hidden = false;
    this.element.dataset.by = this.#by.textContent;
    setTimeout(() => { if (this.order.version <= change.version) this.#by.hidden = true; }, shown);
  }

  /** Takes the row away, so that one sees that it goes. */
  leave(): void {
    this.element.classList.add('leaving');
    const gone = () => this.element.remove();
    this.element.addEventListener('animationend', gone);
    setTimeout(gone, 1_000); // where nothing moves
  }

  #removal(remove: () => void): void {
    if (this.#sure) {
      this.#calm();
      remove();
      return;
    }
    this.#remove.className = 'button danger';
    delete this.#remove.dataset.i18nLabel;
    this.#remove.removeAttribute('aria-label');
    this.#remove.title = '';
    say(this.#remove, 'row.sure');
    this.#sure = window.setTimeout(() => this.#calm(), 4_000);
  }

  #calm(): void {
    clearTimeout(this.#sure);
    this.#sure = 0;
    this.#remove.className = 'icon';
    delete this.#remove.dataset.i18n;
    this.#remove.replaceChildren(icon(bin));
    label(this.#remove, 'row.remove', { id: this.order.id });
  }
}

/** The numbers on the filters. */
export const tally = (orders: Iterable<Order>) => {
  const counts: Record<string, number> = Object.fromEntries(statuses.map((status) => [status, 0]));
  let sum = 0;
  let n = 0;
  for (const { status, quantity, price } of orders) {
    n++;
    counts[status] = (counts[status] ?? 0) + 1;
    if (status !== 'cancelled') sum += quantity * price;
  }
  return { counts, n, sum, text: { n: count(n - (counts['cancelled'] ?? 0)), sum: money(sum) } };
};
