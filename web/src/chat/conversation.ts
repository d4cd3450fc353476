// Being in one room: its topics of the hub on one side, the timeline, the people and what is still to be sent on the other.

import type { DuplexError, Gap, History, HistoryOptions, Message, Position, Sender, Subscription, SubscriptionChange } from 'duplex-client';
import { onState, type State } from '../shared/connection.js';
import { t } from '../shared/i18n.js';
import { toast } from '../shared/toast.js';
import type { Actions } from './bubble.js';
import type { Link } from './link.js';
import { Marks } from './marks.js';
import { nameOf, toShow, type Item, type Shown } from './message.js';
import { Pending } from './pending.js';
import { showPeople } from './rooms.js';
import { Timeline } from './timeline.js';
import { Typing } from './typing.js';
import { readIn, rememberRead } from './unread.js';
import type { Unsent } from './unsent.js';

const pageLength = 50; // messages
const jumpLength = 250; // where one is looked for
const historyTimeout = 120_000; // there may be pictures in it

/** `open`: we are in the room. `refused`: it, or the server, does not let us in. */
export type RoomState = State['name'];

interface Listener {
  state(): void;
  /** Once. */
  entered(): void;
  /** A message that is somebody else's and new. */
  news(): void;
  /** The reader wants to reply to a message. */
  reply(message: Shown): void;
}

let connection: State = { name: 'connecting' };
let told: (() => void) | undefined; // of a change
onState((state) => {
  connection = state;
  told?.();
});

export class Conversation {
  readonly timeline: Timeline;
  readonly typing: Typing;
  /** Why the room does not let us in. */
  error?: DuplexError;
  readonly #topic: string;
  readonly #people = new Map<string, string>(); // user -> name
  readonly #pending: Pending;
  readonly #marks: Marks;
  readonly #subscription: Subscription;
  #entered = false;
  #closed = false;
  #page?: Promise<boolean>; // of the past, that is on its way

  constructor(readonly room: string, readonly link: Link, readonly unsent: Unsent, private readonly listener: Listener) {
    this.#topic = `chat.${room}`;
    const actions: Actions = { reply: (message) => listener.reply(message), jump: (to) => void this.jump(to) };
    this.timeline = new Timeline(link.name, readIn(room), {
      ...actions,
      older: () => void this.#older(),
      seen: (at) => this.#seen(at),
      changed: () => this.#marks?.draw(),
    });
    this.#pending = new Pending(unsent, room, actions);
    this.typing = new Typing(link.client, this.#topic, () => this.timeline.own);
    this.#marks = new Marks(link.client, this.#topic, () => this.timeline.own);
    unsent.listener = { changed: (item) => this.#showUnsent(item), published: (item, at) => this.#published(item, at) };
    for (const item of unsent.items) this.#showUnsent(item);
    told = () => listener.state();
    this.#subscription = link.client.subscribe(this.#topic, {
      onState: (change) => this.#changed(change),
      onMessage: (message) => this.#receive(message),
      onGap: (gap) => void this.#missed(gap),
      onPresence: ({ users = [] }) => this.#present(users),
      onJoin: (who) => this.#joined(who),
      onLeave: ({ user }) => this.#left(user),
    });
  }

  get state(): RoomState {
    if (this.error) return 'refused';
    return connection.name === 'open' && this.#subscription.state !== 'live' ? 'connecting' : connection.name;
  }

  /** Leaves the room. What could not be sent waits for the next time. */
  close(): void {
    this.#closed = true;
    told = undefined;
    this.typing.close();
    this.#marks.close();
    this.#subscription.unsubscribe();
    this.unsent.stop();
    this.unsent.listener = undefined;
    this.#pending.close();
    this.timeline.close();
  }

