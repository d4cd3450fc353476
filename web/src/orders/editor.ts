// Editing a row where it stands, or a new one on top. Somebody else may change the row meanwhile: then nothing is overwritten unasked.

import { make, showError } from '../shared/dom.js';
import { label, say, t } from '../shared/i18n.js';
import { columns, readPrice, readQuantity, statuses, writePrice, type Change, type Column, type Draft, type Order } from './model.js';
import { difference, reason, who } from './words.js';

/** What the server answers: done, or what the row is now because somebody was quicker. */
export interface Outcome {
  done: boolean;
  order?: Order;
}

export interface EditorEvents {
  /** Saves; `version` is that of the row that was edited. */
  save(draft: Draft, version: number): Promise<Outcome>;
  closed(saved?: Order): void;
}

const blank: Draft = { customer: '', item: '', quantity: 1, price: 0, status: 'new' };
let forms = 0;

export class Editor {
  /** The rows that stand for the order: its fields, and what there is to say. */
  readonly elements: HTMLTableRowElement[];
  readonly #form = make('form');
  readonly #fields = {} as Record<Column, HTMLInputElement | HTMLSelectElement>;
  readonly #error = make('p', 'error');
  readonly #conflict = make('div', 'conflict');
  readonly #conflictText = make('p');
  readonly #buttons = make('div', 'row end');
  readonly #save = make('button', 'button primary');
  readonly #cancel = make('button', 'button');
  readonly #over = make('button', 'button');
  readonly #theirs = make('button', 'button primary');
  #base: Draft; // what was edited
  #version: number;
  #now?: Order; // what it is now, if that is something else

  constructor(readonly order: Order | undefined, private readonly events: EditorEvents) {
    this.#base = order ?? blank;
    this.#version = order?.version ?? 0;
    this.#form.id = `edit-${++forms}`;
    this.#form.noValidate = true;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.#makeFields();
    say(this.#save, order ? 'edit.save' : 'edit.add');
    say(this.#cancel, 'edit.cancel');
    say(this.#over, 'edit.over');
    say(this.#theirs, 'edit.theirs');
    for (const button of [this.#cancel, this.#over, this.#theirs]) button.type = 'button';
    this.#save.setAttribute('form', this.#form.id);
    this.#cancel.addEventListener('click', () => events.closed());
    this.#theirs.addEventListener('click', () => events.closed(this.#now));
    this.#over.addEventListener('click', () => void this.#submit());
    for (const shown of [this.#error, this.#conflictText]) shown.setAttribute('role', 'alert');
    this.#error.hidden = this.#conflict.hidden = true;
    this.#conflict.append(this.#conflictText, make('div', 'row', this.#theirs, this.#over));
    this.#buttons.append(this.#cancel, this.#save);
    this.elements = this.#rows();
  }

  #makeFields(): void {
    for (const column of columns) {
      const field = column === 'status' ? make('select', 'field') : make('input', 'field');
      if (field instanceof HTMLSelectElement) {
        for (const status of statuses) {
          const option = make('option');
          option.value = status;
          say(option, `status.${status}`);
          field.append(option);
        }
      } else {
        field.autocomplete = 'off';
        if (column === 'quantity') field.inputMode = 'numeric';
        if (column === 'price') field.inputMode = 'decimal';
      }
      field.name = column;
      field.setAttribute('form', this.#form.id);
      label(field, `column.${column}`);
      field.addEventListener('keydown', (event) => {
        if ((event as KeyboardEvent).key === 'Escape') this.events.closed();
      });
      this.#fields[column] = field;
    }
    this.#write(this.#base);
  }

  #rows(): HTMLTableRowElement[] {
    const first = make('th', 'right number', this.order ? String(this.order.id) : '');
    first.scope = 'row';
    const cell = (column: Column, className = '') => make('td', className, this.#fields[column]);
    const fields = make(
      'tr', 'editing', first, cell('customer'), cell('item'), cell('quantity', 'right'), cell('price', 'right'), make('td', 'none'), cell('status'), make('td', 'actions'),
    );
    if (this.order) fields.dataset.editing = String(this.order.id);
    const below = make('td', '', make('div', 'stack', this.#form, this.#error, this.#conflict, this.#buttons));
    below.colSpan = 8;
    this.show();
    return [fields, make('tr', 'below', below)];
  }

  /** Names the fields, where they stand one below the other; also after a switch of the language. */
  show(): void {
    for (const column of columns) this.#fields[column].parentElement!.dataset.label = t(`column.${column}`);
  }

  focus(column: Column = 'customer'): void {
    const field = this.#fields[column];
    field.focus();
    if (field instanceof HTMLInputElement) field.select();
  }

  #write(draft: Draft): void {
    this.#fields.customer.value = draft.customer;
    this.#fields.item.value = draft.item;
    this.#fields.quantity.value = String(draft.quantity);
    this.#fields.price.value = writePrice(draft.price);
    this.#fields.status.value = draft.status;
  }

  /** What is typed; undefined, with words about it, where that is no number. */
  #read(): Draft | undefined {
    const { customer, item, quantity, price, status } = this.#fields;
    const [n, cents] = [readQuantity(quantity.value), readPrice(price.value)];
    if (n === undefined) this.#complain(t('error.orders.quantity'), 'quantity');
    else if (cents === undefined) this.#complain(t('error.orders.price'), 'price');
    else return { customer: customer.value.trim(), item: item.value.trim(), quantity: n, price: cents, status: status.value };
    return undefined;
  }

  #complain(text?: string, column?: Column): void {
    for (const name of columns) this.#fields[name].toggleAttribute('aria-invalid', false);
    showError(this.#error, text);
    if (!column) return;
    this.#fields[column].setAttribute('aria-invalid', 'true');
    this.focus(column);
  }

  async #submit(): Promise<void> {
    this.#complain();
    const draft = this.#read();
    if (!draft) return;
    this.#busy(true);
    try {
      const { done, order } = await this.events.save(draft, this.#now?.version ?? this.#version);
      // An answer may have been lost and the question asked again: then it is our own change that was quicker.
      if (done || (order && columns.every((column) => order[column] === draft[column]))) this.events.closed(order);
      else if (order) this.changed(order);
    } catch (error) {
      const { text, column } = reason(error);
      this.#complain(text, column);
    } finally {
      this.#busy(false);
    }
  }

  #busy(yes: boolean): void {
    for (const button of [this.#save, this.#over, this.#theirs]) button.disabled = yes;
  }

  /** Somebody else has changed the row, or deleted it: what one has typed stays, and one is asked. */
  changed(now: Order | undefined, change?: Change): void {
    if (now && now.version <= Math.max(this.#version, this.#now?.version ?? 0) && !change) return;
    this.#now = now;
    this.#conflictText.textContent = t(now ? 'conflict.by' : 'conflict.gone', { who: who(change), columns: now ? difference(this.#base, now) : '' });
    for (const column of columns) this.#fields[column].classList.toggle('theirs', !!now && now[column] !== this.#base[column]);
    this.#over.hidden = !now;
    say(this.#theirs, now ? 'edit.theirs' : 'edit.close');
    this.#buttons.hidden = true; // there are others now
    this.#conflict.hidden = false;
  }
}
