// Searching in what the room remembers. The server does it, so nothing has to be loaded but what was found.

import type { Client, DuplexError, Position } from 'duplex-client';
import { $, avatar, make } from '../shared/dom.js';
import { locale, onLanguage, say } from '../shared/i18n.js';
import { problemText } from './message.js';

interface Match extends Position {
  time: number;
  from?: string;
  text: string;
  picture?: boolean;
}

const pause = 400; // after the last key, before the server is asked

const panel = $('search');
const input = $<HTMLInputElement>('search-text');
const status = $('search-status');
const results = $('search-results');
const button = $('open-search');

export class Search {
  #timer = 0;
  #asked = 0; // an answer to an earlier question is not shown

  constructor(private readonly client: () => Client | undefined, private readonly room: () => string, private readonly choose: (at: Position) => void) {
    $('search-form').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#search();
    });
    input.addEventListener('input', () => {
      clearTimeout(this.#timer);
      this.#timer = window.setTimeout(() => void this.#search(), pause);
    });
    panel.addEventListener('keydown', ({ key }) => key === 'Escape' && this.toggle(false));
    onLanguage(() => {
      for (const time of results.querySelectorAll('time')) showTime(time);
    });
  }

  toggle(open = panel.hidden): void {
    if (panel.hidden !== open) return;
    panel.hidden = !open;
    button.setAttribute('aria-expanded', String(open));
    this.clear();
    (open ? input : button).focus();
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#asked++;
    input.value = '';
    this.#show([]);
    quiet();
  }

  async #search(): Promise<void> {
    clearTimeout(this.#timer);
    const text = input.value.trim();
    const question = ++this.#asked;
    if (!text) {
      this.#show([]);
      quiet();
      return;
    }
    say(status, 'search.searching');
    try {
      const client = this.client();
      if (!client) return;
      const found = await client.request<{ matches: Match[]; more: boolean }>('chat.search', { room: this.room(), text }, { resend: true });
      if (question !== this.#asked) return;
      this.#show(found.matches, text);
      const n = found.matches.length;
      if (n === 0) say(status, 'search.none', { text });
      else say(status, found.more ? 'search.more' : 'search.found', { n });
    } catch (error) {
      if (question !== this.#asked) return;
      const { retry } = error as DuplexError;
      if (retry !== undefined) this.#timer = window.setTimeout(() => void this.#search(), retry);
      else say(status, 'search.failed', { message: problemText(error as DuplexError) });
    }
  }

  #show(matches: Match[], wanted = ''): void {
    results.replaceChildren(...matches.map((match) => {
      const { from = '', time, text, epoch, offset } = match;
      const when = make('time', 'muted');
      when.dateTime = new Date(time).toISOString();
      showTime(when);
      const found = make('button', 'result', avatar(from || '★'), make('span', 'who', from), when, make('span', 'excerpt', ...marked(text, wanted)));
      found.type = 'button';
      found.onclick = () => this.choose({ epoch, offset });
      return make('li', '', found);
    }));
  }
}

function quiet(): void {
  delete status.dataset.i18n;
  status.textContent = '';
}

/** Text in which what was searched for is marked. */
function marked(text: string, wanted: string): (Node | string)[] {
  const parts: (Node | string)[] = [];
  const [lower, needle] = [text.toLowerCase(), wanted.toLowerCase()];
  let end = 0;
  if (lower.length === text.length && needle) { // in a few languages the length depends on the case
    for (let at = lower.indexOf(needle); at >= 0; at = lower.indexOf(needle, end)) {
      parts.push(text.slice(end, at), make('mark', '', text.slice(at, at + needle.length)));
      end = at + needle.length;
    }
  }
  parts.push(text.slice(end));
  return parts;
}

function showTime(element: HTMLTimeElement): void {
  element.textContent = new Intl.DateTimeFormat(locale(), { dateStyle: 'short', timeStyle: 'short' }).format(new Date(element.dateTime));
}