  showPeople(): void {
    showPeople([...this.#people.values()], this.timeline.own);
  }

  /** Leads to a message, which the room may remember though it is not shown yet. */
  async jump(to: Position): Promise<void> {
    while (!this.timeline.show(to)) {
      const { first } = this.timeline;
      if (!first || first.epoch !== to.epoch || first.offset <= to.offset || !(await this.#older(jumpLength))) {
        if (!this.#closed) toast(t('log.unfound'));
        return;
      }
    }
  }

  #changed({ state, position, error }: SubscriptionChange): void {
    if (this.#closed) return;
    if (state === 'live') {
      this.timeline.startAt(position!);
      if (!readIn(this.room)) rememberRead(this.room, position!); // from here on one can say what is new
      this.typing.start();
      this.#marks.start();
      this.unsent.start(this.link);
    } else this.unsent.stop();
    this.error = error;
    this.listener.state();
    if (state !== 'live' || this.#entered) return;
    this.#entered = true;
    this.listener.entered();
    void this.#older();
  }

  #receive(message: Message): void {
    const shown = toShow(message, this.#subscription.position!.epoch);
    const own = shown.from === this.timeline.own;
    if (own) this.unsent.confirm(shown.id);
    if (!this.timeline.add(shown)) return;
    this.typing.forget(shown.from);
    this.#marks.put(shown.from, shown);
    if (!own) this.listener.news();
  }

  /** Our own message has its place; pictures do not come back to us. */
  #published({ id, time, text, file, reply }: Item, { epoch, offset }: Position): void {
    const from = this.timeline.own;
    this.timeline.add({ id, from, time, epoch, offset, text, reply, blob: file, name: file?.name });
    this.#marks.put(from, { epoch, offset });
  }

  /** Shows what the room remembers before what is shown. Returns whether there is something new to see. */
  #older(limit = pageLength): Promise<boolean> {
    this.#page ??= this.#loadOlder(limit).then((some) => {
      this.#page = undefined;
      if (some) this.timeline.fill();
      return some;
    });
    return this.#page;
  }

  async #loadOlder(limit: number): Promise<boolean> {
    const { first } = this.timeline;
    const page = await this.#recall({ limit, ...(first && { before: first.offset, epoch: first.epoch }) });
    if (this.#closed) return false;
    this.timeline.showEmpty();
    if (!page) return false;
    const isForgotten = first !== undefined && page.lost; // the server remembers nothing from before what is shown
    const messages = isForgotten ? [] : page.messages;
    this.timeline.addPast(messages.map((message) => toShow(message, page.epoch)), !isForgotten && page.more);
    for (const { from, offset } of messages) this.#marks.put(nameOf(from), { epoch: page.epoch, offset });
    return messages.length > 0;
  }

  async #recall(options: HistoryOptions): Promise<History | undefined> {
    try {
      return await this.link.client.history(this.#topic, { timeout: historyTimeout, ...options });
    } catch {
      return undefined; // one can scroll again
    }
  }

  /** Messages have been dropped because we were slow, or have been forgotten while we were away. The former the room may remember. */
  async #missed({ reason, since }: Gap): Promise<void> {
    if (reason !== 'slow' || !since) return this.timeline.notice('log.gap');
    const page = await this.#recall({ limit: pageLength, after: since.offset, epoch: since.epoch });
    if (this.#closed) return;
    if (page) this.timeline.addPast(page.messages.map((message) => toShow(message, page.epoch)));
    if (!page || page.more || page.lost) this.timeline.notice('log.slow', undefined, since.offset);
  }

  /** We have read up to there: this browser remembers it, and the others may know. */
  #seen(at: Position): void {
    rememberRead(this.room, at);
    this.#marks.reach(at);
  }

  #showUnsent(item: Item): void {
    const isNew = this.#pending.show(item, this.timeline.own);
    this.timeline.showEmpty();
    if (isNew) this.timeline.toBottom();
    else this.timeline.follow();
  }

  #present(users: Sender[]): void {
    this.#people.clear();
    for (const one of users) this.#people.set(one.user, nameOf(one));
    this.timeline.own = this.#people.get(this.link.user) ?? this.timeline.own; // a token may have another name for us
    this.showPeople();
  }

  #joined(who: Sender): void {
    const known = this.#people.has(who.user) || who.user === this.link.user;
    this.#people.set(who.user, nameOf(who));
    this.showPeople();
    if (!known) this.timeline.notice('log.joined', { name: nameOf(who) });
  }

  #left(user: string): void {
    const name = this.#people.get(user);
    if (name === undefined) return;
    this.#people.delete(user);
    this.showPeople();
    this.typing.forget(name);
    this.timeline.notice('log.left', { name });
  }
}
