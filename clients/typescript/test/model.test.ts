// Random lives of clients and tabs, against a model of the server, the network and the browser. Whatever happens, each message that the
// server has accepted reaches each subscription once and in order, or is covered by a gap; and each publish that is confirmed has its
// place. SEED=n and LIVES=n choose other lives.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Client, type DuplexError, type Gap, type PageEvents, type Platform, type Position, type Published } from '../src/duplex-client.js';
import { share } from '../src/share.js';
import { Browser, Chance, Hub, matches, Network } from './world.js';

const TOPICS = ['a.x', 'a.y', 'b.x'];
const NAMES = [...TOPICS, 'a.*', '>'];

/** What a subscription has seen. */
interface Seen {
  name: string;
  log: ({ live: Position } | { message: Position; data: unknown; topic: string } | { gap: Gap })[];
  /** Where it was when it ended, or where it is. */
  end(): Position | undefined;
  unsubscribe(): void;
}

interface Person {
  client: Client;
  page: PageEvents;
  subscriptions: Map<string, Seen>;
  gone: boolean;
}

interface Sent {
  who: number;
  topic: string;
  data: string;
  result?: Published;
  error?: DuplexError;
}

class Life {
  readonly chance: Chance;
  readonly hub: Hub;
  readonly network: Network;
  readonly browser: Browser;
  readonly people: Person[] = [];
  readonly seen: Seen[] = [];
  readonly sent: Sent[] = [];

  constructor(seed: number, private readonly _shared: boolean) {
    this.chance = new Chance(seed);
    this.hub = new Hub(this.chance, _shared);
    this.network = new Network(this.chance, this.hub);
    this.browser = new Browser(this.chance);
    if (_shared) for (const [name, value] of Object.entries(this.browser.globals)) vi.stubGlobal(name, value);
    vi.spyOn(Math, 'random').mockImplementation(() => this.chance.below(2 ** 30) / 2 ** 30);
  }

  get alive(): Person[] {
    return this.people.filter(({ gone }) => !gone);
  }

  arrive(): void {
    const tab = this.people.length;
    const person = { subscriptions: new Map(), gone: false } as unknown as Person;
    let platform: Platform = this.network.platform((page) => { person.page = page; });
    if (this._shared) {
      const inner = platform;
      const shared = share({ platform: { ...inner, connect: (url, protocol, events) => inner.connect(url, protocol, {
        open: () => { if (!this.browser.dead.has(tab)) events.open(); },
        message: (data) => { if (!this.browser.dead.has(tab)) events.message(data); },
        close: (code, reason) => { if (!this.browser.dead.has(tab)) events.close(code, reason); },
      }) } });
      platform = { ...shared, connect: (url, protocol, events) => this.browser.inside(tab, () => shared.connect(url, protocol, events)) };
    }
    person.client = new Client('ws://hub/', {
      platform, token: this._shared ? 'ann' : `user ${tab}`, backoff: { base: 200, max: 2_000 }, pongTimeout: 400, connectTimeout: 1_500,
    });
    this.people.push(person);
  }

  /** Closes a tab or a program: in good order, or without a word. */
  leave(person: Person): void {
    person.gone = true;
    for (const seen of person.subscriptions.values()) {
      const end = seen.end();
      seen.end = () => end;
    }
    if (this._shared && this.chance.percent(50)) this.browser.crash(this.people.indexOf(person));
    person.client.close();
  }

  subscribe(person: Person): void {
    const name = this.chance.pick(NAMES);
    if (person.subscriptions.has(name)) return;
    const seen: Seen = { name, log: [], end: () => sub.position, unsubscribe: () => { sub.unsubscribe(); } };
    const sub = person.client.subscribe(name, {
      ...(this.chance.percent(40) && { last: 1 + this.chance.below(5) }),
      onMessage: ({ topic, offset, data }) => { seen.log.push({ message: { epoch: sub.position!.epoch, offset }, data, topic }); },
      onGap: (gap) => { seen.log.push({ gap }); },
      onState: ({ state, position }) => { if (state === 'live') seen.log.push({ live: position! }); },
    });
    person.subscriptions.set(name, seen);
    this.seen.push(seen);
  }

  unsubscribe(person: Person): void {
    const [[name, seen] = []] = [...person.subscriptions];
    if (!name || !seen) return;
    const end = seen.end();
    seen.end = () => end;
    person.subscriptions.delete(name);
    seen.unsubscribe();
  }

  publish(person: Person): void {
    const sent: Sent = { who: this.people.indexOf(person), topic: this.chance.pick(TOPICS), data: `m${this.sent.length}` };
    this.sent.push(sent);
    person.client.publish(sent.topic, sent.data, { messageId: sent.data })
      .then((result) => { sent.result = result; }, (error) => { sent.error = error; });
  }

