// The chart of one symbol: its past, which the server is asked for, and then each of its prices as they come.

import { DuplexError } from 'duplex-client';
import { Chart } from '../shared/chart.js';
import { $, make } from '../shared/dom.js';
import { say } from '../shared/i18n.js';
import type { Line } from './line.js';
import { money, percent, type Quote } from './market.js';
import { paint, star } from './show.js';

const ranges = [120, 600, 3600]; // seconds
const fine = 0.5; // seconds between two points
const redraw = 200; // ms

/** What the request demo.quotes.chart answers: times in ms since 1970, prices in cents. */
interface Past {
  times: number[];
  prices: number[];
}

interface Hands {
  toggle(quote: Quote): void;
  isWatched(quote: Quote): boolean;
  /** What happened in words, or that all is well. */
  problem(key?: 'quotes.no-chart', error?: unknown): void;
}

export class Detail {
  quote: Quote | undefined;
  #range = 600;
  #times: number[] = [];
  #prices: number[] = [];
  #leave = () => {};
  #due = false;
  #asked = 0;
  readonly #chart = new Chart($('chart'), { lines: [{ color: '--accent', fill: true }], height: 220, axis: 60, format: (value) => value.toFixed(2) });

  constructor(readonly line: Line, readonly hands: Hands) {
    $('detail-star').addEventListener('click', () => this.quote && hands.toggle(this.quote));
    $('ranges').append(...ranges.map((range) => {
      const button = make('button', 'chip');
      button.type = 'button';
      button.dataset.range = String(range);
      button.setAttribute('aria-pressed', String(range === this.#range));
      say(button, `range.${range}`);
      button.addEventListener('click', () => this.#show(range));
      return button;
    }));
  }

  /** Shows a symbol. */
  choose(quote: Quote): void {
    if (quote === this.quote) return;
    this.#leave();
    this.quote = quote;
    const { symbol } = quote.company;
    this.#leave = this.line.follow(`demo.quotes.symbol.${symbol}`, ({ data, time }) => {
      quote.take(data.price, data.trades);
      this.#add(time / 1000, data.price);
      this.paint();
    });
    $('detail').dataset.symbol = symbol;
    $('detail-symbol').textContent = symbol;
    $('detail-name').textContent = quote.company.name;
    [this.#times, this.#prices] = [[], []];
    this.paint(true);
    void this.load();
  }

  /** Asks for everything anew: the page has been away, and the server may be another one. */
  reload(): Promise<void> {
    [this.#times, this.#prices] = [[], []];
    return this.load();
  }

  /** Asks for the past. */
  async load(): Promise<void> {
    const { quote } = this;
    if (!quote) return;
    const asked = ++this.#asked;
    try {
      const { symbol } = quote.company;
      const { times, prices } = await this.line.client.request<Past>('demo.quotes.chart', { symbol }, { resend: true, timeout: 20_000 });
      if (asked !== this.#asked) return; // another symbol has been chosen
      const end = times.at(-1) ?? 0;
      const newer = this.#times.findIndex((time) => time * 1000 > end);
      this.#times = [...times.map((time) => time / 1000), ...(newer < 0 ? [] : this.#times.slice(newer))];
      this.#prices = [...prices.map((price) => price / 100), ...(newer < 0 ? [] : this.#prices.slice(newer))];
      this.hands.problem();
      this.#draw();
    } catch (error) {
      if (asked === this.#asked && !(error instanceof DuplexError && error.code === 'closed')) this.hands.problem('quotes.no-chart', error);
    }
  }

  /** Brings the price up to date. */
  paint(anew = false): void {
    const { quote } = this;
    if (!quote) return;
    paint($('detail-price'), money(quote.price), quote.direction, anew);
    paint($('detail-change'), percent(quote.change), Math.sign(quote.change), true);
    star($<HTMLButtonElement>('detail-star'), quote.company.symbol, this.hands.isWatched(quote));
  }

  #add(time: number, cents: number): void {
    const last = this.#times.at(-1) ?? 0;
    if (time <= last) return;
    const before = this.#times.at(-2) ?? 0;
    if (last - before < fine && time - before < fine) { // the last one was in between
      this.#times.pop();
      this.#prices.pop();
    }
    this.#times.push(time);
    this.#prices.push(cents / 100);
    const old = this.#times.findIndex((one) => one >= time - ranges.at(-1)!);
    if (old > 100) {
      this.#times.splice(0, old);
      this.#prices.splice(0, old);
    }
    this.#draw();
  }

  #draw(): void {
    if (this.#due) return;
    this.#due = true;
    setTimeout(() => {
      this.#due = false;
      const end = this.#times.at(-1) ?? 0;
      const first = Math.max(0, this.#times.findIndex((time) => time >= end - this.#range));
      this.#chart.set([this.#times.slice(first), this.#prices.slice(first)]);
    }, redraw);
  }

  #show(range: number): void {
    this.#range = range;
    for (const button of $('ranges').querySelectorAll<HTMLElement>('button')) {
      button.setAttribute('aria-pressed', String(button.dataset.range === String(range)));
    }
    this.#draw();
  }
}
