// What the figures show: tiles, charts, nodes, rules, and who is slow.

import { Chart, short, type Data } from '../shared/chart.js';
import { $, make } from '../shared/dom.js';
import { locale, onLanguage, say } from '../shared/i18n.js';
import { ruleRates, type Counter, type Figures, type Node, type RuleRates, type Slow, type Sum } from './figures.js';
import { cells, put, Rows } from './rows.js';
import { missing } from './server.js';

const kept = 300; // points of the charts
const gone = 5 * 60_000; // ms for which a node that does not answer is shown
const tiles = ['connections', 'sessions', 'topics', 'published', 'delivered', 'dropped', 'superseded', 'queued'] as const;
const rateLines = { published: '--accent', delivered: '--info', dropped: '--bad', superseded: '--warn' } as const;
const loadLines = { connections: '--info', sessions: '--accent', queued: '--warn' } as const;
const ruleColumns: Counter[] = ['published', 'delivered', 'dropped', 'superseded', 'gaps', 'slow'];

const whole = (value: number) => Math.round(value).toLocaleString(locale());
const rate = (value: number) => value.toLocaleString(locale(), { maximumFractionDigits: value < 10 ? 1 : 0 });
const clock = (time: number) => new Date(time).toLocaleTimeString(locale(), { hour12: false });
const bytes = (value: number) => `${(value / 2 ** 20).toLocaleString(locale(), { maximumFractionDigits: 1 })} MB`;

export class Overview {
  #sums: Sum[] = [];
  #last: Figures | undefined;
  readonly #seen = new Map<string, { node: Node; at: number }>();
  readonly #tiles = new Map<string, HTMLElement>();
  readonly #rates = chart('rates', rateLines);
  readonly #load = chart('load', loadLines);
  readonly #rules = new Rows<RuleRates>($('rules'), ['rule', 'published>', 'delivered>', 'dropped>', 'superseded>', 'gaps>', 'ended>'], ({ pattern }) => pattern, () => {
    const { all, element } = cells(7, [1, 2, 3, 4, 5, 6]);
    all[0]!.className = 'mono';
    return {
      element,
      show: ({ pattern, total, rate: now }) => {
        element.dataset.rule = pattern;
        if (pattern) put(all[0], pattern);
        else say(all[0]!, 'rules.none');
        ruleColumns.forEach((counter, i) => say(all[i + 1]!, 'rules.rate', { total: whole(total[counter]), rate: now[counter] ? rate(now[counter]) : '' }));
      },
    };
  });
  readonly #slow = new Rows<Slow & { node: string }>($('slow'), ['session', 'user', 'node', 'topics>', 'queued>'], ({ session }) => session, () => {
    const { all, element } = cells(5, [3, 4]);
    all[0]!.className = all[1]!.className = 'mono';
    return { element, show: (one) => [one.session, one.user, one.node, whole(one.topics), whole(one.queued)].forEach((text, i) => put(all[i], text)) };
  });
  readonly #nodes = new Rows<{ node: Node; at: number; here: boolean }>(
    $('nodes'), ['node', 'state', 'since', 'connections>', 'sessions>', 'queued>', 'memory>', 'history>', 'goroutines>'], ({ node }) => `${node.name} ${node.began}`,
    () => {
      const { all, element } = cells(9, [3, 4, 5, 6, 7, 8]);
      all[0]!.className = 'mono';
      const state = make('span', 'pill');
      all[1]!.append(state);
      return {
        element,
        show: ({ node, at, here }) => {
          element.dataset.node = node.name;
          state.className = `pill ${here ? 'good' : 'bad'}`;
          say(state, here ? 'nodes.up' : 'nodes.gone', here ? undefined : { time: clock(at) });
          put(all[0], node.name);
          put(all[2], new Date(node.began).toLocaleString(locale(), { hour12: false }));
          [whole(node.connections), whole(node.sessions), whole(node.queued), bytes(node.memory), bytes(node.historyBytes), whole(node.goroutines)]
            .forEach((text, i) => put(all[i + 3], text));
        },
      };
    },
  );

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
    const slow = nodes.flatMap((node) => node.slow.map((one) => ({ ...one, node: node.name }))).sort((a, b) => b.queued - a.queued);
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
