// The race on the page: figures and bars for each transport.

import { $, make, showError } from '../shared/dom.js';
import { locale, say, t } from '../shared/i18n.js';
import { Race, transports, type Transport } from './race.js';

/** What the server counts: internal/showcase/how/counts.go. */
export interface Counted {
  node: string;
  run: number;
  estimate?: boolean;
  transports: { name: Transport; requests: number; in: number; out: number }[];
}

const columns = ['requests', 'up', 'down', 'each', 'latency'] as const;
type Column = (typeof columns)[number];
type Figures = Record<Column, number | undefined> & { received: number; latest?: number };

interface Lane {
  element: HTMLElement;
  received: HTMLElement;
  dot: HTMLElement;
  values: Record<Column, HTMLElement>;
  bars: Record<Column, HTMLElement>;
}

export class RaceView {
  readonly #lanes = {} as Record<Transport, Lane>;
  readonly #counted = new Map<string, Counted>(); // by node
  #race?: Race;
  #run = 0;
  #drawing = 0;
  #over = true;

  constructor(readonly id: string) {
    for (const name of transports) {
      this.#lanes[name] = makeLane(name);
      $('lanes').append(this.#lanes[name].element);
    }
    $('race-start').addEventListener('click', () => (this.#over ? void this.#start() : this.#stop()));
    this.draw();
  }

  /** Takes what a node has counted. */
  count(counted: Counted): void {
    if (counted.run !== this.#run) return;
    this.#counted.set(counted.node, counted);
    this.#drawSoon();
  }

  async #start(): Promise<void> {
    this.#race?.end();
    this.#counted.clear();
    this.#run++;
    this.#over = false;
    showError($('race-error'));
    const choice = { pace: Number($<HTMLSelectElement>('pace').value), interval: Number($<HTMLSelectElement>('interval').value) };
    const race = new Race(this.id, this.#run, choice, (over) => {
      if (over) this.#stop();
      this.#drawSoon();
    }, (code) => {
      if (race !== this.#race || this.#over) return;
      this.#stop();
      this.#fail(code);
    });
    this.#race = race;
    this.draw();
    try {
      await race.begin();
    } catch {
      if (race !== this.#race || this.#over) return;
      this.#stop();
      this.#fail('race.unreachable');
    }
  }

  #stop(): void {
    this.#race?.end();
    this.#over = true;
    this.#drawSoon();
  }

  #fail(key: string): void {
    showError($('race-error'), t(key));
    say($('race-error'), key);
  }

  #drawSoon(): void {
    this.#drawing ||= requestAnimationFrame(() => {
      this.#drawing = 0;
      this.draw();
    });
  }

  draw(): void {
    say($('race-start'), this.#over ? (this.#run ? 'race.again' : 'race.start') : 'race.stop');
    $('race-start').classList.toggle('primary', this.#over);
    $('race').dataset.state = this.#over ? (this.#run ? 'over' : 'before') : 'on';
    for (const id of ['pace', 'interval']) $<HTMLSelectElement>(id).disabled = !this.#over;
    $('race-estimate').hidden = ![...this.#counted.values()].some(({ estimate }) => estimate);
    const all = transports.map((name) => this.#figures(name));
    transports.forEach((name, i) => show(this.#lanes[name], all[i]!, all));
    this.#conclude(all);
  }

  #figures(name: Transport): Figures {
    const lane = this.#race?.lanes[name];
    let [requests, up, down] = [0, 0, 0];
    for (const { transports: costs } of this.#counted.values()) {
      const cost = costs.find((one) => one.name === name);
      requests += cost?.requests ?? 0;
      up += cost?.in ?? 0;
      down += cost?.out ?? 0;
    }
    const received = lane?.received ?? 0;
    return { received, requests, up, down, each: received ? (up + down) / received : undefined, latency: lane?.median, latest: lane?.latest };
  }

  /** Says in a sentence what is to be seen. */
  #conclude(all: Figures[]): void {
    const [poll, , , socket] = all as [Figures, Figures, Figures, Figures];
    const conclusion = $('conclusion');
    conclusion.hidden = !poll.each || !socket.each || socket.received < 3;
    if (conclusion.hidden) return;
    const ratio = poll.each! / socket.each!;
    say(conclusion, 'race.conclusion', {
      ratio: ratio.toLocaleString(locale(), { maximumFractionDigits: ratio < 10 ? 1 : 0 }),
      empty: Math.max(0, poll.requests! - poll.received),
    });
  }
}

function makeLane(name: Transport): Lane {
  const title = make('h3', '');
  say(title, `race.${name}`);
  const about = make('p', 'muted small');
  say(about, `race.${name}-about`);
  const [received, dot] = [make('strong', 'number', '0'), make('span', 'beat')];
  const unit = make('span', 'muted small');
  say(unit, 'race.received');
  const [values, bars] = [{} as Lane['values'], {} as Lane['bars']];
  const figures = columns.map((column) => {
    const term = make('dt', '');
    say(term, `race.${column}`);
    values[column] = make('dd', 'number', '–');
    bars[column] = make('span', 'bar');
    const track = make('span', 'track', bars[column]);
    track.setAttribute('aria-hidden', 'true');
    return make('div', `figure figure-${column}`, term, values[column], track);
  });
  const element = make('li', 'card lane', make('div', 'lane-head', dot, title), about, make('p', 'lane-count', received, unit), make('dl', 'lane-figures', ...figures));
  element.dataset.transport = name;
  return { element, received, dot, values, bars };
}

function show(lane: Lane, figures: Figures, all: Figures[]): void {
  if (lane.received.textContent !== String(figures.received)) {
    lane.received.textContent = String(figures.received);
    lane.dot.classList.remove('now');
    void lane.dot.offsetWidth; // so that the animation begins again
    if (figures.received > 0) lane.dot.classList.add('now');
  }
  for (const column of columns) {
    const value = figures[column];
    lane.element.dataset[column] = value === undefined ? '' : String(value);
    lane.values[column].textContent = written(column, figures);
    const most = Math.max(...all.map((one) => one[column] ?? 0));
    lane.bars[column].style.width = `${most > 0 ? Math.max(value ? 1.5 : 0, ((value ?? 0) / most) * 100) : 0}%`;
  }
}

function written(column: Column, figures: Figures): string {
  const value = figures[column];
  if (value === undefined) return '–';
  if (column === 'latency') return `${milliseconds(value)} / ${milliseconds(figures.latest ?? value)} ms`;
  return `${Math.round(value).toLocaleString(locale())}${column === 'requests' ? '' : ' B'}`;
}

const milliseconds = (value: number) => value.toLocaleString(locale(), { maximumFractionDigits: value < 10 ? 1 : 0 });
