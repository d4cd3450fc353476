// How an upload looks: its name, how far it is, and what can be done about it.

import { icon, make } from '../shared/dom.js';
import { has, label, say, t } from '../shared/i18n.js';
import { duration, size } from './format.js';
import type { State, Transfer } from './transfer.js';

const paths = {
  pause: 'M9 5v14M15 5v14',
  resume: 'M7 4.500l12 7.500-12 7.500z',
  again: 'M5 12a7 7 0 1 0 2-4.900M5 4.500v4h4',
  choose: 'M12 16V4M7 9l5-5 5 5M4 19h16',
  cancel: 'M6 6l12 12M18 6L6 18',
};

const tones: Partial<Record<State, string>> = { done: 'good', failed: 'bad', missing: 'warn', offline: 'warn', paused: '', elsewhere: '' };
const over: State[] = ['done', 'failed', 'elsewhere'];

export interface ShowEvents {
  choose(): void;
  cancel(): void;
  close(): void;
}

export class Show {
  readonly element: HTMLLIElement;
  readonly #bar = make('progress');
  readonly #text = make('p', 'small number state-text');
  readonly #percent = make('span', 'muted small number percent');
  readonly #main = make('button', 'icon');
  readonly #end = make('button', 'icon');
  #shown = ''; // state and language of what the buttons show

  constructor(private readonly transfer: Transfer, private readonly events: ShowEvents) {
    const { name } = transfer.kept;
    const title = make('strong', 'name', name);
    title.title = name;
    this.#bar.max = 1;
    this.#bar.setAttribute('aria-label', name);
    for (const button of [this.#main, this.#end]) button.type = 'button';
    this.#end.append(icon(paths.cancel));
    this.#main.addEventListener('click', () => this.#act());
    this.#end.addEventListener('click', () => (over.includes(transfer.state) ? events.close() : events.cancel()));
    this.element = make('li', 'card transfer', make('div', 'grow', make('div', 'row between', title, this.#percent), this.#bar, this.#text), this.#main, this.#end);
    this.element.dataset.name = name;
    this.update();
  }

  /** Shows how it is now. Called often. */
  update(): void {
    const { state, sent, kept, speed, problem, hasFile } = this.transfer;
    const shown: State = state === 'paused' && !hasFile ? 'missing' : state;
    const share = state === 'done' ? 1 : kept.size ? sent / kept.size : 0;
    this.element.dataset.state = state;
    this.element.dataset.sent = String(sent);
    this.#bar.value = share;
    this.#percent.textContent = `${Math.floor(share * 100)}%`;
    this.#text.className = `small number state-text ${tones[shown] ?? 'muted'}`;
    this.#text.textContent = problem ? because(problem) : t(`state.${shown}`, {
      size: size(sent), of: size(kept.size), speed: size(speed.now), left: speed.now ? duration((kept.size - sent) / speed.now) : '',
    });
    this.#buttons();
  }

  #buttons(): void {
    const { state, kept, hasFile } = this.transfer;
    const what = this.#what();
    const shown = `${state} ${what} ${document.documentElement.lang}`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#main.hidden = !what;
    if (what) {
      this.#main.replaceChildren(icon(paths[what]));
      label(this.#main, `button.${what}`, { name: kept.name });
    }
    label(this.#end, over.includes(state) ? 'button.close' : 'button.cancel', { name: kept.name });
    this.#main.classList.toggle('wanted', what === 'choose' || (what === 'again' && hasFile));
  }

  /** What the first button does. */
  #what(): 'pause' | 'resume' | 'again' | 'choose' | undefined {
    const { state, hasFile, problem } = this.transfer;
    if (['waiting', 'sending', 'checking', 'offline'].includes(state)) return 'pause';
    if (state === 'paused' || state === 'elsewhere') return hasFile ? 'resume' : 'choose';
    if (state === 'missing') return 'choose';
    if (state === 'failed' && !['uploads.type', 'uploads.size', 'uploads.name'].includes(problem?.code ?? '')) return hasFile ? 'again' : 'choose';
    return undefined;
  }

  #act(): void {
    const what = this.#what();
    if (what === 'pause') this.transfer.pause();
    else if (what === 'choose') this.events.choose();
    else if (what) this.transfer.resume();
  }
}

const because = ({ code, text }: { code: string; text: string }) => (has(`error.${code}`) ? t(`error.${code}`) : t('error.other', { text }));

/** A button that asks before it deletes. */
export function removeButton(name: string, remove: () => void): HTMLButtonElement {
  const button = make('button', 'icon');
  button.type = 'button';
  let sure = 0;
  const calm = () => {
    clearTimeout(sure);
    sure = 0;
    button.className = 'icon';
    delete button.dataset.i18n;
    button.replaceChildren(icon('M5 7h14M10 7V4.500h4V7M7 7l1 13h8l1-13M10 11v5M14 11v5'));
    label(button, 'done.remove', { name });
  };
  button.addEventListener('blur', calm);
  button.addEventListener('click', () => {
    if (sure) {
      calm();
      remove();
      return;
    }
    button.className = 'button danger';
    delete button.dataset.i18nLabel;
    button.removeAttribute('aria-label');
    say(button, 'done.sure');
    sure = window.setTimeout(calm, 4_000);
  });
  calm();
  return button;
}
