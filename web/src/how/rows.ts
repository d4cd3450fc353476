// The list of frames: newest last, one of them selected.

import { $, make } from '../shared/dom.js';
import { label, say } from '../shared/i18n.js';
import type { Frame } from './frame.js';

const mostRows = 300;

interface Listed {
  frame: Frame;
  button: HTMLButtonElement;
}

export class Rows {
  readonly #list = $('frames');
  readonly #rows: Listed[] = [];
  #selected?: Frame;
  readonly #began = new Map<number, number>(); // by connection
  /** Which frame is to be shown when it comes: the newest, until somebody picks another one, or the first of those that are awaited. */
  #awaited?: (frame: Frame) => boolean = () => true;
  #once = false;

  constructor(readonly onSelect: (frame: Frame) => void) {
    this.#list.addEventListener('keydown', (event) => this.#move(event));
  }

  get selected(): Frame | undefined { return this.#selected; }

  /** A connection begins: times are counted from here. */
  begin(connection: number, at: number, compressed: boolean): void {
    this.#began.set(connection, at);
    this.#divide(compressed ? 'row.begin-compressed' : 'row.begin', { connection });
  }

  end(connection: number): void {
    this.#began.delete(connection);
    this.#divide('row.end', { connection });
  }

  /** Frames that are not shown. */
  skipped(count: number): void {
    this.#divide('row.skipped', { count });
  }

  /** What a reload of the server, or a long absence, has swallowed. */
  lost(): void {
    this.#divide('row.lost', {});
  }

  add(frame: Frame): void {
    const button = make('button', `frame-row ${frame.server ? 'down' : 'up'}`);
    button.type = 'button';
    button.tabIndex = -1;
    button.dataset.type = frame.type;
    button.dataset.from = frame.server ? 'server' : 'browser';
    button.dataset.length = String(frame.length);
    if (frame.inflated !== undefined) button.dataset.inflated = String(frame.inflated);
    button.setAttribute('aria-pressed', 'false');
    const direction = make('span', 'direction', frame.server ? '↓' : '↑');
    label(direction, frame.server ? 'row.down' : 'row.up');
    direction.setAttribute('role', 'img');
    const flags = make('span', 'flags');
    if (frame.compressed) flags.append(flag('row.compressed'));
    if (!frame.fin) flags.append(flag('row.more'));
    const type = make('span', `pill type-${frame.type}`);
    say(type, `type.${frame.type}`);
    button.append(
      direction,
      make('span', 'at number', `+${Math.max(0, (frame.at - (this.#began.get(frame.connection) ?? frame.at)) / 1000).toFixed(3)}`),
      type,
      make('span', 'fin mono', `FIN ${Number(frame.fin)}`),
      make('span', 'length number', frame.inflated === undefined ? `${frame.length} B` : `${frame.length} ← ${frame.inflated} B`),
      flags,
      make('span', 'preview mono', frame.preview),
    );
    button.addEventListener('click', () => {
      this.#awaited = undefined;
      this.select(frame);
    });
    this.#rows.push({ frame, button });
    this.#append(make('li', '', button));
    if (this.#rows.length > mostRows) this.#forget();
    if (!this.#awaited?.(frame)) return;
    if (this.#once) this.#awaited = undefined;
    this.select(frame);
  }

  select(frame: Frame): void {
    this.#selected = frame;
    for (const row of this.#rows) {
      const picked = row.frame === frame;
      row.button.setAttribute('aria-pressed', String(picked));
      row.button.tabIndex = picked ? 0 : -1;
    }
    this.onSelect(frame);
  }

  clear(): void {
    this.#rows.length = 0;
    this.#list.replaceChildren();
    this.#selected = undefined;
    this.follow();
  }

  /** Shows the first frame of those that are awaited when it comes; without an argument, each that comes. */
  follow(awaited?: (frame: Frame) => boolean): void {
    this.#awaited = awaited ?? (() => true);
    this.#once = awaited !== undefined;
  }

  #divide(key: string, args: object): void {
    const divider = make('li', 'divider');
    say(divider, key, args);
    this.#append(divider);
  }

  #append(item: HTMLLIElement): void {
    const list = this.#list;
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
    list.append(item);
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  #forget(): void {
    const { frame, button } = this.#rows.shift()!;
    if (frame === this.#selected) this.#rows[0]!.button.tabIndex = 0; // the list can still be come to by keyboard
    while (this.#list.firstElementChild && !this.#list.firstElementChild.contains(button)) this.#list.firstElementChild.remove();
    button.parentElement?.remove();
  }

  #move(event: KeyboardEvent): void {
    const step = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity }[event.key];
    const at = this.#rows.findIndex(({ frame }) => frame === this.#selected);
    if (step === undefined || at < 0) return;
    event.preventDefault();
    const row = this.#rows[Math.min(Math.max(at + step, 0), this.#rows.length - 1)]!;
    this.#awaited = undefined;
    this.select(row.frame);
    row.button.focus();
  }
}

function flag(key: string): HTMLElement {
  const shown = make('span', 'pill info');
  say(shown, key);
  return shown;
}
