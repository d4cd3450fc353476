// Several tabs on one connection: the tabs' frames on one side, the server's on the other, and no time in between.

import { describe, expect, test } from 'vitest';
import { decode, encode, type Frame } from '../src/codec.js';
import { Mux } from '../src/mux.js';

/** A mux with the leader A and other tabs, all connected. */
function stage(...others: string[]) {
  const sent: Frame[] = []; // to the server
  const got: Record<string, Frame[]> = {}; // by tab
  let abandoned = 0;
  const mux = new Mux('A', (data) => sent.push(decode(data)), (tabs, data) => {
    for (const tab of tabs) (got[tab] ??= []).push(decode(data));
  }, () => { abandoned++; });
  const all = {
    mux, sent, got,
    get abandoned() { return abandoned; },
    say: (tab: string, frame: Frame) => mux.fromTab(tab, encode(frame)),
    push: (frame: Frame) => mux.fromServer(encode(frame)),
    /** The server takes the next command, which is of this type, and answers it. */
    reply(type: string, fields: Partial<Frame> = {}): Frame {
      const frame = sent.shift()!;
      expect(frame?.type, `the server gets ${type}`).toBe(type);
      mux.fromServer(encode({ type: 'reply', id: frame.id, ...fields }));
      return frame;
    },
    /** What a tab has got since it was last asked. */
    take: (tab: string) => got[tab]?.splice(0) ?? [],
    message: (topic: string, offset: number, fields: Partial<Frame> = {}) =>
      all.push({ type: 'message', topic, offset, time: 1, data: offset, ...fields }),
    offsets: (tab: string) => all.take(tab)
      .map(({ type, offset, reason }) => (type === 'message' ? offset : `${type} ${offset ?? reason}`)),
    subscribe: (tab: string, topic: string, fields: Partial<Frame> = {}) => all.say(tab, { type: 'subscribe', id: 5, topic, ...fields }),
  };
  all.say('A', { type: 'connect', id: 1, token: 'jwt' });
  for (const tab of others) all.say(tab, { type: 'connect', id: 1, token: 'another' });
  const answer = { session: 's', user: 'ann', resume: 'r', expires: 9_999, ping: 1, time: 1_000 };
  expect(all.reply('connect', answer)).toMatchObject({ token: 'jwt' });
  for (const tab of ['A', ...others]) expect(all.take(tab)).toMatchObject([{ type: 'reply', id: 1, session: 's', resume: 'r' }]);
  return all;
}

describe('connecting', () => {
  test('only the leader knows when the token expires; the time is the present one', () => {
    const s = stage('B');
    s.say('C', { type: 'connect', id: 8 });
    const [welcome] = s.take('C');
    expect(welcome).toMatchObject({ type: 'reply', id: 8, session: 's', ping: 1 });
    expect(welcome!.expires).toBeUndefined();
    expect(welcome!.time).toBeGreaterThanOrEqual(1_000);
    expect(s.sent).toEqual([]);
  });

  test('what ends the connection is told to all', () => {
    const s = stage('B');
    s.push({ type: 'disconnect', code: 'restart', after: 10 });
    expect([s.take('A'), s.take('B')]).toMatchObject([[{ code: 'restart' }], [{ code: 'restart' }]]);
    expect(s.mux.tabs.sort()).toEqual(['A', 'B']);
  });

  test('the leader asks the server for a sign of life, the others ask the leader', () => {
    const s = stage('B');
    s.say('B', { type: 'ping', id: 3 });
    expect(s.take('B')).toEqual([{ type: 'reply', id: 3 }]);
    s.say('A', { type: 'ping', id: 4 });
    s.reply('ping');
    expect(s.take('A')).toEqual([{ type: 'reply', id: 4 }]);
  });
});

