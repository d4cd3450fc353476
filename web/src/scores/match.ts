// One match on the page.

import { make } from '../shared/dom.js';
import { label, say } from '../shared/i18n.js';

/** An event, as internal/showcase/scores publishes it. */
export interface Happening {
  n: number;
  minute: number;
  kind: string;
  home: string;
  away: string;
  side?: 'home' | 'away';
  player?: string;
  score: [number, number];
  starts: string;
}

const whistles = ['kick-off', 'half-time', 'full-time'];

export class Match {
  readonly element: HTMLLIElement;
  readonly starts: number;
  live = true;
  goals = 0;
  readonly #status = make('span', 'pill good');
  readonly #minute = make('span', 'minute number');
  readonly #score = make('strong', 'score number', '0 : 0');
  readonly #timeline = make('ol', 'timeline');

  constructor(readonly topic: string, { home, away, starts }: Happening) {
    this.starts = Date.parse(starts);
    this.#timeline.tabIndex = 0;
    label(this.#timeline, 'scores.timeline', { home, away });
    this.element = make(
      'li', 'card match',
      make('div', 'row between', this.#status, this.#minute),
      make('div', 'sides', make('span', 'team', home), this.#score, make('span', 'team', away)),
      this.#timeline,
    );
    this.element.dataset.topic = topic;
  }

  /** Adds what has happened. Events come in order and once, so nothing needs to be sorted or compared. */
  add(event: Happening): void {
    const { kind, minute, score, n } = event;
    this.live = kind !== 'full-time' && kind !== 'half-time';
    const status = this.live ? 'live' : kind;
    say(this.#status, `status.${status}`);
    this.#status.className = `pill ${status === 'live' ? 'good' : ''}`;
    say(this.#minute, 'scores.minute', { minute });
    const text = score.join(' : ');
    if (this.#score.textContent !== text) {
      this.#score.textContent = text;
      this.#score.classList.remove('new');
      void this.#score.offsetWidth; // so that the animation begins again
      this.#score.classList.add('new');
    }
    this.goals = score[0] + score[1];
    const line = row(event);
    line.dataset.n = String(n);
    this.#timeline.prepend(line);
  }
}

function row({ kind, minute, side, player = '' }: Happening): HTMLLIElement {
  const what = make('span', 'what');
  say(what, `event.${kind}`);
  const at = make('span', 'minute number');
  say(at, 'scores.minute', { minute });
  const line = make('li', whistles.includes(kind) ? 'event whistle' : `event ${kind} ${side}`, at, make('span', 'mark'), what);
  if (player) line.append(make('span', 'player', player));
  return line;
}
