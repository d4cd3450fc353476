// What follows from the events of a notification's log, in their order. The server has the same rules
// (internal/showcase/notify/notification.go).

import type { Message } from 'duplex-client';

export const groups = ['sales', 'kitchen', 'delivery', 'office'] as const;

export interface Target {
  kind: 'all' | 'group' | 'person';
  id?: string;
  name?: string;
}

/** A notification as those get it whom it is for. */
export interface Notice {
  id: string;
  title: string;
  text: string;
  to: Target;
  by: string;
}

export interface Receipt {
  who: string;
  name: string;
  at: string | number;
}

/** One message of a log. */
export interface Event {
  kind: 'planned' | 'cancelled' | 'due' | 'sent' | 'delivered' | 'read';
  notice?: Notice;
  at?: string;
  audience?: number;
  who?: string;
  name?: string;
}

/** What the server lists. */
export interface Summary extends Notice {
  at: string;
  cancelled: boolean;
  due: boolean;
  sent?: string;
  audience: number;
  delivered: Receipt[];
  read: Receipt[];
  log: string;
  offset: number;
}

export const topics = {
  all: 'demo.notify.all',
  group: (id: string) => `demo.notify.group.${id}`,
  inbox: (secret: string) => `demo.notify.inbox.${secret}`,
  logs: 'demo.notify.log.*',
  desk: 'demo.notify.desk',
};

export class Notification {
  notice?: Notice;
  /** When it is to be sent, or was. */
  at = 0;
  cancelled = false;
  due = false;
  sent = false;
  audience = 0;
  delivered: Receipt[] = [];
  read: Receipt[] = [];
  offset = 0;

  static of({ id, title, text, to, by, at, sent, log: _, ...rest }: Summary): Notification {
    return Object.assign(new Notification(), rest, { notice: { id, title, text, to, by }, at: Date.parse(sent ?? at), sent: Boolean(sent) });
  }

  /** It may still be cancelled. */
  get waits(): boolean {
    return Boolean(this.notice) && !this.cancelled && !this.due;
  }

  /** Applies one more message; what has been applied before is left out. */
  apply({ data: { kind, notice, at, audience, who = '', name = '' }, offset, time }: Message<Event>): void {
    if (offset <= this.offset) return;
    this.offset = offset;
    const add = (receipts: Receipt[]) => this.due && !receipts.some((known) => known.who === who) && receipts.push({ who, name, at: time });
    switch (kind) {
      case 'planned':
        if (!this.notice && notice) Object.assign(this, { notice, at: Date.parse(at!) });
        break;
      case 'cancelled':
        if (this.waits) this.cancelled = true;
        break;
      case 'due':
        if (this.waits) Object.assign(this, { due: true, audience });
        break;
      case 'sent':
        if (this.due && !this.sent) Object.assign(this, { sent: true, at: time });
        break;
      case 'delivered':
        add(this.delivered);
        break;
      case 'read':
        add(this.read);
        break;
    }
  }
}