describe('commands', () => {
  test('of several tabs with the same id are answered to the right one', () => {
    const s = stage('B');
    s.say('A', { type: 'publish', id: 7, topic: 't', messageId: 'm', echo: false, data: 1 });
    s.say('B', { type: 'request', id: 7, method: 'm', data: new Uint8Array([1]) });
    s.say('B', { type: 'history', id: 8, topic: 't' });
    expect(s.sent.map(({ id }) => id)).toEqual([2, 3, 4]);
    expect(s.sent[0]!.echo).toBeUndefined();
    s.message('t', 3, { reply: 4 });
    s.push({ type: 'reply', id: 4, epoch: 'e' });
    s.push({ type: 'reply', id: 3, data: new Uint8Array([2]) });
    s.push({ type: 'error', id: 2, code: 'forbidden', message: 'no' });
    expect(s.take('A')).toEqual([{ type: 'error', id: 7, code: 'forbidden', message: 'no' }]);
    expect(s.take('B')).toMatchObject([{ offset: 3, reply: 8 }, { id: 8, epoch: 'e' }, { id: 7, data: new Uint8Array([2]) }]);
  });
});

describe('a topic of several tabs', () => {
  test('is subscribed once, and given up with the last one', () => {
    const s = stage('B', 'C');
    s.subscribe('A', 't');
    s.subscribe('B', 't');
    s.reply('subscribe', { epoch: 'e', offset: 4 });
    s.subscribe('C', 't', { since: { epoch: 'e', offset: 4 } });
    for (const tab of ['A', 'B']) expect(s.take(tab)).toEqual([{ type: 'reply', id: 5, topic: 't', epoch: 'e', offset: 4 }]);
    expect(s.take('C')).toMatchObject([{ epoch: 'e', offset: 4, recovered: true }]);
    s.message('t', 5);
    for (const tab of ['A', 'B', 'C']) expect(s.offsets(tab)).toEqual([5]);
    s.say('A', { type: 'unsubscribe', id: 6, topic: 't' });
    expect(s.take('A')).toEqual([{ type: 'reply', id: 6 }]);
    s.mux.gone('B');
    expect(s.sent).toEqual([]);
    s.message('t', 6);
    expect([s.offsets('A'), s.offsets('B'), s.offsets('C')]).toEqual([[], [], [6]]);
    s.mux.gone('C');
    s.reply('unsubscribe');
  });

  test('that nobody wants any more before the server has answered is given up', () => {
    const s = stage('B');
    s.subscribe('B', 't');
    s.mux.gone('B');
    s.reply('subscribe', { epoch: 'e', offset: 4 });
    s.reply('unsubscribe');
    s.message('t', 5);
    expect(s.take('B')).toEqual([]);
  });

  test('that is refused is refused to each', () => {
    const s = stage('B');
    s.subscribe('A', 't');
    s.subscribe('B', 't');
    s.push({ type: 'error', id: s.sent.shift()!.id, code: 'forbidden', message: 'no' });
    s.push({ type: 'error', id: s.sent.shift()!.id, code: 'forbidden', message: 'no' });
    for (const tab of ['A', 'B']) expect(s.take(tab)).toEqual([{ type: 'error', id: 5, code: 'forbidden', message: 'no' }]);
    expect(s.sent).toEqual([]);
  });

  test('that is taken away ends for each, also for those who still wait', () => {
    const s = stage('B');
    s.subscribe('A', 't');
    s.reply('subscribe', { epoch: 'e', offset: 4 });
    s.subscribe('B', 't', { last: 3 });
    s.take('A');
    s.push({ type: 'unsubscribed', topic: 't', code: 'forbidden', message: 'no' });
    expect(s.take('A')).toMatchObject([{ type: 'unsubscribed' }]);
    expect(s.take('B')).toMatchObject([{ type: 'error', id: 5, code: 'forbidden' }]);
    s.reply('history', { epoch: 'e' });
    expect(s.take('B')).toEqual([]);
  });

  test('gives joins to those who asked for them, and asks for them when the first does', () => {
    const s = stage('B', 'C');
    s.subscribe('A', 't');
    s.reply('subscribe', { epoch: 'e', offset: 4 });
    s.subscribe('B', 't', { presence: true });
    s.reply('unsubscribe');
    expect(s.reply('subscribe', { epoch: 'e', offset: 4, recovered: true }))
      .toMatchObject({ since: { epoch: 'e', offset: 4 }, presence: true });
    s.subscribe('C', 't', { presence: true });
    expect(s.sent).toEqual([]);
    s.push({ type: 'join', topic: 't', user: 'bob' });
    expect(s.offsets('A')).toEqual(['reply 4']);
    expect([s.offsets('B'), s.offsets('C')]).toEqual([['reply 4', 'join undefined'], ['reply 4', 'join undefined']]);
  });
});

