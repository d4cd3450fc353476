// What the page asks of the server, and how it says what came of it.

import { DuplexError, type Client } from 'duplex-client';
import { $, showError } from '../shared/dom.js';
import { has, say, t } from '../shared/i18n.js';

/** What an action answers. */
export interface Done {
  count: number;
  missing?: string;
}

export class Server {
  constructor(readonly client: Client) {}

  /** Asks the console's part of the server. */
  ask<T>(method: string, question: object = {}): Promise<T> {
    return this.client.request<T>(`demo.console.${method}`, question);
  }

  /** Does something and says in words what came of it. Returns whether it was done. */
  async act<T>(method: string, question: object, outcome: (answer: T) => [key: string, args: object, missing?: string]): Promise<boolean> {
    this.tell();
    try {
      const [key, args, missing] = outcome(await this.ask<T>(method, question));
      const text = [t(key, args), ...(missing ? [t('done.missing', { text: missing })] : [])].join(' ');
      const line = $('outcome');
      line.hidden = false;
      if (missing) line.textContent = text;
      else say(line, key, args);
      return true;
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  /** Says nothing any more. */
  tell(): void {
    $('outcome').hidden = true;
    showError($('problem'));
  }

  /** Says what went wrong. */
  fail(error: unknown): void {
    showError($('problem'), words(error));
  }
}

function words(error: unknown): string {
  if (!(error instanceof DuplexError)) return String(error);
  const { code, message } = error;
  const key = `error.${code.split('.').at(-1)}`;
  return has(key) ? t(key, { text: message }) : t('error.other', { code, text: message });
}

/** Shows, or hides, which nodes did not answer. */
export function missing(text: string | undefined): void {
  $('missing').hidden = !text;
  if (text) say($('missing'), 'console.missing', { text });
}
