// What follows from the events of a conversation, in their order. The server has the same rules (internal/showcase/support/conversation.go),
// and so do all pages: whoever is first in the topic was first.

import type { Message } from 'duplex-client';

export type Side = 'visitor' | 'agent';

/** An agent. */
export interface Person {
  user: string;
  name: string;
}

/** One message of a conversation's topic. */
export interface Event {
  kind: 'open' | 'back' | 'text' | 'take' | 'hand' | 'release' | 'close' | 'read';
  by?: Side;
  name?: string;
  text?: string;
  user?: string;
  from?: string;
  to?: Person;
  upTo?: number;
}

/** What is shown of an event that counted. `left` and `came` are no events: this page has seen the other side go and come. */
export interface Line {
  kind: Event['kind'] | 'left' | 'came';
  by?: Side;
  name: string;
  text: string;
  /** To whom it was handed over, or from whom it was taken; empty for the queue. */
  to: string;
  offset: number;
  time: number;
  messageId?: string;
}

/** What the server lists. */
export interface Summary {
  id: string;
  opened: string;
  visitor: string;
  visitors: string[];
  agent?: Person;
  since: string;
  closed: boolean;
  unread: Record<Side, number[]>;
  last?: { by: Side; text: string; at: string };
  offset: number;
}

export const topics = {
  desk: 'demo.support.desk',
  state: 'demo.support.state',
  talks: 'demo.support.c.*',
  talk: (id: string) => `demo.support.c.${id}`,
  live: (id: string) => `demo.support.live.${id}`,
};

const preview = 80; // characters of what was said last
const other = (side: Side): Side => (side === 'visitor' ? 'agent' : 'visitor');

export class Conversation {
  opened = 0;
  visitor = '';
  /** Users that are the visitor. */
  visitors: string[] = [];
  /** Who has it; absent while it is in the queue. */
  agent?: Person;
  /** When it came into the queue, was taken or closed. */
  since = 0;
  closed = false;
  /** Offsets of what the other side has said and this one has not seen. */
  unread: Record<Side, number[]> = { visitor: [], agent: [] };
  last?: { by: Side; text: string; at: number };
  /** Of the last event. */
  offset = 0;
  /** Up to where each side has read. */
  seen: Record<Side, number> = { visitor: 0, agent: 0 };
  lines: Line[] = [];

  constructor(readonly id: string) {}

  /** A conversation without its lines. */
  static of({ opened, since, last, ...rest }: Summary): Conversation {
    return Object.assign(new Conversation(rest.id), {
      ...rest, opened: Date.parse(opened), since: Date.parse(since), last: last && { ...last, at: Date.parse(last.at) },
    });
  }

  get waits(): boolean {
    return !this.closed && !this.agent;
  }

  isSide(side: Side | undefined, user: string): boolean {
    return side === 'agent' ? this.agent?.user === user : side === 'visitor' && this.visitors.includes(user);
  }

  /** Applies one more message, and returns whether it counted. What has been applied before is left out. */
  apply({ data, from, offset, time, messageId }: Message<Event>): boolean {
    if (offset <= this.offset) return false;
    this.offset = offset;
    const user = from?.user ?? '';
    if (!this.allows(data, user)) return false;
    const { kind, by, name = '', text = '', to } = data;
    const line: Line = { kind, by, name, text, to: to?.name ?? '', offset, time, messageId };
    this.change(data, user, line);
    this.lines.push(line);
    return true;
  }

  private allows(event: Event, user: string): boolean {
    if (event.kind === 'open') return !user && !this.opened;
    if (!this.opened || (this.closed && event.kind !== 'back' && event.kind !== 'read')) return false;
    switch (event.kind) {
      case 'back': return user !== '';
      case 'text': case 'close': case 'read': return this.isSide(event.by, user);
      case 'take': return user !== '' && (this.agent?.user ?? '') === (event.from ?? '') && event.from !== user;
      case 'hand': return this.isSide('agent', user);
      case 'release': return !user && Boolean(event.from) && this.agent?.user === event.from;
      default: return false;
    }
  }

  private change(event: Event, user: string, line: Line): void {
    const { offset, time } = line;
    switch (event.kind) {
      case 'open':
        Object.assign(this, { opened: time, since: time, visitor: event.name, visitors: [event.user] });
        break;
      case 'back':
        if (!this.visitors.includes(user)) this.visitors.push(user);
        break;
      case 'text':
        this.last = { by: event.by!, text: line.text.slice(0, preview), at: time };
        this.unread[other(event.by!)].push(offset);
        break;
      case 'take':
        line.to = this.agent?.name ?? '';
        this.agent = { user, name: line.name };
        this.since = time;
        break;
      case 'hand': case 'release':
        line.name ||= this.agent?.name ?? '';
        this.agent = event.to;
        this.since = time;
        break;
      case 'close':
        this.closed = true;
        this.since = time;
        break;
      case 'read':
        this.seen[event.by!] = Math.max(this.seen[event.by!], event.upTo!);
        this.unread[event.by!] = this.unread[event.by!].filter((unseen) => unseen > event.upTo!);
        break;
    }
  }
}
