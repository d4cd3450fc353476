import { describe, expect, test, vi } from 'vitest';
import type { Gap, Message, Subscription, SubscribeOptions } from '../src/duplex-client.js';
import { connected, outcome, settle, Stage } from './fake.js';

/** Subscribes, and keeps what the callbacks get. */
function listen(stage: Stage, topic: string, options: SubscribeOptions = {}) {
  const log: string[] = [];
  const messages: Message[] = [];
  const gaps: Gap[] = [];
  const sub: Subscription = stage.client.subscribe(topic, {
    onMessage: (message) => { messages.push(message); log.push(`message ${message.offset}`); },
    onGap: (gap) => { gaps.push(gap); log.push(`gap ${gap.reason}`); },
    onState: ({ state, recovered, error }) => log.push([state, recovered, error?.code].filter((part) => part !== undefined).join(' ')),
    ...options,
  });
  return { sub, log, messages, gaps };
}

describe('subscribe', () => {
  test('gives what the server sends, and its position at any time', async () => {
    const stage = await connected();
    const { sub, messages, log } = listen(stage, 'chat.lobby', { last: 50 });
    const ready = outcome(sub.ready);
    expect(stage.peer.reply('subscribe', { topic: 'chat.lobby', epoch: 'e', offset: 40 }))
      .toEqual({ type: 'subscribe', id: 2, topic: 'chat.lobby', last: 50 });
    await settle();
    expect(ready.value).toEqual({ epoch: 'e', offset: 40 });
    stage.peer.push({
      type: 'message', topic: 'chat.lobby', offset: 42, time: 5, messageId: 'm', key: 'k', from: { user: 'ann', info: { name: 'Ann' } },
      meta: { lang: 'en' }, data: { text: 'hi' },
    });
    expect(messages).toEqual([{
      topic: 'chat.lobby', offset: 42, time: 5, messageId: 'm', key: 'k', from: { user: 'ann', info: { name: 'Ann' } },
      meta: { lang: 'en' }, data: { text: 'hi' },
    }]);
    expect(sub.position).toEqual({ epoch: 'e', offset: 42 });
    expect(log).toEqual(['live', 'message 42']);
  });

  test('made before the connection is sent when it is there, in order', async () => {
    const stage = new Stage();
    stage.client.subscribe('a');
    stage.client.subscribe('b.*');
    await settle();
    stage.client.subscribe('c.>', { since: { epoch: 'e', offset: 1 } });
    await stage.peer.open();
    expect(stage.peer.frames.map(({ topic, since }) => ({ topic, since })))
      .toEqual([{ topic: 'a' }, { topic: 'b.*' }, { topic: 'c.>', since: { epoch: 'e', offset: 1 } }]);
  });

  test('gives bytes as a Uint8Array', async () => {
    const stage = await connected();
    const { messages } = listen(stage, 'files.a');
    stage.peer.reply('subscribe', { epoch: 'e', offset: 0 });
    stage.peer.message('files.a', 1, { data: new Uint8Array([1, 2, 3]), meta: { name: '图.png' } });
    expect(messages[0]).toMatchObject({ data: new Uint8Array([1, 2, 3]), meta: { name: '图.png' } });
  });

  test('of what is subscribed already is an error, and possible again after unsubscribe', async () => {
    const stage = await connected();
    const { sub } = listen(stage, 'a');
    expect(() => stage.client.subscribe('a')).toThrow(expect.objectContaining({ code: 'already-subscribed' }));
    stage.peer.reply('subscribe', { epoch: 'e', offset: 1 });
    const gone = outcome(sub.unsubscribe());
    const second = listen(stage, 'a');
    expect(stage.peer.frames.map(({ type }) => type)).toEqual(['unsubscribe', 'subscribe']);
    stage.peer.message('a', 2); // was under way to the first one
    stage.peer.reply('unsubscribe');
    stage.peer.reply('subscribe', { epoch: 'e', offset: 2 });
    stage.peer.message('a', 3);
    await settle();
    expect(gone).toHaveProperty('value');
    expect(second.log).toEqual(['live', 'message 3']);
  });

  test('that the server refuses ends with its error', async () => {
    const stage = await connected();
    const { sub, log } = listen(stage, 'secret');
    const ready = outcome(sub.ready);
    stage.peer.refuse('subscribe', 'forbidden');
    await settle();
    expect([sub.state, log, ready.code]).toEqual(['ended', ['ended forbidden'], 'forbidden']);
    stage.peer.lose();
    await stage.reopen();
    expect(stage.peer.frames).toEqual([]);
  });

  test('that the server takes away ends, and can be asked for again', async () => {
    const stage = await connected();
    const { log } = listen(stage, 'a');
    stage.peer.reply('subscribe', { epoch: 'e', offset: 1 });
    stage.peer.push({ type: 'unsubscribed', topic: 'a', code: 'forbidden', message: 'your token no longer allows it' });
    expect(log).toEqual(['live', 'ended forbidden']);
    stage.client.subscribe('a');
    stage.peer.take('subscribe');
  });

  test('waits when the server asks for patience, and goes on', async () => {
    const stage = await connected();
    const subs = Array.from({ length: 100 }, (_, i) => stage.client.subscribe(`t${i}`));
    expect(stage.peer.frames).toHaveLength(64);
    for (let i = 0; i < 10; i++) stage.peer.reply('subscribe', { epoch: 'e', offset: 0 });
    const refused = stage.peer.refuse('subscribe', 'rate', 200);
    const before = stage.peer.frames.length;
    while (stage.peer.frames.length) stage.peer.reply('subscribe', { epoch: 'e', offset: 0 });
    expect(before, 'nothing was sent meanwhile').toBe(63);
    await vi.advanceTimersByTimeAsync(200);
    expect(stage.peer.frames[0]!.topic).toBe(refused.topic);
    while (stage.peer.frames.length) stage.peer.reply('subscribe', { epoch: 'e', offset: 0 });
    expect(subs.every(({ state }) => state === 'live')).toBe(true);
  });

  test('is tried again while the server cannot do it', async () => {
    const stage = await connected();
    const { sub } = listen(stage, 'a');
    stage.peer.refuse('subscribe', 'unavailable');
    await vi.advanceTimersByTimeAsync(5_000);
    stage.peer.reply('subscribe', { epoch: 'e', offset: 0 });
    expect(sub.state).toBe('live');
  });
});

