// Tables that are shown again every second: rows stay what they are, with the focus in them, as long as what they are about is there.

import { make } from '../shared/dom.js';
import { say } from '../shared/i18n.js';

export interface Row<T> {
  element: HTMLElement;
  show(item: T): void;
}

export class Rows<T> {
  readonly #body = make('tbody');
  readonly #rows = new Map<string, Row<T>>();

  /** heads are the last parts of keys head.…; those that end in > stand at the right. */
  constructor(table: HTMLElement, heads: string[], readonly key: (item: T) => string, readonly row: (item: T) => Row<T>) {
    table.append(make('thead', '', make('tr', '', ...heads.map((name) => {
      const head = make('th', name.endsWith('>') ? 'right' : '');
      head.scope = 'col';
      say(head, `head.${name.replace('>', '')}`);
      return head;
    }))), this.#body);
  }

  set(items: T[]): void {
    const wanted = new Map(items.map((item) => [this.key(item), item]));
    for (const [key, { element }] of this.#rows) {
      if (wanted.has(key)) continue;
      element.remove();
      this.#rows.delete(key);
    }
    let place = this.#body.firstElementChild;
    for (const [key, item] of wanted) {
      let row = this.#rows.get(key);
      if (!row) this.#rows.set(key, row = this.row(item));
      row.show(item);
      if (row.element === place) place = place.nextElementSibling;
      else this.#body.insertBefore(row.element, place);
    }
  }
}

/** Cells of a row: how many, and which of them stand at the right. */
export function cells(count: number, right: number[] = []) {
  const all = Array.from({ length: count }, (_, i) => make('td', right.includes(i) ? 'right' : ''));
  return { all, element: make('tr', '', ...all) };
}

/** Gives an element a text, if it has another one. */
export function put(element: Element | undefined, text: string): void {
  if (element && element.textContent !== text) element.textContent = text;
}
