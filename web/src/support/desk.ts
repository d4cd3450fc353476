// The agents' side: who waits, what one has, what colleagues have. All of it follows from the conversations' own messages, which the desk
// hears through one pattern.

import type { Client, Message, Subscription } from 'duplex-client';
import { $ } from '../shared/dom.js';
import { onLanguage, say, t } from '../shared/i18n.js';
import { operate } from '../shared/operator.js';
import { toast } from '../shared/toast.js';
import { Conversation, topics, type Event, type Summary } from './conversation.js';
import { Lists } from './lists.js';
import { words } from './outbox.js';
import { Talk } from './talk.js';

export class Desk {
  readonly conversations = new Map<string, Conversation>();
  /** Agents at the desk: names by user. */
  readonly agents = new Map<string, string>();
  private all?: Subscription<Event>;
  private here?: Subscription;
  private early?: Message<Event>[]; // what has come since the list was asked for
  private readonly lists: Lists;
  private readonly talk: Talk;

  constructor(private readonly client: Client) {
    this.lists = new Lists((id) => this.choose(id));
    this.talk = new Talk(client, this);
    onLanguage(() => this.refresh());
    document.addEventListener('visibilitychange', () => this.refresh());
    void operate(client, () => this.begin()).then((admitted) => {
      if (!admitted) this.fail(t('desk.no-key'));
    }, (error: unknown) => this.fail(words(error)));
    this.refresh();
  }

  get user(): string {
    return this.client.session?.user ?? '';
  }

  /** Follows the desk and all conversations, unless that goes on by itself. */
  private begin(): void {
    if (!this.here || this.here.state === 'ended') {
      this.here = this.client.subscribe(topics.desk, {
        onPresence: ({ users = [] }) => {
          this.agents.clear();
          for (const { user, info } of users) this.agents.set(user, nameOf(user, info));
          this.refresh();
        },
        onJoin: ({ user, info }) => {
          this.agents.set(user, nameOf(user, info));
          this.refresh();
        },
        onLeave: ({ user }) => {
          this.agents.delete(user);
          this.refresh();
        },
        onState: ({ error }) => error && this.fail(words(error)),
      });
    }
    if (this.all && this.all.state !== 'ended') return this.refresh();
    this.all = this.client.subscribe<Event>(topics.talks, {
      onMessage: (message) => this.heard(message),
      onState: ({ state, recovered }) => state === 'live' && !recovered && void this.list(),
    });
  }

  /** Asks for what there is. What came since then comes on top of it. */
  private async list(): Promise<void> {
    const early: Message<Event>[] = this.early = [];
    try {
      const { conversations } = await this.client.request<{ conversations: Summary[] }>('demo.support.desk', {}, { resend: true });
      if (this.early !== early) return; // it is asked for anew
      this.conversations.clear();
      for (const summary of conversations) this.conversations.set(summary.id, Conversation.of(summary));
      this.early = undefined;
      for (const message of early) this.apply(message);
      this.fail('');
      this.talk.reload();
    } catch (error) {
      this.fail(words(error));
    }
    this.refresh();
  }

  private heard(message: Message<Event>): void {
    this.early?.push(message);
    if (!this.early) this.apply(message);
    this.refresh();
  }

  private apply(message: Message<Event>): void {
    const id = message.topic.slice(topics.talk('').length);
    let conversation = this.conversations.get(id);
    if (!conversation) this.conversations.set(id, conversation = new Conversation(id));
    const counted = conversation.apply(message);
    this.talk.heard(id, message);
    const { data, from } = message;
    if (data.kind === 'take' && from?.user === this.user && !counted) this.lost(conversation);
    if (data.kind === 'hand' && counted && data.to?.user === this.user) toast(t('desk.given', { name: data.name, visitor: conversation.visitor }));
  }

  /** Somebody else has taken it in the same moment. */
  lost({ agent }: Conversation): void {
    toast(t('desk.lost', { name: agent?.name ?? '' }));
  }

  choose(id: string): void {
    this.talk.open(id);
    this.refresh();
  }

  refresh(): void {
    const mine = [...this.conversations.values()].filter(({ agent, closed }) => !closed && agent?.user === this.user);
    this.talk.attend(mine);
    this.talk.refresh();
    this.lists.show(this.conversations, this.user, this.talk.chosen, this.agents);
    const unread = mine.reduce((sum, { unread: { agent } }) => sum + agent.length, 0);
    const waiting = [...this.conversations.values()].filter(({ waits }) => waits).length;
    document.title = `${unread + waiting > 0 ? `(${unread + waiting}) ` : ''}${t('support.desk')} · Duplex`;
    say($('duty'), 'desk.duty', { n: this.agents.size, names: [...this.agents.values()].join(', ') });
  }

  private fail(text: string): void {
    $('desk-error').textContent = text;
    $('desk-error').hidden = !text;
  }
}

const nameOf = (user: string, info?: object) => (info as { name?: string } | undefined)?.name ?? user;
