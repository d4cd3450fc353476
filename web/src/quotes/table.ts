// The table of all quotes. Only the rows that are in view have elements, and these are used for other quotes as one scrolls.

import { $, make } from '../shared/dom.js';
import { label, say } from '../shared/i18n.js';
import { money, percent, type Market, type Quote } from './market.js';
import { paint, star } from './show.js';

const rowHeight = 38; // as in style.css
const spare = 3; // rows above and below what is in view

type Column = 'symbol' | 'name' | 'price' | 'change' | 'trades';
const columns: Column[] = ['symbol', 'name', 'price', 'change', 'trades'];
const live = new Set<Column>(['price', 'change', 'trades']);
const values: Record<Column, (quote: Quote) => number | string> = {
  symbol: ({ company }) => company.symbol,
  name: ({ company }) => company.name,
  price: ({ price }) => price,
  change: ({ change }) => change,
  trades: ({ trades }) => trades,
};

interface Row {
  element: HTMLDivElement;
  star: HTMLButtonElement;
  symbol: HTMLButtonElement;
  cells: Record<'name' | 'price' | 'change' | 'trades', HTMLSpanElement>;
  quote?: Quote;
  place?: number;
}

interface Hands {
  choose(quote: Quote): void;
  toggle(quote: Quote): void;
  isWatched(quote: Quote): boolean;
}

export class Table {
  #market: Market | undefined;
  #shown: Quote[] = [];
  #column: Column = 'symbol';
  #down = false;
  #rows: Row[] = []; // of the quote in place i is row i modulo their number
  readonly #heads = new Map<Column, HTMLElement>();
  readonly #scroller = $('scroller');
  readonly #filter = $<HTMLInputElement>('filter');
  readonly #sector = $<HTMLSelectElement>('sector');

  constructor(readonly hands: Hands) {
    this.#makeHeads();
    this.#filter.addEventListener('input', () => this.arrange());
    this.#sector.addEventListener('change', () => this.arrange());
    this.#scroller.addEventListener('scroll', () => this.paint(), { passive: true });
    new ResizeObserver(() => this.paint()).observe(this.#scroller);
    setInterval(() => live.has(this.#column) && this.arrange(), 1000); // where prices decide the order
  }

  open(market: Market): void {
    this.#market = market;
    const all = make('option');
    say(all, 'quotes.all');
    all.value = '';
    this.#sector.replaceChildren(all, ...market.listing.sectors.map((sector) => {
      const option = make('option');
      option.value = sector;
      say(option, `sector.${sector}`);
      return option;
    }));
    this.arrange();
  }

  /** Picks and sorts the quotes. */
  arrange(): void {
    if (!this.#market) return;
    const wanted = this.#filter.value.trim().toLowerCase();
    const sector = this.#sector.value;
    const [value, sign] = [values[this.#column], this.#down ? -1 : 1];
    const all = this.#market.quotes;
    this.#shown = all
      .filter(({ company }) => (!sector || company.sector === sector)
        && (!wanted || company.symbol.toLowerCase().startsWith(wanted) || company.name.toLowerCase().includes(wanted)))
      .sort((a, b) => {
        const [left, right] = [value(a), value(b)];
        return sign * (left < right ? -1 : left > right ? 1 : 0);
      });
    $('rows').style.height = `${this.#shown.length * rowHeight}px`;
    $('table').setAttribute('aria-rowcount', String(this.#shown.length + 1));
    if (this.#shown.length) say($('shown'), 'quotes.shown', { shown: this.#shown.length, all: all.length });
    else say($('shown'), 'quotes.none');
    this.paint();
  }

  /** Brings the rows in view up to date. */
  paint(): void {
    const { scrollTop, clientHeight } = this.#scroller;
    const first = Math.max(0, Math.floor(scrollTop / rowHeight) - spare);
    const last = Math.min(this.#shown.length, Math.ceil((scrollTop + clientHeight) / rowHeight) + spare);
    this.#grow(Math.ceil(clientHeight / rowHeight) + 2 * spare + 1);
    const used = new Set<Row>();
    for (let i = first; i < last; i++) {
      const row = this.#rows[i % this.#rows.length]!;
      used.add(row);
      this.#show(row, this.#shown[i]!, i);
    }
    for (const row of this.#rows) row.element.hidden = !used.has(row);
  }

  #show(row: Row, quote: Quote, place: number): void {
    const { element, symbol, cells } = row;
    const { company } = quote;
    const anew = row.quote !== quote;
    if (anew) {
      row.quote = quote;
      element.dataset.symbol = company.symbol;
      symbol.textContent = company.symbol;
      label(symbol, 'row.show', { symbol: company.symbol });
      cells.name.textContent = company.name;
    }
    if (row.place !== place) {
      row.place = place;
      element.style.transform = `translateY(${place * rowHeight}px)`;
      element.ariaRowIndex = String(place + 2);
    }
    star(row.star, company.symbol, this.hands.isWatched(quote));
    paint(cells.price, money(quote.price), quote.direction, anew);
    paint(cells.change, percent(quote.change), Math.sign(quote.change), true);
    const trades = String(quote.trades);
    if (cells.trades.textContent !== trades) cells.trades.textContent = trades;
  }

  /** Makes elements for so many rows. Those that there are move when their number changes. */
  #grow(count: number): void {
    while (this.#rows.length < count) this.#rows.push(this.#makeRow());
  }

  #makeRow(): Row {
    const cell = (name: string) => {
      const span = make('span', `cell ${name}`);
      span.role = 'cell';
      return span;
    };
    const [mark, symbol] = [make('button', 'icon star'), make('button', 'symbol')];
    mark.type = symbol.type = 'button';
    const cells = { name: cell('name'), price: cell('price number'), change: cell('change number'), trades: cell('trades number') };
    const [starCell, symbolCell] = [cell('mark'), cell('code')];
    starCell.append(mark);
    symbolCell.append(symbol);
    const element = make('div', 'quote', starCell, symbolCell, cells.name, cells.price, cells.change, cells.trades);
    element.role = 'row';
    const row: Row = { element, star: mark, symbol, cells };
    mark.addEventListener('click', (event) => {
      event.stopPropagation(); // the row shows the chart
      this.hands.toggle(row.quote!);
    });
    element.addEventListener('click', () => this.hands.choose(row.quote!));
    $('rows').append(element);
    return row;
  }

  #makeHeads(): void {
    const corner = make('span', 'cell mark');
    corner.role = 'columnheader';
    label(corner, 'head.star');
    $('heads').append(corner);
    for (const column of columns) {
      const button = make('button', 'head');
      button.type = 'button';
      say(button, `head.${column}`);
      const head = make('span', `cell ${column === 'symbol' ? 'code' : column}`, button);
      head.role = 'columnheader';
      this.#heads.set(column, head);
      button.addEventListener('click', () => this.#sort(column));
      $('heads').append(head);
    }
    this.#mark();
  }

  #sort(column: Column): void {
    this.#down = column === this.#column ? !this.#down : live.has(column); // numbers: the highest first
    this.#column = column;
    this.#mark();
    this.#scroller.scrollTop = 0;
    this.arrange();
  }

  #mark(): void {
    for (const [column, head] of this.#heads) head.ariaSort = column !== this.#column ? 'none' : this.#down ? 'descending' : 'ascending';
  }
}