  async step(): Promise<void> {
    const dice = this.chance.below(100);
    const person = this.alive.length ? this.chance.pick(this.alive) : undefined;
    if (!person || (dice < 4 && this.alive.length < 5)) this.arrive();
    else if (dice < 50) this.publish(person);
    else if (dice < 62) this.subscribe(person);
    else if (dice < 66) this.unsubscribe(person);
    else if (dice < 78) this.network.fail();
    else if (dice < 79) this.hub.crash();
    else if (dice < 80) this.hub.restart();
    else if (dice < 83) person.page.sleep();
    else if (dice < 90) person.page.wake();
    else if (dice < 93) this.leave(person);
    if (this.chance.percent(60)) await vi.advanceTimersByTimeAsync(this.chance.below(this.chance.percent(5) ? 3_000 : 60));
  }

  /** Lets everything come to rest. */
  async rest(): Promise<void> {
    this.network.calm = this.hub.calm = true;
    for (const { page } of this.alive) page.wake();
    await vi.advanceTimersByTimeAsync(120_000);
    for (const { client, subscriptions } of this.alive) {
      expect(client.state).toBe('open');
      const logs = [...subscriptions.values()].map(({ log }) => log);
      expect(logs.every((log) => log.some((one) => 'live' in one)), 'each subscription has become live').toBe(true);
    }
    if (this.alive.length) {
      for (let i = 0; i < 3; i++) this.publish(this.alive[0]!);
      await vi.advanceTimersByTimeAsync(10_000);
    }
  }

  check(): void {
    for (const seen of this.seen) this._checkSubscription(seen);
    for (const one of this.sent) {
      if (!one.result) {
        expect(this.people[one.who]!.gone || /^(rate|unanswered)$/.test(one.error?.code ?? ''), `${one.data} was answered`).toBe(true);
        continue;
      }
      const place = this.hub.accepted.filter(({ messageId, epoch }) => messageId === one.data && epoch === one.result!.epoch);
      expect(place.map(({ offset, topic }) => [offset, topic]), `${one.data} has its place`).toEqual([[one.result.offset, one.topic]]);
    }
    for (let who = 0; who < this.people.length; who++) {
      for (const topic of TOPICS) {
        // A client that never hears of a refusal cannot know that others have overtaken the message.
        const places = this.sent.filter((one) => one.who === who && one.topic === topic && one.result && !this.hub.refused.has(one.data))
          .map(({ result }) => order(result!));
        expect(places, 'in the order of publish()').toEqual([...places].sort((a, b) => a - b));
      }
    }
  }

  private _checkSubscription({ name, log, end }: Seen): void {
    const start = log.find((one) => 'live' in one);
    const last = end();
    const got = log.flatMap((one) => ('message' in one ? [one] : []));
    const places = got.map(({ message }) => order(message));
    expect(places, `${name}: in order, and once`).toEqual([...new Set(places)].sort((a, b) => a - b));
    if (!start || !('live' in start) || !last) return;
    const gaps = log.flatMap((one) => ('gap' in one ? [one.gap] : []));
    for (const accepted of this.hub.accepted) {
      if (!matches(name, accepted.topic) || order(accepted) <= order(start.live) || order(accepted) > order(last)) continue;
      const arrived = got.some(({ message, data, topic }) =>
        order(message) === order(accepted) && data === accepted.data && topic === accepted.topic);
      const covered = gaps.some(({ since, until }) => order(since!) < order(accepted) && order(accepted) <= order(until!));
      expect(arrived || covered, `${name}: ${accepted.data} at ${accepted.epoch}/${accepted.offset} arrived, or is in a gap`).toBe(true);
    }
  }
}

/** Positions on one line: epochs of the model have numbers. */
const order = ({ epoch, offset }: Position): number => Number(epoch.slice(1)) * 1e6 + offset;

beforeEach(() => { vi.useFakeTimers({ now: 1_763_726_400_000 }); });
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe.each([['clients', false], ['tabs that share', true]] as const)('%s', (_, shared) => {
  const first = Number(process.env.SEED ?? 1);
  const seeds = Array.from({ length: Number(process.env.LIVES ?? 60) }, (_, i) => first + i);
  test.each(seeds)('life %i', async (seed) => {
    const life = new Life(seed, shared);
    for (let i = 0; i < 150; i++) await life.step();
    await life.rest();
    life.check();
    for (const person of life.alive) life.leave(person);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(vi.getTimerCount(), 'everything has ended').toBe(0);
  });
});
