// Reading a conversation from its beginning.

import type { Client, Position } from 'duplex-client';
import { Conversation, topics, type Event, type Line } from './conversation.js';

/** The whole conversation up to now, and where to go on; undefined if the server knows of none. */
export async function load(client: Client, id: string): Promise<{ conversation: Conversation; since: Position } | undefined> {
  const conversation = new Conversation(id);
  for (;;) {
    const { messages, epoch, more } = await client.history<Event>(topics.talk(id), { after: conversation.offset, limit: 1000 });
    for (const message of messages) conversation.apply(message);
    if (more && messages.length > 0) continue;
    return conversation.opened ? { conversation, since: { epoch, offset: conversation.offset } } : undefined;
  }
}

/** Notices when the other side leaves and comes back. */
export class Watch {
  here?: boolean;
  private who?: string;

  /** Returns what is to be said about it. `first`: only now it is known who is there, so nobody has gone or come. */
  see(conversation: Conversation, who: string, name: string, here: boolean, first: boolean): Line | undefined {
    const before = this.here;
    if (who !== this.who) {
      this.who = who;
      this.here = here || (first ? false : undefined); // who has just taken it is about to come
      return undefined;
    }
    if (before === undefined && !here && !first) return undefined;
    this.here = here;
    if (first || before === undefined || before === here) return undefined;
    return { kind: here ? 'came' : 'left', name, text: '', to: '', offset: conversation.offset, time: Date.now() };
  }
}
