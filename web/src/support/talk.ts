// The conversation that an agent has chosen, and what goes on meanwhile in the others that the agent has.

import type { Client, Message } from 'duplex-client';
import { $, avatar, make, showError } from '../shared/dom.js';
import { onLanguage, say, t } from '../shared/i18n.js';
import { admitted } from '../shared/operator.js';
import { canned } from './canned.js';
import { compose } from './composer.js';
import type { Conversation, Event, Person } from './conversation.js';
import type { Desk } from './desk.js';
import { Live } from './live.js';
import { load, Watch } from './load.js';
import { hasCode, Outbox, words } from './outbox.js';
import { download, threadAt } from './thread.js';

interface Attended {
  live: Live;
  watch: Watch;
}

export class Talk {
  chosen = '';
  private readonly field = $<HTMLTextAreaElement>('talk-text');
  private readonly thread = threadAt('agent', 'talk');
  private readonly outboxes = new Map<string, Outbox>();
  private readonly attended = new Map<string, Attended>(); // what this agent has, by id
  private readonly marked = new Map<string, number>();
  private readonly drafts = new Map<string, string>();
  private full?: Conversation; // the chosen one with all its lines
  private loading?: Message<Event>[]; // what has come since it is being read

  constructor(private readonly client: Client, private readonly desk: Desk) {
    compose({
      form: $('talk-form'), field: this.field,
      send: (text) => this.outbox(this.chosen).say('agent', text),
      typing: (yes) => this.attended.get(this.chosen)?.live.type(yes),
    });
    canned(this.field, () => this.full?.visitor ?? '');
    $('talk-back').onclick = () => this.open('');
    $('talk-save').onclick = () => this.full && download(this.full);
    $('talk-end').onclick = () => this.act({ kind: 'close', by: 'agent' });
    $('talk-take').onclick = ({ currentTarget }) => this.act({ kind: 'take', from: (currentTarget as HTMLElement).dataset.from });
    $('talk-hand-open').onclick = () => this.offerHands($('talk-hand').hidden !== false);
    onLanguage(() => this.thread.clear());
  }

  /** Shows a conversation; none if the id is empty. */
  open(id: string): void {
    this.drafts.set(this.chosen, this.field.value);
    this.chosen = id;
    this.full = undefined;
    this.field.value = this.drafts.get(id) ?? '';
    this.fail();
    this.reload();
    this.desk.refresh();
  }

  /** Reads the chosen conversation from its beginning. */
  reload(): void {
    const id = this.chosen;
    const early: Message<Event>[] = this.loading = [];
    if (!id) return;
    load(this.client, id).then((loaded) => {
      if (this.loading !== early) return;
      if (!loaded) return this.fail(t('error.support.no-conversation'));
      this.loading = undefined;
      this.full = loaded.conversation;
      for (const message of early) this.full.apply(message);
      this.desk.refresh();
    }).catch((error: unknown) => this.loading === early && this.fail(words(error)));
  }

  heard(id: string, message: Message<Event>): void {
    if (id !== this.chosen) return;
    if (this.loading) this.loading.push(message);
    else this.full?.apply(message);
  }

  /** Is there for the conversations that the agent has, so that their visitors see it. */
  attend(mine: Conversation[]): void {
    for (const [id, { live }] of this.attended) {
      if (mine.some((conversation) => conversation.id === id)) continue;
      live.end();
      this.attended.delete(id);
    }
    for (const { id } of mine) {
      if (this.attended.has(id)) continue;
      const watch = new Watch();
      const live = new Live(this.client, id, 'agent', {
        present: (first) => this.seeVisitor(id, first),
        typing: (yes) => {
          if (id !== this.chosen) return;
          $('talk-typing').hidden = !yes;
          if (yes) say($('talk-typing'), 'thread.typing', { name: this.full?.visitor });
        },
      });
      this.attended.set(id, { live, watch });
    }
  }

  private seeVisitor(id: string, first: boolean): void {
    const at = this.attended.get(id);
    const conversation = id === this.chosen && this.full ? this.full : this.desk.conversations.get(id);
    if (at && conversation) {
      const here = conversation.visitors.some((user) => at.live.present.has(user));
      const line = at.watch.see(conversation, 'visitor', conversation.visitor, here, first);
      if (line && conversation === this.full) conversation.lines.push(line);
    }
    this.desk.refresh();
  }

