// One connection for several tabs. Each tab has a client of its own that speaks the whole protocol; this stands between them and the
// server, gives commands numbers of their own, and merges the subscriptions. What a tab misses it asks for as after any lost
// connection, so there is no second kind of recovery here.

import { decode, encode, type Frame } from './codec.js';
import type { Position } from './types.js';

type Encoded = string | ArrayBuffer;

/** A tab that waits to be subscribed. */
interface Waiter {
  tab: string;
  frame: Frame;
}

/** A subscription of the connection. */
interface Topic {
  /** Absent until the server has confirmed it. */
  position?: Position | undefined;
  /** The tabs that get what it brings; true if they asked for presence. */
  tabs: Map<string, boolean>;
  /** Subscribed with presence. */
  presence: boolean;
  /** The subscribe in flight is for these. */
  asking: Waiter[];
  /** These come after it. */
  waiting: Waiter[];
  /** Tabs that wait for older messages first, and what has come for them meanwhile. */
  held: Map<string, { waiter: Waiter; frames: Encoded[] }>;
  /** Tabs to which a gap of the last subscribe belongs. */
  recovering: string[];
}

/** Tabs above, a server below. It has no clock, no sockets and no channels. */
export class Mux {
  private _lastId = 0;
  private readonly _pending = new Map<number, (frame: Frame) => void>();
  private readonly _topics = new Map<string, Topic>();
  private _connecting: Waiter[] = [];
  private readonly _tabs = new Set<string>(); // that are connected
  private readonly _pages = new Map<number, (message: Frame) => void>(); // histories in flight
  private _connect: Frame | undefined; // the server's answer
  private _connectedAt = 0;

  /**
   * @param _leader the tab whose connect is the connection's own
   * @param _send to the server
   * @param _deliver to tabs
   * @param _abandon gives up the connection: every tab comes back, and resumes
   */
  constructor(
    private readonly _leader: string,
    private readonly _send: (encoded: Encoded) => void,
    private readonly _deliver: (tabs: string[], encoded: Encoded) => void,
    private readonly _abandon: () => void,
  ) {}

  /** Takes what a tab sends. */
  fromTab(tab: string, encoded: Encoded): void {
    const frame = decode(encoded);
    const answer = (fields: object) => this._answer(tab, frame, fields);
    switch (frame.type) {
      case 'connect':
        if (tab === this._leader) this._ask(frame, (reply) => this._connected(tab, frame, reply));
        else if (this._connect) this._welcome({ tab, frame });
        else this._connecting.push({ tab, frame });
        break;
      case 'ping': // the leader asks for the connection, the others for the leader
        if (tab === this._leader) this._ask(frame, answer);
        else answer({ type: 'reply' });
        break;
      case 'subscribe':
        this._subscribe({ tab, frame });
        break;
      case 'unsubscribe':
        if (this._leave(tab, frame.topic!)) answer({ type: 'reply' });
        else this._ask(frame, answer);
        break;
      case 'publish':
        // Other tabs want it even if this one does not, and that one knows its own messages.
        this._ask({ ...frame, echo: undefined }, answer);
        break;
      default:
        this._ask(frame, answer, (message) => this._deliver([tab], encode({ ...message, reply: frame.id! })));
    }
  }

  /** Takes what the server sends. */
  fromServer(encoded: Encoded): void {
    const frame = decode(encoded);
    const topic = this._topics.get(frame.sub ?? frame.topic!);
    if (frame.reply) {
      this._pages.get(frame.reply)?.(frame);
    } else if (frame.id) {
      const answer = this._pending.get(frame.id);
      this._pending.delete(frame.id);
      this._pages.delete(frame.id);
      answer?.(frame);
    } else if (frame.type === 'disconnect' || !frame.topic && !frame.sub) {
      this._deliver([...new Set([this._leader, ...this.tabs])], encoded);
    } else if (topic) {
      this._push(topic, frame, encoded);
    }
  }

  /** Forgets a tab that has gone, and what only that tab wanted. */
  gone(tab: string): void {
    this._tabs.delete(tab);
    this._connecting = this._connecting.filter((waiter) => waiter.tab !== tab);
    for (const name of [...this._topics.keys()]) {
      if (!this._leave(tab, name)) this._ask({ type: 'unsubscribe', topic: name }, () => {});
    }
  }