describe('a tab that comes later', () => {
  test('gets the last messages from history, and what comes meanwhile after them', () => {
    const s = stage('B');
    s.subscribe('A', 't');
    s.reply('subscribe', { epoch: 'e', offset: 4 });
    s.subscribe('B', 't', { last: 2 });
    const ask = s.sent.shift()!;
    expect(ask).toMatchObject({ type: 'history', topic: 't', limit: 2 });
    s.message('t', 5);
    s.message('t', 4, { reply: ask.id! });
    s.message('t', 5, { reply: ask.id! });
    s.push({ type: 'reply', id: ask.id, epoch: 'e', more: true });
    s.message('t', 6);
    expect(s.offsets('A')).toEqual(['reply 4', 5, 6]);
    const got = s.take('B');
    expect(got.map(({ type, offset }) => [type, offset])).toEqual([['reply', 3], ['message', 4], ['message', 5], ['message', 5], ['message', 6]]);
    expect(got.some(({ reply }) => reply)).toBe(false);
  });

  test('gets what it missed, from history', () => {
    const s = stage('B');
    s.subscribe('A', 't');
    s.reply('subscribe', { epoch: 'e', offset: 4 });
    s.subscribe('B', 't', { since: { epoch: 'e', offset: 2 } });
    const ask = s.sent.shift()!;
    expect(ask).toMatchObject({ type: 'history', after: 2, epoch: 'e', limit: 1_000 });
    s.message('t', 3, { reply: ask.id! });
    s.message('t', 4, { reply: ask.id! });
    s.push({ type: 'reply', id: ask.id, epoch: 'e', more: false });
    expect(s.offsets('B')).toEqual(['reply 2', 3, 4]);
  });

  const failures = [{ code: 'no-history' }, { lost: true }, { more: true }, { epoch: 'f' }];
  test.each(failures)('subscribes anew where history does not do: %o', (fields) => {
    const s = stage('B', 'C');
    s.subscribe('A', 't');
    s.reply('subscribe', { epoch: 'e', offset: 4 });
    s.subscribe('B', 't', { since: { epoch: 'e', offset: 2 } });
    s.push({ type: fields.code ? 'error' : 'reply', epoch: 'e', ...fields, id: s.sent.shift()!.id });
    s.reply('unsubscribe');
    s.subscribe('C', 't');
    expect(s.sent).toHaveLength(1);
    expect(s.reply('subscribe', { epoch: 'e', offset: 3, recovered: false })).toMatchObject({ since: { epoch: 'e', offset: 2 } });
    s.push({ type: 'gap', topic: 't', reason: 'expired', since: { epoch: 'e', offset: 2 }, until: { epoch: 'e', offset: 3 } });
    s.message('t', 4);
    expect(s.offsets('B')).toEqual(['reply 3', 'gap expired', 4]);
    expect(s.offsets('A'), 'A has lost nothing, and drops what it has').toEqual(['reply 4', 4]);
    expect(s.offsets('C')).toEqual(['reply 4', 4]);
  });

  test('with a pattern subscribes anew', () => {
    const s = stage('B');
    s.subscribe('A', 't.*');
    s.reply('subscribe', { epoch: 'e', offset: 40 });
    s.subscribe('B', 't.*', { last: 10 });
    s.reply('unsubscribe');
    expect(s.reply('subscribe', { epoch: 'e', offset: 30, recovered: true })).toMatchObject({ since: { epoch: 'e', offset: 30 } });
    s.message('t.x', 35, { sub: 't.*' });
    expect(s.offsets('B')).toEqual(['reply 30', 35]);
  });

  test('with a position of another epoch is told so', () => {
    const s = stage('B');
    s.subscribe('A', 't');
    s.reply('subscribe', { epoch: 'e', offset: 4 });
    s.subscribe('B', 't', { since: { epoch: 'd', offset: 99 } });
    expect(s.take('B')).toEqual([
      { type: 'reply', id: 5, topic: 't', epoch: 'e', offset: 4, recovered: false },
      { type: 'gap', topic: 't', reason: 'epoch', since: { epoch: 'd', offset: 99 }, until: { epoch: 'e', offset: 4 } },
    ]);
  });

  test('that cannot be served for the moment makes all come back, for nobody may lose a message', () => {
    const s = stage('B');
    s.subscribe('A', 't.*');
    s.reply('subscribe', { epoch: 'e', offset: 40 });
    s.subscribe('B', 't.*', { last: 10 });
    s.reply('unsubscribe');
    s.push({ type: 'error', id: s.sent.shift()!.id, code: 'rate', message: 'later', retry: 5 });
    expect(s.abandoned).toBe(1);
  });
});

