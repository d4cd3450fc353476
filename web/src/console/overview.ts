// What the figures show: tiles, charts, nodes, rules, and who is slow.

import { Chart, short, type Data } from '../shared/chart.js';
import { $, make } from '../shared/dom.js';
import { onLanguage, say } from '../shared/i18n.js';
import { ruleRates, type Figures, type Node, type Sum } from './figures.js';
import { put } from './rows.js';
import { missing } from './server.js';
import { nodesTable, rate, rulesTable, slowTable, whole } from './tables.js';

const kept = 300; // points of the charts
const gone = 5 * 60_000; // ms for which a node that does not answer is shown
const tiles = ['connections', 'sessions', 'topics', 'published', 'delivered', 'dropped', 'superseded', 'queued'] as const;
const rateLines = { published: '--accent', delivered: '--info', dropped: '--bad', superseded: '--warn' } as const;
const loadLines = { connections: '--info', sessions: '--accent', queued: '--warn' } as const;

export class Overview {
  #sums: Sum[] = [];
  #last: Figures | undefined;
  readonly #seen = new Map<string, { node: Node; at: number }>();
  readonly #tiles = new Map<string, HTMLElement>();
  readonly #rates = chart('rates', rateLines);
  readonly #load = chart('load', loadLines);
  readonly #rules = rulesTable();
  readonly #slow = slowTable();
  readonly #nodes = nodesTable();

  constructor(readonly count: (tab: string, number: number) => void) {
    $('figures').append(...tiles.map((name) => {
      const [dt, dd] = [make('dt'), make('dd', '', '–')];
      say(dt, `figure.${name}`);
      dd.id = `figure-${name}`;
      this.#tiles.set(name, dd);
      return make('div', '', dt, dd);
    }));
    onLanguage(() => this.#last && this.#show(this.#last, this.#last));
  }

  /** What was told before this page looked. */
  past(sums: Sum[]): void {
    const first = this.#sums[0]?.time ?? Infinity;
    this.#sums = [...sums.filter(({ time }) => time < first), ...this.#sums].slice(-kept);
    this.#draw();
  }

  take(figures: Figures): void {
    if (this.#last && figures.time <= this.#last.time) return;
    this.#sums = [...this.#sums.slice(-kept + 1), figures.sum];
    this.#show(figures, this.#last);
    this.#last = figures;
    this.#draw();
  }

  #show(figures: Figures, before: Figures | undefined): void {
    const { sum, nodes } = figures;
    const topics = Math.max(...nodes.map((node) => node.topics)); // where nodes share a broker they remember the same ones
    for (const name of tiles) put(this.#tiles.get(name), name === 'topics' ? whole(topics) : rate(sum[name]));
    this.#rules.set(ruleRates(figures, before === figures ? undefined : before));
    const slow = nodes.flatMap((node) => node.slow.map((one) => ({ ...one, node: node.name })));
    slow.sort((a, b) => b.queued - a.queued);
    this.#slow.set(slow);
    $('slow').hidden = slow.length === 0;
    $('slow-none').hidden = slow.length > 0;
    this.count('slow', slow.length);
    this.count('errors', nodes.reduce((all, node) => all + node.errors, 0));
    this.#showNodes(figures);
  }

  /** Also those that have answered before and do not any more. */
  #showNodes({ nodes, time, missing: silent }: Figures): void {
    for (const node of nodes) this.#seen.set(`${node.name} ${node.began}`, { node, at: time });
    for (const [key, { node, at }] of this.#seen) {
      const again = nodes.some(({ name, began }) => name === node.name && began !== node.began);
      if (again || time - at > gone) this.#seen.delete(key);
    }
    const all = [...this.#seen.values()].map(({ node, at }) => ({ node, at, here: at === time }));
    this.#nodes.set(all);
    const names = all.filter(({ here }) => !here).map(({ node }) => node.name);
    missing(silent && (names.join(', ') || silent)); // the server knows them by other names
    this.count('nodes', nodes.length);
  }

  #draw(): void {
    const times = this.#sums.map(({ time }) => time / 1000);
    const lines = (names: (keyof Sum)[]): Data => [times, ...names.map((name) => this.#sums.map((sum) => sum[name]))];
    this.#rates.set(lines(Object.keys(rateLines) as (keyof Sum)[]));
    this.#load.set(lines(Object.keys(loadLines) as (keyof Sum)[]));
  }
}

/** A chart with its legend. */
function chart(id: string, lines: Record<string, string>): Chart {
  $(`${id}-legend`).append(...Object.entries(lines).map(([name, color]) => {
    const [mark, text] = [make('span', 'swatch'), make('span')];
    mark.style.background = `var(${color})`;
    say(text, `${id === 'rates' ? 'head' : 'figure'}.${name}`);
    return make('li', 'row small muted', mark, text);
  }));
  return new Chart($(id), { lines: Object.values(lines).map((color, i) => ({ color, fill: i === 0 })), fromZero: true, whole: true, format: short });
}
