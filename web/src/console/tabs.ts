// The parts of the page, of which one is shown.

import { $, make } from '../shared/dom.js';
import { label, say } from '../shared/i18n.js';

/** A part that asks the server for what it shows. */
export interface Tab {
  refresh(): Promise<void>;
}

const names = ['sessions', 'topics', 'rules', 'slow', 'errors', 'publish', 'nodes'];
const pace = 2000; // ms between two questions

export class Tabs {
  #current = names[0]!;
  readonly #buttons = new Map<string, { button: HTMLButtonElement; count: HTMLElement }>();

  /** tabs are those that ask; live says whether there is a point in asking. */
  constructor(readonly tabs: Record<string, Tab>, readonly live: () => boolean) {
    for (const name of names) this.#make(name);
    $('tabs').addEventListener('keydown', (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.show(names[(names.indexOf(this.#current) + step + names.length) % names.length]!);
      this.#buttons.get(this.#current)!.button.focus();
    });
    this.show(this.#current);
    setInterval(() => this.refresh(), pace);
  }

  show(name: string): void {
    this.#current = name;
    for (const [other, { button }] of this.#buttons) {
      button.setAttribute('aria-selected', String(other === name));
      button.tabIndex = other === name ? 0 : -1;
      $(`panel-${other}`).hidden = other !== name;
    }
    this.refresh();
  }

  /** Asks for what is shown. What fails is asked again soon. */
  refresh(): void {
    if (this.live() && !document.hidden) void this.tabs[this.#current]?.refresh().catch(() => {});
  }

  /** Shows a number beside the name, unless it is 0. */
  count(name: string, number: number): void {
    const { count } = this.#buttons.get(name)!;
    count.hidden = number === 0;
    count.textContent = String(number);
  }

  #make(name: string): void {
    const [button, text, count] = [make('button', 'chip'), make('span'), make('span', 'count')];
    Object.assign(button, { type: 'button', id: `tab-${name}` });
    button.role = 'tab';
    button.setAttribute('aria-controls', `panel-${name}`);
    say(text, `tab.${name}`);
    count.hidden = true;
    button.append(text, count);
    button.addEventListener('click', () => this.show(name));
    const panel = $(`panel-${name}`);
    panel.role = 'tabpanel';
    label(panel, `tab.${name}`);
    this.#buttons.set(name, { button, count });
    $('tabs').append(button);
  }
}
