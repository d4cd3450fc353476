// What is worth nothing later: who is there, and who types.

import type { Client, Subscription } from 'duplex-client';
import { topics, type Side } from './conversation.js';

const again = 3000; // while somebody goes on typing it is said this often
const patience = 5000; // and believed for so long

interface Listener {
  /** Users have come or gone; `first` when it is only now known who is there. */
  present(first: boolean): void;
  typing(yes: boolean): void;
}

export class Live {
  readonly present = new Set<string>();
  private readonly subscription: Subscription<{ by: Side; typing: boolean }>;
  private told = 0;
  private timer = 0;

  constructor(private readonly client: Client, private readonly id: string, private readonly side: Side, listener: Listener) {
    const come = (users: string[], here: boolean, first: boolean) => {
      for (const user of users) this.present[here ? 'add' : 'delete'](user);
      listener.present(first);
    };
    this.subscription = client.subscribe(topics.live(id), {
      onPresence: ({ users = [] }) => {
        this.present.clear();
        come(users.map(({ user }) => user), true, true);
      },
      onJoin: ({ user }) => come([user], true, false),
      onLeave: ({ user }) => come([user], false, false),
      onMessage: ({ data }) => {
        if (data.by === side) return;
        clearTimeout(this.timer);
        listener.typing(data.typing);
        if (data.typing) this.timer = window.setTimeout(() => listener.typing(false), patience);
      },
    });
  }

  /** Tells the other side whether this one types. */
  type(yes: boolean): void {
    if (yes ? Date.now() - this.told < again : !this.told) return;
    this.told = yes ? Date.now() : 0;
    this.client.publish(topics.live(this.id), { by: this.side, typing: yes }, { echo: false, volatile: true }).catch(() => {}); // not worth a word
  }

  end(): void {
    clearTimeout(this.timer);
    void this.subscription.unsubscribe().catch(() => {});
  }
}
