// The watch list: stored in this browser, with a subscription for each symbol.

import { $, make } from '../shared/dom.js';
import { label, t } from '../shared/i18n.js';
import { load, save } from '../shared/store.js';
import { toast } from '../shared/toast.js';
import type { Line } from './line.js';
import { money, percent, type Market, type Quote } from './market.js';
import { paint, star } from './show.js';

const storageKey = 'duplex.quotes.watch';
const most = 20;
const first = ['ALAI', 'EMEN', 'MEST', 'TUZI']; // for who has not chosen any yet

interface Entry {
  element: HTMLLIElement;
  price: HTMLElement;
  change: HTMLElement;
  leave(): void;
}

interface Hands {
  choose(quote: Quote): void;
  changed(): void;
}

export class Watch {
  readonly #entries = new Map<Quote, Entry>();

  constructor(readonly line: Line, readonly hands: Hands) {}

  /** Begins with what is stored, as far as there are such symbols. */
  open(market: Market): void {
    let stored: unknown = first;
    try {
      stored = JSON.parse(load(localStorage, storageKey) ?? JSON.stringify(first));
    } catch {
      // what is there is not ours
    }
    for (const symbol of Array.isArray(stored) ? stored : first) {
      const quote = market.bySymbol.get(symbol);
      if (quote && this.#entries.size < most) this.#add(quote);
    }
    this.#changed();
  }

  has = (quote: Quote) => this.#entries.has(quote);

  toggle(quote: Quote): void {
    const entry = this.#entries.get(quote);
    if (entry) {
      entry.leave();
      entry.element.remove();
      this.#entries.delete(quote);
    } else if (this.#entries.size >= most) {
      toast(t('watch.full', { most }));
      return;
    } else {
      this.#add(quote);
    }
    save(localStorage, storageKey, JSON.stringify([...this.#entries.keys()].map(({ company }) => company.symbol)));
    this.#changed();
  }

  paint(): void {
    for (const [quote, { price, change }] of this.#entries) {
      paint(price, money(quote.price), quote.direction);
      paint(change, percent(quote.change), Math.sign(quote.change), true);
    }
  }

  #add(quote: Quote): void {
    const { symbol, name } = quote.company;
    const [show, remove] = [make('button', 'watched', make('strong', '', symbol), make('span', 'muted small', name)), make('button', 'icon star')];
    show.type = remove.type = 'button';
    label(show, 'row.show', { symbol });
    star(remove, symbol, true);
    show.addEventListener('click', () => this.hands.choose(quote));
    remove.addEventListener('click', () => this.toggle(quote));
    const [price, change] = [make('span', 'price number'), make('span', 'change number')];
    const element = make('li', '', show, price, change, remove);
    element.dataset.symbol = symbol;
    const leave = this.line.follow(`demo.quotes.symbol.${symbol}`, ({ data }) => {
      quote.take(data.price, data.trades);
      this.paint();
    });
    this.#entries.set(quote, { element, price, change, leave });
    $('watch').append(element);
  }

  #changed(): void {
    $('watch-empty').hidden = this.#entries.size > 0;
    this.paint();
    this.hands.changed();
  }
}
