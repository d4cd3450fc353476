// The counters: what the exchange does, what of it reaches this page, and what does not.

import type { Client } from 'duplex-client';
import { $ } from '../shared/dom.js';
import { locale } from '../shared/i18n.js';
import type { Market } from './market.js';

const span = 5; // seconds over which rates are taken

/** What the request demo.quotes.meter answers, of the server that this page is connected to, since it was started. */
interface Counts {
  deliveries: number;
  superseded: number;
}

export class Meter {
  received = 0;
  conflated = 0;
  market: Market | undefined;
  #past: { at: number; received: number; changes: number }[] = [];
  #ahead = Infinity; // how far this clock is ahead of the server's, with what the network takes at best

  constructor(readonly client: Client) {
    setInterval(() => void this.#tick(), 1000);
  }

  /** A message has come, of that time by the server's clock. */
  count(time: number): void {
    this.received++;
    this.#ahead = Math.min(this.#ahead, Date.now() - time);
  }

  /** The newest of what was left out for this page. */
  leftOut(count: number): void {
    this.conflated += count;
    this.#show('conflated', this.conflated);
    $('conflated').dataset.count = String(this.conflated);
    $('conflated-box').classList.add('counted');
  }

  async #tick(): Promise<void> {
    this.#rates();
    this.#age();
    if (this.client.state !== 'open' || document.hidden) return;
    const counts = await this.client.request<Counts>('demo.quotes.meter', {}).catch(() => undefined); // then the next one tells
    if (!counts) return;
    this.#show('server-sent', counts.deliveries);
    this.#show('server-conflated', counts.superseded);
  }

  #rates(): void {
    const now = { at: performance.now(), received: this.received, changes: this.market?.changes ?? 0 };
    this.#past = [...this.#past, now].slice(-span - 1);
    const then = this.#past[0]!;
    const seconds = (now.at - then.at) / 1000;
    if (!seconds) return;
    this.#show('received', Math.round((now.received - then.received) / seconds));
    this.#show('changes', Math.round((now.changes - then.changes) / seconds));
  }

  /** How old the oldest of the newest prices is. */
  #age(): void {
    const told = this.market?.told;
    if (!told?.size) return;
    const age = Math.max(0, Date.now() - this.#ahead - Math.min(...told.values())) / 1000;
    $('age').textContent = `${age.toLocaleString(locale(), { minimumFractionDigits: 1, maximumFractionDigits: 1 })} s`;
  }

  #show(id: string, value: number): void {
    $(id).textContent = value.toLocaleString(locale());
  }
}