test('a gap in the middle, and a new epoch, concern every tab', () => {
  const s = stage('B');
  s.subscribe('A', 't');
  s.subscribe('B', 't');
  s.reply('subscribe', { epoch: 'e', offset: 4 });
  s.push({ type: 'gap', topic: 't', reason: 'slow', since: { epoch: 'e', offset: 4 }, until: { epoch: 'e', offset: 8 }, count: 4 });
  s.push({ type: 'gap', topic: 't', reason: 'epoch', since: { epoch: 'e', offset: 8 }, until: { epoch: 'f', offset: 0 } });
  s.message('t', 1);
  for (const tab of ['A', 'B']) expect(s.offsets(tab)).toEqual(['reply 4', 'gap slow', 'gap epoch', 1]);
  s.subscribe('B', 't', { since: { epoch: 'f', offset: 1 } });
  expect(s.take('B')).toMatchObject([{ recovered: true, epoch: 'f' }]);
});

describe('on several nodes', () => {
  test('messages without a place go to all tabs, and those who come later begin where the line is', () => {
    const s = stage('B', 'C');
    s.subscribe('A', 't');
    s.reply('subscribe', { epoch: 'e', offset: 4 });
    s.message('t', 5);
    s.push({ type: 'message', topic: 't', time: 1, data: 0 });
    s.push({ type: 'gap', topic: 't', reason: 'lost', since: { epoch: 'e', offset: 5 }, until: { epoch: 'e', offset: 6 } });
    expect(s.offsets('A')).toEqual(['reply 4', 5, undefined, 'gap lost']);
    s.subscribe('B', 't', { since: { epoch: 'e', offset: 5 } });
    expect(s.take('B')).toMatchObject([{ type: 'reply', epoch: 'e', offset: 5, recovered: true }]);
    s.push({ type: 'gap', topic: 't', reason: 'epoch', since: { epoch: 'e', offset: 5 }, until: { epoch: 'f', offset: 2 } });
    s.message('t', 3);
    expect([s.offsets('A'), s.offsets('B')]).toEqual([['gap epoch', 3], ['gap epoch', 3]]);
    s.subscribe('C', 't', { since: { epoch: 'f', offset: 3 } });
    expect(s.take('C')).toMatchObject([{ epoch: 'f', offset: 3, recovered: true }]);
    expect(s.sent).toEqual([]);
  });
});