  refresh(): void {
    const conversation = this.full;
    $('talk-none').hidden = this.chosen !== '';
    $('talk-open').hidden = !conversation;
    $('desk').classList.toggle('chosen', this.chosen !== '');
    if (!conversation) return;
    const mine = !conversation.closed && conversation.agent?.user === this.desk.user;
    this.thread.show(conversation, this.outbox(conversation.id).pending);
    if ($('talk-name').textContent !== conversation.visitor) {
      $('talk-name').textContent = conversation.visitor;
      $('talk-avatar').replaceChildren(avatar(conversation.visitor));
    }
    this.showStatus(conversation, mine);
    this.showActions(conversation, mine);
    const unread = conversation.unread.agent.at(-1) ?? 0;
    if (mine && !document.hidden && unread > (this.marked.get(conversation.id) ?? 0)) {
      this.marked.set(conversation.id, unread);
      this.outbox(conversation.id).publish({ kind: 'read', by: 'agent', upTo: unread }).catch(() => this.marked.delete(conversation.id));
    }
  }

  private showStatus({ id, closed, agent, waits }: Conversation, mine: boolean): void {
    const here = this.attended.get(id)?.watch.here;
    const status = closed ? 'over' : waits ? 'queue' : mine ? (here === false ? 'gone' : here ? 'here' : 'mine') : 'other';
    say($('talk-status'), `talk.${status}`, { name: agent?.name });
    $('talk-status').dataset.status = status;
    if (status !== 'here') $('talk-typing').hidden = true;
  }

  private showActions({ closed, agent, waits }: Conversation, mine: boolean): void {
    const absent = Boolean(agent) && !this.desk.agents.has(agent!.user);
    const take = $('talk-take');
    take.hidden = closed || mine || (!waits && !absent);
    if (!take.hidden) {
      take.dataset.from = agent?.user ?? ''; // as it was seen, should somebody be faster
      say(take, waits ? 'desk.take' : 'desk.take-over');
    }
    $('talk-end').hidden = !mine;
    $('talk-form').hidden = !mine;
    if (!mine) $('talk-canned').hidden = true;
    $('talk-hand-open').hidden = !mine;
    if (!mine) this.offerHands(false);
    const colleagues = [...this.desk.agents].filter(([user]) => user !== this.desk.user);
    const shown = JSON.stringify([t('desk.to-queue'), colleagues]);
    if ($('talk-hand').dataset.shown === shown) return; // what has the focus keeps it
    $('talk-hand').dataset.shown = shown;
    $('talk-hand').replaceChildren(
      ...colleagues.map(([user, name]) => this.hand(t('desk.to', { name }), { user, name })),
      this.hand(t('desk.to-queue')),
    );
  }

  private offerHands(yes: boolean): void {
    $('talk-hand').hidden = !yes;
    $('talk-hand-open').setAttribute('aria-expanded', String(yes));
  }

  private hand(text: string, to?: Person): HTMLElement {
    const choice = make('button', 'chip', text);
    choice.type = 'button';
    choice.onclick = () => {
      this.offerHands(false);
      this.act({ kind: 'hand', to });
    };
    return choice;
  }

  private outbox(id: string): Outbox {
    let outbox = this.outboxes.get(id);
    if (!outbox) {
      // What waited for a connection may come before the key of a server that was started again.
      const mend = async (error: unknown) => hasCode(error, 'demo.not-operator') && admitted(this.client);
      this.outboxes.set(id, outbox = new Outbox(this.client, async () => id, () => this.desk.refresh(), mend));
    }
    return outbox;
  }

  private act(event: Event): void {
    const { full } = this;
    if (!full) return;
    this.fail();
    this.outbox(full.id).publish(event).catch((error: unknown) => {
      if (hasCode(error, 'support.taken')) this.desk.lost(full);
      else this.fail(words(error));
    });
  }

  private fail(text = ''): void {
    showError($('talk-error'), text);
  }
}
