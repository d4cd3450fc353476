// Being in one room: its topic of the hub on one side, the timeline, the people and what is still to be sent on the other.

import { nameOf, problemText, toShow } from './message.js';
import { showPeople } from './rooms.js';
import { Timeline } from './timeline.js';

const historyLimit = 50;
const historyTimeout = 120_000; // there may be pictures in it

/** Events: "state"; "entered", once; "news", a message that is somebody else's and new; "enlarge" with a picture in detail. */
export class Conversation extends EventTarget {
  people = new Map(); // user -> name
  #topic;
  #subscription;
  #error = null; // why the server does not let us in
  #entered = false;
  #listening = new AbortController();

  constructor(room, session, unsent) {
    super();
    this.room = room;
    this.session = session;
    this.unsent = unsent;
    this.timeline = new Timeline(session.name);
    this.#topic = `chat.${room}`;
    const { signal } = this.#listening;
    unsent.addEventListener('change', ({ detail }) => this.#showUnsent(detail), { signal });
    unsent.addEventListener('published', ({ detail }) => this.#published(detail), { signal });
    session.addEventListener('state', () => this.#tell('state'), { signal });
    this.timeline.addEventListener('discard', ({ detail }) => unsent.discard(detail));
    this.timeline.addEventListener('enlarge', ({ detail }) => this.#tell('enlarge', detail));
    for (const item of unsent.items) this.#showUnsent(item);
    this.#subscription = session.client.subscribe(this.#topic, {
      onState: (change) => this.#changed(change),
      onMessage: (message) => this.#receive(message),
      onGap: (gap) => this.#missed(gap),
      onPresence: ({ users = [] }) => this.#present(users),
      onJoin: (who) => this.#joined(who),
      onLeave: ({ user }) => this.#left(user),
    });
  }

  /** The session's state, but open only while the room is entered; refused also by the room. */
  get state() {
    if (this.#error) return { name: 'refused', error: this.#error };
    const { state } = this.session;
    return state.name === 'open' && this.#subscription.state !== 'live' ? { name: 'connecting' } : state;
  }

  /** Leaves the room. What could not be sent waits for the next time. */
  close() {
    this.#listening.abort();
    this.#subscription.unsubscribe();
    this.unsent.stop();
    this.timeline.close();
  }

  showPeople() {
    showPeople([...this.people.values()], this.timeline.own);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #changed({ state, position, error }) {
    if (this.#listening.signal.aborted) return;
    if (state === 'live') this.timeline.startAt(position);
    if (state === 'live') this.unsent.start(this.session);
    else this.unsent.stop();
    this.#error = error ?? null;
    this.#tell('state');
    if (state !== 'live' || this.#entered) return;
    this.#entered = true;
    this.#tell('entered');
    this.#recall();
  }

  #receive(message) {
    const shown = toShow(message, this.#subscription.position.epoch);
    if (shown.from === this.timeline.own) this.unsent.confirm(shown.id);
    if (this.timeline.add(shown) && shown.from !== this.timeline.own) this.#tell('news');
  }

  /** Our own message has its place; pictures do not come back to us. */
  #published({ item, epoch, offset }) {
    this.timeline.add({
      id: item.id, from: this.timeline.own, time: item.time, epoch, offset, text: item.text, blob: item.file, name: item.file?.name,
    });
  }

  /** Shows what the room remembers. Returns whether that is all that was asked for. */
  async #recall(query = {}) {
    try {
      const options = { limit: historyLimit, timeout: historyTimeout, ...query };
      const { messages, epoch, more, lost } = await this.session.client.history(this.#topic, options);
      if (!this.#listening.signal.aborted) this.timeline.addPast(messages.map((message) => toShow(message, epoch)));
      return !more && !lost;
    } catch {
      if (!this.#listening.signal.aborted) this.timeline.addPast([]);
      return false;
    }
  }

  /** Messages have been dropped because we were slow, or have been forgotten while we were away. The former the room may remember. */
  async #missed({ reason, since }) {
    if (reason !== 'slow') return this.timeline.notice('log.gap');
    const recalled = await this.#recall({ after: since.offset, epoch: since.epoch });
    if (!recalled && !this.#listening.signal.aborted) this.timeline.notice('log.slow', undefined, since.offset);
  }

  #showUnsent(item) {
    const problem = item.state === 'failed' ? problemText(item.error, { name: item.file?.name, room: this.room }) : '';
    this.timeline.showPending(item, problem);
  }

  #present(users) {
    this.people = new Map(users.map((one) => [one.user, nameOf(one)]));
    this.timeline.own = this.people.get(this.session.client.session?.user) ?? this.timeline.own; // a token may have another name for us
    this.showPeople();
  }

  #joined(who) {
    const known = this.people.has(who.user) || who.user === this.session.client.session?.user;
    this.people.set(who.user, nameOf(who));
    this.showPeople();
    if (!known) this.timeline.notice('log.joined', { name: nameOf(who) });
  }

  #left(user) {
    const name = this.people.get(user);
    if (!this.people.delete(user)) return;
    this.showPeople();
    this.timeline.notice('log.left', { name });
  }
}