describe('after a lost connection', () => {
  test('each subscription continues at its position; nothing comes twice', async () => {
    const stage = await connected();
    const { sub, log } = listen(stage, 'a', { last: 3 });
    stage.peer.reply('subscribe', { epoch: 'e', offset: 4 });
    for (const offset of [5, 6, 7]) stage.peer.message('a', offset);
    stage.peer.lose();
    expect(sub.state).toBe('pending');
    await stage.reopen();
    expect(stage.peer.reply('subscribe', { epoch: 'e', offset: 7, recovered: true })).toEqual({
      type: 'subscribe', id: expect.any(Number), topic: 'a', since: { epoch: 'e', offset: 7 },
    });
    for (const offset of [6, 7, 8, 8, 9]) stage.peer.message('a', offset);
    expect(log).toEqual(['live', 'message 5', 'message 6', 'message 7', 'pending', 'live true', 'message 8', 'message 9']);
  });

  test('what was never confirmed begins as it was meant to', async () => {
    const stage = await connected();
    listen(stage, 'a', { last: 3 });
    stage.peer.lose();
    await stage.reopen();
    expect(stage.peer.take('subscribe')).toMatchObject({ last: 3 });
  });

  test('a gap is reported, in its place', async () => {
    const stage = await connected();
    const { gaps, log, sub } = listen(stage, 'a');
    stage.peer.reply('subscribe', { epoch: 'e', offset: 12 });
    stage.peer.lose();
    await stage.reopen();
    stage.peer.reply('subscribe', { epoch: 'e', offset: 30, recovered: false });
    stage.peer.push({ type: 'gap', topic: 'a', reason: 'expired', since: { epoch: 'e', offset: 12 }, until: { epoch: 'e', offset: 30 } });
    stage.peer.message('a', 31);
    expect(gaps).toEqual([{ topic: 'a', reason: 'expired', since: { epoch: 'e', offset: 12 }, until: { epoch: 'e', offset: 30 } }]);
    expect(log).toEqual(['live', 'pending', 'live false', 'gap expired', 'message 31']);
    const [since, until] = [{ epoch: 'e', offset: 31 }, { epoch: 'e', offset: 40 }];
    stage.peer.push({ type: 'gap', topic: 'a', reason: 'slow', since, until, count: 9 });
    expect(sub.position, 'a gap does not change it').toEqual({ epoch: 'e', offset: 31 });
  });

  test('a gap that was announced and did not come is announced again', async () => {
    const stage = await connected();
    const { gaps, log, sub } = listen(stage, 'a');
    stage.peer.reply('subscribe', { epoch: 'e', offset: 12 });
    stage.peer.lose();
    await stage.reopen();
    stage.peer.reply('subscribe', { epoch: 'f', offset: 0, recovered: false });
    expect(sub.position, 'what is lost has not been reported yet').toEqual({ epoch: 'e', offset: 12 });
    stage.peer.lose();
    await stage.reopen();
    expect(stage.peer.reply('subscribe', { epoch: 'f', offset: 1, recovered: false }).since).toEqual({ epoch: 'e', offset: 12 });
    stage.peer.push({ type: 'gap', topic: 'a', reason: 'epoch', since: { epoch: 'e', offset: 12 }, until: { epoch: 'f', offset: 1 } });
    expect(sub.position).toEqual({ epoch: 'f', offset: 1 });
    stage.peer.message('a', 1);
    stage.peer.message('a', 2);
    expect([gaps.length, log.at(-1)]).toEqual([1, 'message 2']);
  });

  test('a new epoch begins to count anew', async () => {
    const stage = await connected();
    const { log, sub } = listen(stage, 'a');
    stage.peer.reply('subscribe', { epoch: 'e', offset: 12 });
    stage.peer.lose();
    await stage.reopen({ session: 's2' });
    stage.peer.reply('subscribe', { epoch: 'f', offset: 2, recovered: false });
    stage.peer.push({ type: 'gap', topic: 'a', reason: 'epoch', since: { epoch: 'e', offset: 12 }, until: { epoch: 'f', offset: 2 } });
    stage.peer.message('a', 3);
    expect(log.slice(-2)).toEqual(['gap epoch', 'message 3']);
    stage.peer.push({ type: 'gap', topic: 'a', reason: 'epoch', since: { epoch: 'f', offset: 3 }, until: { epoch: 'g', offset: 0 } });
    stage.peer.message('a', 1);
    expect(log.slice(-2)).toEqual(['gap epoch', 'message 1']);
    expect(sub.position).toEqual({ epoch: 'g', offset: 1 });
  });

  test('a pattern has one position for everything that it matches', async () => {
    const stage = await connected();
    const pattern = listen(stage, 'quotes.>');
    const topic = listen(stage, 'quotes.AAPL');
    stage.peer.reply('subscribe', { epoch: 'e', offset: 1 });
    stage.peer.reply('subscribe', { epoch: 'e', offset: 1 });
    stage.peer.message('quotes.AAPL', 2, { sub: 'quotes.>' });
    stage.peer.message('quotes.AAPL', 2);
    stage.peer.message('quotes.MSFT', 3, { sub: 'quotes.>' });
    stage.peer.push({ type: 'gap', sub: 'quotes.>', reason: 'slow', count: 2 });
    expect(pattern.messages.map(({ topic }) => topic)).toEqual(['quotes.AAPL', 'quotes.MSFT']);
    expect(pattern.gaps).toEqual([{ reason: 'slow', count: 2 }]);
    expect(topic.log).toEqual(['live', 'message 2']);
    stage.peer.lose();
    await stage.reopen();
    expect(stage.peer.frames.map(({ since }) => since!.offset)).toEqual([3, 2]);
  });

  test('a message of one\'s own with echo: false is not given back', async () => {
    const stage = await connected();
    const { log } = listen(stage, 'a');
    stage.peer.reply('subscribe', { epoch: 'e', offset: 1 });
    outcome(stage.client.publish('a', 'mine', { echo: false }));
    const { messageId } = stage.peer.reply('publish', { epoch: 'e', offset: 2 });
    stage.peer.lose();
    await stage.reopen();
    stage.peer.reply('subscribe', { epoch: 'e', offset: 1, recovered: true });
    stage.peer.message('a', 2, { messageId: messageId! });
    stage.peer.message('a', 3);
    expect(log.slice(-2)).toEqual(['live true', 'message 3']);
  });
});

