// The visitor's side: a widget in which one asks. The id of the conversation is all that the browser keeps.

import type { Client, Subscription } from 'duplex-client';
import { load as remembered, save } from '../shared/store.js';
import { topics, type Conversation, type Event } from './conversation.js';
import { Live } from './live.js';
import { load, Watch } from './load.js';
import { hasCode, Outbox, words } from './outbox.js';
import { Widget } from './widget.js';

const storageKey = 'duplex.support';

export class Visitor {
  conversation?: Conversation;
  /** The server knows nothing of it any more. */
  forgotten = false;
  /** At the desk; undefined until it is known. */
  agents?: number;
  /** In words. */
  problem = '';
  readonly watch = new Watch();
  readonly outbox: Outbox;
  private readonly widget: Widget;
  private id = remembered(localStorage, storageKey) ?? '';
  private beginning?: Promise<string>;
  private attaching?: Promise<void>;
  private subscription?: Subscription<Event>;
  private live?: Live;
  private marked = 0; // up to where the server was told that it was read

  constructor(private readonly client: Client) {
    this.outbox = new Outbox(client, () => this.current(), () => this.widget.refresh(), (error, id) => this.mend(error, id));
    this.widget = new Widget(this);
    client.subscribe<{ agents: number }>(topics.state, {
      last: 1,
      onMessage: ({ data }) => {
        this.agents = data.agents;
        this.widget.refresh();
      },
    });
    client.on('state', ({ state }) => state === 'open' && this.resume());
    addEventListener('storage', ({ key, newValue }) => key === storageKey && newValue && this.switchTo(newValue));
    if (client.state === 'open') this.resume();
  }

  say(text: string): void {
    this.problem = '';
    this.outbox.say('visitor', text);
  }

  type(yes: boolean): void {
    if (this.conversation?.agent) this.live?.type(yes);
  }

  end(): void {
    this.outbox.publish({ kind: 'close', by: 'visitor' }).catch((error: unknown) => this.fail(error));
  }

  /** Makes room for another conversation, which begins with what is said next. */
  beginAnew(): void {
    this.forget(this.id);
    this.conversation = undefined;
    this.forgotten = false;
    this.widget.refresh();
  }

  /** Lets the agent know what the visitor has seen. */
  markRead(upTo: number): void {
    if (upTo <= this.marked) return;
    this.marked = upTo;
    this.outbox.publish({ kind: 'read', by: 'visitor', upTo }).catch(() => { this.marked = 0; }); // it is said again with what is read next
  }

  /** The id of the conversation, which is begun if there is none. */
  private current(): Promise<string> {
    if (this.id) return Promise.resolve(this.id);
    this.beginning ??= this.begin().finally(() => { this.beginning = undefined; });
    return this.beginning;
  }

  private async begin(): Promise<string> {
    const { id } = await this.client.request<{ id: string }>('demo.support.open');
    this.id = id;
    save(localStorage, storageKey, id);
    await this.attach();
    return id;
  }

  /** There is a connection, perhaps as another user. */
  private resume(): void {
    if (this.id && !this.subscription) this.attach().catch((error: unknown) => this.fail(error));
    else void this.comeBack();
  }

  /** A conversation was begun in another tab. */
  private switchTo(id: string): void {
    if (id === this.id) return;
    this.beginAnew();
    this.id = id;
    save(localStorage, storageKey, id);
    this.resume();
  }

  private attach(): Promise<void> {
    this.attaching ??= this.follow().finally(() => { this.attaching = undefined; });
    return this.attaching;
  }

  /** Reads what has been said, and follows what comes. */
  private async follow(): Promise<void> {
    const { id } = this;
    const loaded = await load(this.client, id);
    if (id !== this.id) return;
    if (!loaded) return this.forget(id);
    this.detach();
    const { conversation } = loaded;
    Object.assign(this, { conversation, forgotten: false, problem: '' });
    this.subscription = this.client.subscribe<Event>(topics.talk(id), {
      since: loaded.since,
      onMessage: (message) => {
        conversation.apply(message);
        if (conversation.closed) this.live?.end();
        this.seeAgent();
      },
      onGap: ({ reason }) => reason === 'epoch' && this.forget(id),
      onState: ({ state, error }) => state === 'ended' && hasCode(error, 'support.no-conversation') && this.forget(id),
    });
    if (!conversation.closed) {
      this.live = new Live(this.client, id, 'visitor', { present: (first) => this.seeAgent(first), typing: (yes) => this.widget.showTyping(yes) });
    }
    await this.comeBack();
    this.widget.refresh();
  }

  private detach(): void {
    void this.subscription?.unsubscribe().catch(() => {});
    this.live?.end();
    this.subscription = this.live = undefined;
  }

  /** The server knows nothing of the conversation any more. What was said stays on the page; what is said next begins another one. */
  private forget(id: string): void {
    if (id !== this.id) return; // it is another one already
    if (this.conversation && !this.conversation.closed) this.forgotten = true;
    this.id = this.problem = '';
    save(localStorage, storageKey, '');
    this.detach();
    this.widget.refresh();
  }

  /** Who knows the id is the visitor, even if the server sees another user. */
  private async comeBack(): Promise<void> {
    const { id, conversation } = this;
    const user = this.client.session?.user;
    if (!id || !conversation || conversation.closed || !user || conversation.visitors.includes(user)) return;
    try {
      await this.client.publish(topics.talk(id), { kind: 'back' } satisfies Event);
    } catch (error) {
      if (hasCode(error, 'support.no-conversation')) this.forget(id);
      else this.fail(error);
    }
  }

  private async mend(error: unknown, id: string): Promise<boolean> {
    if (hasCode(error, 'support.no-conversation')) this.forget(id);
    else if (hasCode(error, 'support.not-yours')) await this.comeBack();
    else return false;
    return true;
  }

  private seeAgent(first = false): void {
    const { conversation, live } = this;
    if (conversation?.agent && !conversation.closed && live) {
      const { user, name } = conversation.agent;
      const line = this.watch.see(conversation, user, name, live.present.has(user), first);
      if (line) conversation.lines.push(line);
    }
    this.widget.refresh();
  }

  private fail(error: unknown): void {
    this.problem = words(error);
    this.widget.refresh();
  }
}
