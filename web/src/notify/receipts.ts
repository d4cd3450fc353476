// Telling the server what has come and what was read, together and once more after a lost connection.

import type { Client } from 'duplex-client';

const pause = 100; // ms in which what happens is told together
const most = 100; // in one request

export class Receipts {
  private readonly waiting = { delivered: new Set<string>(), read: new Set<string>() };
  private timer = 0;
  private busy = false;

  constructor(private readonly client: Client, private readonly inbox: () => string) {
    client.on('state', ({ state }) => state === 'open' && this.soon());
  }

  add(kind: 'delivered' | 'read', id: string): void {
    this.waiting[kind].add(id);
    this.soon();
  }

  private soon(): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.send(), pause);
  }

  private async send(): Promise<void> {
    const delivered = [...this.waiting.delivered].slice(0, most);
    const read = [...this.waiting.read].slice(0, most);
    if (this.busy || !this.inbox() || this.client.state !== 'open' || delivered.length + read.length === 0) return;
    this.busy = true;
    try {
      await this.client.request('demo.notify.receipt', { inbox: this.inbox(), delivered, read });
      for (const id of delivered) this.waiting.delivered.delete(id);
      for (const id of read) this.waiting.read.delete(id);
    } catch {
      // It is told with what comes next, or when the connection is back.
    }
    this.busy = false;
    const { delivered: more, read: moreRead } = this.waiting;
    if (more.size + moreRead.size > 0 && this.client.state === 'open') this.timer = window.setTimeout(() => void this.send(), 10 * pause);
  }
}