describe('unsubscribe', () => {
  test('ends it at once, connected or not', async () => {
    const stage = await connected();
    const a = listen(stage, 'a');
    const b = listen(stage, 'b');
    stage.peer.reply('subscribe', { epoch: 'e', offset: 1 });
    const gone = [outcome(a.sub.unsubscribe()), outcome(b.sub.unsubscribe()), outcome(a.sub.unsubscribe())];
    stage.peer.message('a', 2);
    expect(a.log).toEqual(['live', 'ended']);
    stage.peer.reply('subscribe', { epoch: 'e', offset: 1 }); // of b, which was under way
    await settle();
    expect(gone.map((one) => 'value' in one)).toEqual([false, false, true]);
    stage.peer.reply('unsubscribe');
    stage.peer.refuse('unsubscribe', 'not-subscribed');
    await settle();
    expect(gone.every((one) => 'value' in one)).toBe(true);
    expect(b.log).toEqual(['ended']);
    stage.peer.lose();
    const c = listen(stage, 'c');
    await c.sub.unsubscribe();
    await stage.reopen();
    expect(stage.peer.frames).toEqual([]);
  });

  test('resolves when the connection is lost', async () => {
    const stage = await connected();
    const { sub } = listen(stage, 'a');
    stage.peer.reply('subscribe', { epoch: 'e', offset: 1 });
    const gone = outcome(sub.unsubscribe());
    stage.peer.lose();
    await settle();
    expect(gone).toHaveProperty('value');
  });
});