  /** Every tab that is to know when the connection ends. */
  get tabs(): string[] {
    return [...this._tabs, ...this._connecting.map(({ tab }) => tab)];
  }

  private _ask(frame: Frame, answer: (frame: Frame) => void, page?: (message: Frame) => void): void {
    const id = ++this._lastId;
    this._pending.set(id, answer);
    if (page) this._pages.set(id, page);
    this._send(encode({ ...frame, id }));
  }

  private _answer(tab: string, asked: Frame, fields: object): void {
    this._deliver([tab], encode({ ...fields, id: asked.id } as Frame));
  }

  private _connected(tab: string, frame: Frame, reply: Frame): void {
    this._answer(tab, frame, reply);
    if (reply.type !== 'reply') return;
    this._connect = reply;
    this._connectedAt = Date.now();
    this._tabs.add(tab);
    for (const waiter of this._connecting.splice(0)) this._welcome(waiter);
  }

  private _welcome({ tab, frame }: Waiter): void {
    this._tabs.add(tab);
    const { expires, ...reply } = this._connect!; // the leader refreshes the token for all
    this._answer(tab, frame, { ...reply, time: reply.time! + Date.now() - this._connectedAt });
  }

  private _push(topic: Topic, frame: Frame, encoded: Encoded): void {
    const { offset } = topic.position ?? {};
    let tabs = [...topic.tabs.keys()];
    if (frame.type === 'message') {
      if (topic.position && frame.offset! > offset!) topic.position = { ...topic.position, offset: frame.offset! };
      for (const { frames } of topic.held.values()) frames.push(encoded);
    } else if (frame.type === 'gap') {
      const { until } = frame;
      const renewed = until && topic.position && until.epoch !== topic.position.epoch;
      if (renewed) topic.position = until;
      else if (frame.reason === 'expired' && until && until.offset <= offset!) tabs = topic.recovering;
      for (const { frames } of topic.held.values()) frames.push(encoded);
    } else if (frame.type === 'unsubscribed') {
      this._topics.delete(frame.topic!);
      const { code, message } = frame as Required<Frame>;
      const waiting = [...topic.asking, ...topic.waiting, ...[...topic.held.values()].map(({ waiter }) => waiter)];
      for (const waiter of waiting) this._answer(waiter.tab, waiter.frame, { type: 'error', code, message });
    } else {
      tabs = tabs.filter((tab) => topic.tabs.get(tab));
    }
    if (tabs.length) this._deliver(tabs, encoded);
  }

  /** Takes a tab out of a subscription. False if it was the last one, and the connection has to give it up. */
  private _leave(tab: string, name: string): boolean {
    const topic = this._topics.get(name);
    if (!topic) return true;
    const others = (waiter: Waiter) => waiter.tab !== tab;
    topic.tabs.delete(tab);
    topic.held.delete(tab);
    topic.asking = topic.asking.filter(others);
    topic.waiting = topic.waiting.filter(others);
    if (topic.tabs.size || topic.held.size || topic.asking.length || topic.waiting.length) return true;
    this._topics.delete(name);
    return false;
  }

  private _subscribe(waiter: Waiter): void {
    const { tab, frame } = waiter;
    const name = frame.topic!;
    const topic = this._topics.get(name);
    if (!topic) {
      const fresh: Topic = {
        tabs: new Map(), presence: !!frame.presence, asking: [waiter], waiting: [], held: new Map(), recovering: [],
      };
      this._topics.set(name, fresh);
      return this._request(name, fresh, frame);
    }
    const { position } = topic;
    const { since, last } = frame;
    if (!position || topic.asking.length) {
      topic.waiting.push(waiter);
    } else if (frame.presence && !topic.presence) {
      this._again(name, topic, waiter);
    } else if (since ? since.epoch === position.epoch && since.offset >= position.offset : !last) {
      const { epoch, offset } = since ?? position;
      this._join(topic, waiter, { epoch, offset, ...(since && { recovered: true }) });
    } else if (since && since.epoch !== position.epoch) {
      this._join(topic, waiter, { ...position, recovered: false });
      this._deliver([tab], encode({ type: 'gap', topic: name, reason: 'epoch', since, until: position }));
    } else if (/[*>]/.test(name)) {
      this._again(name, topic, waiter);
    } else {
      this._catchUp(name, topic, waiter);
    }
  }

