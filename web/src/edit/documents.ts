// The list of documents, and opening one by its name.

import type { Client } from 'duplex-client';
import { $, make, showError } from '../shared/dom.js';
import { locale, onLanguage, t } from '../shared/i18n.js';

interface Line {
  name: string;
  changed: number;
  people: number;
}

const period = 10_000; // ms between two looks at the list
const least = 2000; // ms, when something has changed
export const standard = 'welcome';

/** The document that the address names. */
export function named(): string {
  try {
    const name = decodeURIComponent(location.hash.slice(1)).normalize('NFC');
    return isName(name) ? name : standard;
  } catch {
    return standard;
  }
}

const isName = (name: string) => /^[\p{L}\p{M}\p{Nd}\-_]{1,40}$/u.test(name);

export class Documents {
  #lines: Line[] = [];
  #asked = 0;
  #timer = 0;

  constructor(readonly client: Client) {
    setInterval(() => document.visibilityState === 'visible' && this.refresh(), period);
    $('create').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#open($<HTMLInputElement>('create-name'));
    });
    addEventListener('hashchange', () => this.#show());
    onLanguage(() => {
      this.#show();
      if (!$('create-error').hidden) showError($('create-error'), t('edit.badName'));
    });
  }

  #open(input: HTMLInputElement): void {
    const name = input.value.normalize('NFC').trim().replace(/\s+/g, '-');
    showError($('create-error'), isName(name) ? undefined : t('edit.badName'));
    input.toggleAttribute('aria-invalid', !isName(name));
    if (!isName(name)) return input.focus();
    input.value = '';
    location.hash = encodeURIComponent(name);
  }

  /** Asks the server for the list, now or soon. Without a connection it stays what it was. */
  refresh(): void {
    const wait = this.#asked + least - Date.now();
    if (wait > 0) {
      this.#timer ||= window.setTimeout(() => this.refresh(), wait);
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (this.client.state !== 'open') return;
    this.#asked = Date.now();
    this.client.request<{ documents: Line[] }>('demo.edit.documents').then(({ documents }) => {
      this.#lines = documents;
      this.#show();
    }, () => {});
  }

  #show(): void {
    const now = named();
    const lines = this.#lines.some(({ name }) => name === now) ? this.#lines : [{ name: now, changed: 0, people: 0 }, ...this.#lines];
    $('documents').replaceChildren(...lines.slice(0, 30).map(({ name, changed, people }) => {
      const link = make('a', 'document', make('span', 'document-name', name));
      link.href = `#${encodeURIComponent(name)}`;
      if (name === now) link.setAttribute('aria-current', 'page');
      const about = [people && t('edit.open.people', { n: people }), changed && t('edit.changed', { when: ago(changed) })].filter(Boolean);
      link.append(make('span', 'document-about', about.join(' · ') || t('edit.none')));
      return make('li', '', link);
    }));
  }
}

function ago(time: number): string {
  const format = new Intl.RelativeTimeFormat(locale(), { numeric: 'auto' });
  const seconds = Math.min(0, (time - Date.now()) / 1000);
  if (seconds > -60) return format.format(0, 'second');
  if (seconds > -3600) return format.format(Math.round(seconds / 60), 'minute');
  if (seconds > -86_400) return format.format(Math.round(seconds / 3600), 'hour');
  return format.format(Math.round(seconds / 86_400), 'day');
}