describe('presence', () => {
  test('is asked for by the callbacks, and reported', async () => {
    const stage = await connected();
    const log: unknown[] = [];
    stage.client.subscribe('a', { onJoin: (who) => log.push(who), onLeave: ({ user }) => log.push(`-${user}`) });
    stage.client.subscribe('b', { presence: true });
    stage.client.subscribe('c', { onJoin() {}, presence: false });
    expect(stage.peer.frames.map(({ presence }) => presence)).toEqual([true, true, false]);
    stage.peer.reply('subscribe', { epoch: 'e', offset: 1 });
    stage.peer.push({ type: 'join', topic: 'a', user: 'bob', info: { name: 'Bob' } });
    stage.peer.push({ type: 'leave', topic: 'a', user: 'bob' });
    expect(log).toEqual([{ user: 'bob', info: { name: 'Bob' } }, '-bob']);
  });

  test('comes whole after each (re)subscribe, and after lost joins', async () => {
    const stage = await connected();
    const counts: number[] = [];
    listen(stage, 'a', { onPresence: ({ count }) => counts.push(count) });
    stage.peer.reply('subscribe', { epoch: 'e', offset: 1 });
    stage.peer.reply('presence', { count: 1, connections: 1, users: [] });
    stage.peer.push({ type: 'gap', topic: 'a', reason: 'slow', presence: true });
    stage.peer.reply('presence', { count: 2, connections: 2 });
    await settle();
    stage.peer.lose();
    await stage.reopen();
    stage.peer.reply('subscribe', { epoch: 'e', offset: 1, recovered: true });
    stage.peer.reply('presence', { count: 3, connections: 3 });
    await settle();
    expect(counts).toEqual([1, 2, 3]);
    stage.peer.push({ type: 'gap', topic: 'a', reason: 'slow', presence: true });
    stage.peer.refuse('presence', 'no-presence');
    await settle();
    expect(stage.errors).toEqual(['no-presence']);
  });
});