  /** The tab is subscribed. */
  private _join(topic: Topic, { tab, frame }: Waiter, fields: object): void {
    topic.tabs.set(tab, !!frame.presence);
    this._answer(tab, frame, { type: 'reply', topic: frame.topic, ...fields });
  }

  /** Subscribes at the server, for all of topic.asking. */
  private _request(name: string, topic: Topic, fields: Frame): void {
    const stale = () => this._topics.get(name) !== topic;
    this._ask({ ...fields, type: 'subscribe', topic: name }, (reply) => {
      if (stale()) return;
      const asking = topic.asking.splice(0);
      if (reply.type === 'reply') {
        const { epoch, offset } = reply as Position & Frame;
        // What the others have got is not forgotten: they are told of no gap before it.
        if (topic.position?.epoch !== epoch || topic.position.offset < offset) topic.position = { epoch, offset };
        topic.recovering = asking.filter(({ frame }) => frame.since).map(({ tab }) => tab);
        for (const waiter of asking) {
          const { since } = waiter.frame;
          const own = since && since.epoch === epoch && reply.recovered ? since : { epoch, offset };
          this._join(topic, waiter, { ...own, ...(since && { recovered: !!reply.recovered }) });
        }
      } else {
        // A tab that had it before would have to begin again, which is what tabs do after a lost connection.
        if (topic.tabs.size && (reply.retry != null || /^(unavailable|internal)$/.test(reply.code!))) return this._abandon();
        for (const { tab, frame } of asking) this._answer(tab, frame, reply);
        if (topic.tabs.size) this._deliver([...topic.tabs.keys()], encode({ ...reply, type: 'unsubscribed', topic: name, id: undefined }));
        this._topics.delete(name);
      }
      for (const waiter of topic.waiting.splice(0)) this._subscribe(waiter);
    });
  }

  /** Subscribes anew, from where the new tab wants it. The others drop what they have. */
  private _again(name: string, topic: Topic, waiter: Waiter): void {
    const { since, last } = waiter.frame;
    const { epoch, offset } = topic.position!;
    topic.asking.push(waiter);
    topic.presence ||= !!waiter.frame.presence;
    this._ask({ type: 'unsubscribe', topic: name }, () => {});
    this._request(name, topic, {
      type: 'subscribe', presence: topic.presence || undefined,
      since: { epoch, offset: Math.max(0, Math.min(since?.offset ?? offset - (last ?? 0), offset)) },
    });
  }

  /** Gets what the new tab wants from the topic's history, while the others notice nothing. */
  private _catchUp(name: string, topic: Topic, waiter: Waiter): void {
    const { tab, frame } = waiter;
    const { since, last } = frame;
    const messages: Frame[] = [];
    const held = { waiter, frames: [] as Encoded[] };
    topic.held.set(tab, held);
    const ask: Frame = since ? { type: 'history', topic: name, limit: 1_000, after: since.offset, epoch: since.epoch }
      : { type: 'history', topic: name, limit: Math.min(last!, 1_000) };
    this._ask(ask, (reply) => {
      if (topic.held.get(tab) !== held || this._topics.get(name) !== topic) return;
      topic.held.delete(tab);
      if (reply.type !== 'reply' || reply.epoch !== topic.position!.epoch || (since && (reply.lost || reply.more))) {
        // The server tells exactly what is lost when it is asked by a subscribe.
        if (topic.asking.length) topic.waiting.push(waiter);
        else if (since && since.epoch !== topic.position!.epoch) this._subscribe(waiter);
        else this._again(name, topic, waiter);
        return;
      }
      const { epoch, offset } = topic.position!;
      const start = since?.offset ?? (messages.length ? messages[0]!.offset! - 1 : offset);
      this._join(topic, waiter, { epoch, offset: start, ...(since && { recovered: true }) });
      for (const { reply: _, ...message } of messages) this._deliver([tab], encode(message));
      for (const encoded of held.frames) this._deliver([tab], encoded);
    }, (message) => messages.push(message));
  }
}
