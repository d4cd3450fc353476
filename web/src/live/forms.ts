// Where a comment is written, and where the rules of the house are made.

import { $, make, showError } from '../shared/dom.js';
import { label, say, t } from '../shared/i18n.js';
import { load, save } from '../shared/store.js';
import { explain, type House, type Talk } from './talk.js';

const colors = ['white', 'red', 'orange', 'yellow', 'green', 'cyan', 'blue', 'purple'];
const storageKey = 'duplex.live.color';
const maxLength = 60; // characters

export class SayForm {
  constructor(talk: () => Talk | undefined) {
    const chosen = load(localStorage, storageKey) ?? 'white';
    for (const color of colors) {
      const radio = make('input');
      Object.assign(radio, { type: 'radio', name: 'color', value: color, checked: color === chosen });
      label(radio, `color.${color}`);
      radio.onchange = () => save(localStorage, storageKey, color);
      $('colors').append(make('span', `swatch ${color}`, radio));
    }
    $('say').addEventListener('submit', async (event) => {
      event.preventDefault();
      const input = $<HTMLInputElement>('say-text');
      const text = input.value.trim();
      showError($('say-error'), [...text].length > maxLength ? t('error.live.bad-comment') : undefined);
      if (!text || [...text].length > maxLength) return;
      const color = document.querySelector<HTMLInputElement>('#colors input:checked')?.value ?? 'white';
      try {
        await talk()?.say({ text, color, mode: $<HTMLInputElement>('say-top').checked ? 'top' : 'scroll' });
        if (input.value.trim() === text) input.value = '';
      } catch (error) {
        showError($('say-error'), explain(error));
      }
    });
  }
}

export class HouseForm {
  #house: House = { slow: 0, words: [], muted: [], removed: [] };

  constructor(readonly talk: () => Talk | undefined) {
    $<HTMLSelectElement>('slow').onchange = ({ target }) => this.#do('slow', { seconds: Number((target as HTMLSelectElement).value) });
    $('house').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#do('words', { words: $<HTMLInputElement>('words').value.split(/[,，、]/).map((word) => word.trim()).filter(Boolean) });
    });
  }

  get isOpen(): boolean {
    return !$('house').hidden;
  }

  open(): void {
    this.#toggle(true);
  }

  close(): void {
    this.#toggle(false);
  }

  #toggle(open: boolean): void {
    $('house').hidden = !open;
    $('comments').classList.toggle('moderated', open);
    $('moderate').setAttribute('aria-expanded', String(open));
  }

  clear(): void {
    this.show({ slow: 0, words: [], muted: [], removed: [] });
  }

  show(house: House): void {
    this.#house = house;
    $<HTMLSelectElement>('slow').value = String(house.slow);
    const words = $<HTMLInputElement>('words');
    if (document.activeElement !== words) words.value = (house.words ?? []).join(', ');
    const muted = house.muted ?? [];
    $('muted-title').hidden = muted.length === 0;
    $('muted').replaceChildren(...muted.map(({ user, name }) => {
      const button = make('button', 'chip', name || user, ' ×');
      button.type = 'button';
      label(button, 'house.unmute', { name: name || user });
      button.onclick = () => this.#do('unmute', { user });
      return make('li', '', button);
    }));
    $('slow-note').hidden = house.slow === 0;
    say($('slow-note'), 'talk.slow', { seconds: house.slow });
  }

  async #do(action: string, what: object): Promise<void> {
    showError($('house-error'));
    try {
      await this.talk()?.moderate(action, what);
    } catch (error) {
      showError($('house-error'), explain(error));
      $<HTMLSelectElement>('slow').value = String(this.#house.slow);
    }
  }
}