test('what a callback throws is reported and stops nothing', async () => {
  const stage = await connected();
  const seen: number[] = [];
  stage.client.subscribe('a', {
    onMessage({ offset }) {
      seen.push(offset);
      throw new Error('a fault of the application');
    },
  });
  stage.peer.reply('subscribe', { epoch: 'e', offset: 0 });
  stage.peer.message('a', 1);
  stage.peer.message('a', 2);
  expect(seen).toEqual([1, 2]);
  expect(() => vi.runOnlyPendingTimers()).toThrow('a fault of the application');
});

test('a listener that is taken off hears nothing any more', async () => {
  const stage = await connected();
  const heard: string[] = [];
  const off = stage.client.on('state', ({ state }) => heard.push(state));
  stage.page.sleep();
  off();
  stage.page.wake();
  expect(heard).toEqual(['asleep']);
});

test('closing rejects what waits for a subscription', async () => {
  const stage = new Stage();
  const ready = outcome(stage.client.subscribe('a').ready);
  stage.client.close();
  await settle();
  expect(ready.code).toBe('closed');
});

describe('on several nodes', () => {
  test('messages without a place come, and leave the position alone', async () => {
    const stage = await connected({ backoff: { base: 0 } });
    const { sub, log } = listen(stage, 'a');
    stage.peer.reply('subscribe', { epoch: 'e', offset: 4 });
    const without = () => stage.peer.push({ type: 'message', topic: 'a', time: 1, data: 0 });
    without();
    expect(sub.position).toEqual({ epoch: 'e', offset: 4 });
    stage.peer.message('a', 5);
    without();
    without();
    expect(sub.position).toEqual({ epoch: 'e', offset: 5 });
    stage.peer.lose();
    await stage.reopen();
    expect(stage.peer.reply('subscribe', { epoch: 'e', offset: 5, recovered: true }).since).toEqual({ epoch: 'e', offset: 5 });
    without();
    expect(log).toEqual(['live', 'message 0', 'message 5', 'message 0', 'message 0', 'pending', 'live true', 'message 0']);
  });

  test('what is lost between them is a gap that moves nothing', async () => {
    const stage = await connected();
    const { sub, log, gaps } = listen(stage, 'a');
    stage.peer.reply('subscribe', { epoch: 'e', offset: 4 });
    const gap = { topic: 'a', reason: 'lost', since: { epoch: 'e', offset: 4 }, until: { epoch: 'e', offset: 9 } };
    stage.peer.push({ type: 'gap', ...gap });
    expect(sub.position).toEqual({ epoch: 'e', offset: 4 });
    stage.peer.message('a', 10);
    expect([log, gaps, sub.position]).toEqual([['live', 'gap lost', 'message 10'], [gap], { epoch: 'e', offset: 10 }]);
  });

  test('an epoch that begins in the middle of a subscription moves it there', async () => {
    const stage = await connected({ backoff: { base: 0 } });
    const { sub, log } = listen(stage, 'a');
    stage.peer.reply('subscribe', { epoch: 'e', offset: 40 });
    stage.peer.message('a', 41);
    stage.peer.push({ type: 'gap', topic: 'a', reason: 'epoch', since: { epoch: 'e', offset: 41 }, until: { epoch: 'f', offset: 3 } });
    expect(sub.position).toEqual({ epoch: 'f', offset: 3 });
    stage.peer.lose();
    await stage.reopen();
    expect(stage.peer.reply('subscribe', { epoch: 'f', offset: 3, recovered: true }).since).toEqual({ epoch: 'f', offset: 3 });
    stage.peer.message('a', 4);
    expect(log).toEqual(['live', 'message 41', 'gap epoch', 'pending', 'live true', 'message 4']);
    expect(sub.position).toEqual({ epoch: 'f', offset: 4 });
  });
});
