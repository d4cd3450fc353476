// The client in Node, with the real server, and a network between them that can be cut.

import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { Client, type ClientOptions, type Gap, type Message, type StateChange, type SubscribeOptions } from '../src/duplex-client.js';
import { Device, inside } from './device.js';
import { Duplex, file, topics } from './duplex.js';
import { Site } from './site.js';
import { until } from './toy.js';

let duplex: Duplex;
const clients: Client[] = [];

beforeAll(async () => { duplex = await Duplex.start('--config', file('real.yaml', topics)); });
afterAll(() => duplex?.stop());
afterEach(() => { for (const client of clients.splice(0)) client.close(); });

/** A client that hurries. */
function connect(options: ClientOptions = {}, url = duplex.url): Client & { states: StateChange[] } {
  const client = new Client(url, { WebSocket, backoff: { base: 20, max: 100 }, ...options });
  clients.push(client);
  const states: StateChange[] = [];
  client.on('state', (change) => states.push(change));
  return Object.assign(client, { states });
}

/** Subscribes, and keeps what comes. */
function listen(client: Client, topic: string, options: SubscribeOptions = {}) {
  const messages: Message[] = [];
  const gaps: Gap[] = [];
  const log: string[] = [];
  const sub = client.subscribe(topic, {
    onMessage: (message) => messages.push(message),
    onGap: (gap) => gaps.push(gap),
    onState: ({ state, error }) => log.push(error ? `${state} ${error.code}` : state),
    ...options,
  });
  return { sub, messages, gaps, log, data: () => messages.map(({ data }) => data) };
}

async function proxied(): Promise<Site> {
  const site = await Site.start(duplex.url);
  onTestFinished(() => site.stop());
  return site;
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe('a topic', () => {
  test('brings JSON and bytes with all that goes with them, to whoever subscribes it or a pattern', async () => {
    const [ann, bob] = [connect({ info: { name: '安' } }), connect()];
    const [topic, pattern] = [listen(bob, 'room.all'), listen(bob, 'room.*')];
    await Promise.all([topic.sub.ready, pattern.sub.ready]);
    const first = await ann.publish('room.all', { text: '图🎉\u0000' }, { key: 'k', meta: { lang: 'zh' }, messageId: 'id-1' });
    expect(await ann.publish('room.all', { text: 'again' }, { messageId: 'id-1' })).toEqual({ ...first, duplicate: true });
    await ann.publish('room.all', new Uint8Array([0, 255, 1]), { meta: { name: '图.png' } });
    await until(() => topic.messages.length === 2 && pattern.messages.length === 2);
    const from = { user: ann.session!.user, info: { name: '安' } };
    for (const { messages } of [topic, pattern]) {
      expect(messages[0]).toEqual({
        topic: 'room.all', offset: expect.any(Number), time: expect.any(Number), messageId: 'id-1', key: 'k', from, meta: { lang: 'zh' },
        data: { text: '图🎉\u0000' },
      });
      expect(messages[1]).toMatchObject({ data: new Uint8Array([0, 255, 1]), meta: { name: '图.png' } });
    }
    expect(topic.messages[0]!.offset).toBe(first.offset);
    await topic.sub.unsubscribe();
    await ann.publish('room.all', 'last');
    await until(() => pattern.messages.length === 3);
    expect(topic.messages).toHaveLength(2);
  });

  test('has a history, paged both ways, and last messages for who comes later', async () => {
    const ann = connect();
    for (const i of range(1, 10)) await ann.publish('room.history', i);
    const { sub, data } = listen(ann, 'room.history', { last: 3 });
    await sub.ready;
    await until(() => data().length === 3);
    expect(data()).toEqual([8, 9, 10]);
    const last = await ann.history('room.history', { limit: 4 });
    expect([last.messages.map(({ data }) => data), last.more, last.lost]).toEqual([[7, 8, 9, 10], true, false]);
    const before = await ann.history('room.history', { limit: 100, before: last.messages[0]!.offset, epoch: last.epoch });
    expect([before.messages.map(({ data }) => data), before.more]).toEqual([range(1, 6), false]);
    const after = await ann.history('room.history', { after: last.messages[2]!.offset, epoch: last.epoch });
    expect(after.messages.map(({ data }) => data)).toEqual([10]);
    expect((await ann.history('room.history', { after: 1, epoch: 'another' })).lost).toBe(true);
    await expect(ann.history('no.history')).rejects.toMatchObject({ code: 'no-history' });
  });

  test('tells who comes and goes', async () => {
    const [ann, bob] = [connect(), connect({ info: { name: 'Bob' } })];
    const seen: string[] = [];
    const counts: number[] = [];
    await ann.subscribe('room.presence', {
      onJoin: ({ user }) => seen.push(`+${user}`), onLeave: ({ user }) => seen.push(`-${user}`),
      onPresence: ({ count }) => counts.push(count),
    }).ready;
    await until(() => counts.length === 1);
    const { sub } = listen(bob, 'room.presence');
    await sub.ready;
    const { user } = bob.session!;
    const presence = await ann.presence('room.presence');
    expect([presence.count, presence.connections]).toEqual([2, 2]);
    expect(presence.users).toContainEqual({ user, info: { name: 'Bob' }, connections: 1 });
    await sub.unsubscribe();
    await until(() => seen.includes(`-${user}`));
    expect(seen.filter((one) => one.endsWith(user))).toEqual([`+${user}`, `-${user}`]);
    expect(counts).toEqual([1]);
    await expect(ann.presence('no.presence')).rejects.toMatchObject({ code: 'no-presence' });
  });

  test('refuses with its reasons', async () => {
    const client = connect();
    await expect(client.publish('a..b', 1)).rejects.toMatchObject({ code: 'bad-topic' });
    await expect(client.publish('a.*', 1)).rejects.toMatchObject({ code: 'bad-topic' });
    await expect(client.publish('a', 1, { messageId: 'no spaces' })).rejects.toMatchObject({ code: 'bad-request' });
    await expect(client.publish('a', 'x'.repeat(70_000))).rejects.toMatchObject({ code: 'too-large' });
    await expect(client.publish('a', 'x'.repeat(1 << 20))).rejects.toMatchObject({ code: 'too-large', message: /a frame has at most/ });
    await expect(client.request('unheard.of')).rejects.toMatchObject({ code: 'unknown-method' });
    const { sub, log } = listen(client, 'no.presence', { presence: true });
    await expect(sub.ready).rejects.toMatchObject({ code: 'no-presence' });
    expect([log, client.state]).toEqual([['ended no-presence'], 'open']);
  });

  test('that limits its rate gets everything in order all the same', async () => {
    const client = connect();
    const { sub, data } = listen(client, 'limited');
    await sub.ready;
    const results = await Promise.allSettled(range(1, 20).map((i) => client.publish('limited', i)));
    await until(() => data().length === results.filter(({ status }) => status === 'fulfilled').length);
    // In one bunch none overtakes another, unless the machine dawdles; then the one that was overtaken says so.
    const through = range(1, 20).filter((i) => results[i - 1]!.status === 'fulfilled');
    expect(data()).toEqual(through);
    for (const result of results) if (result.status === 'rejected') expect(result.reason.code).toBe('rate');
    expect(through.length).toBeGreaterThan(3);
  });

  test('in great numbers is subscribed at the pace of the server', async () => {
    const site = await proxied();
    const client = connect({}, site.socket);
    const subs = range(1, 1_000).map((i) => client.subscribe(`many.${i}`));
    await Promise.all(subs.map(({ ready }) => ready));
    const one = listen(client, 'one.too.many');
    await expect(one.sub.ready).rejects.toMatchObject({ code: 'too-many-subscriptions' });
    site.cut();
    await until(() => client.states.filter(({ state }) => state === 'open').length === 2 && subs.every(({ state }) => state === 'live'));
    expect(client.states.map(({ state }) => state)).not.toContain('closed');
  });
});

describe('a network that fails', () => {
  test('loses nothing and doubles nothing, however often it is cut', async () => {
    const site = await proxied();
    const [ann, bob] = [connect({}, site.socket), connect({}, site.socket)];
    const topic = listen(bob, 'room.cuts');
    const pattern = listen(bob, 'room.*');
    await Promise.all([topic.sub.ready, pattern.sub.ready]);
    let done = 0;
    const all = Promise.all(range(1, 300).map(async (i) => {
      await ann.publish('room.cuts', i);
      if (++done % 30 === 0) site.cut();
    }));
    await all;
    await until(() => topic.messages.length >= 300 && pattern.messages.length >= 300);
    await ann.publish('room.cuts', 'end');
    await until(() => topic.data().includes('end') && pattern.data().includes('end'));
    expect(topic.data()).toEqual([...range(1, 300), 'end']);
    expect(pattern.data()).toEqual([...range(1, 300), 'end']);
    expect([topic.gaps, pattern.gaps]).toEqual([[], []]);
    expect(site.connections).toBeGreaterThan(5);
  });

  test('is half open: the client finds out, resumes, and nobody sees it go', async () => {
    const site = await proxied();
    const watcher = connect();
    const seen: string[] = [];
    await watcher.subscribe('room.ghost', {
      onJoin: ({ user }) => seen.push(`+${user}`), onLeave: ({ user }) => seen.push(`-${user}`),
    }).ready;
    const client = connect({ pongTimeout: 200 }, site.socket);
    const { sub, data } = listen(client, 'room.ghost');
    await sub.ready;
    const { session, user } = client.session!;
    site.freeze({ onlyPresent: true });
    client.connect(); // asks for a sign of life
    await watcher.publish('room.ghost', 'missed');
    await until(() => data().length === 1);
    expect(client.states.map(({ state }) => state)).toEqual(['open', 'waiting', 'connecting', 'open']);
    expect([client.states.at(-1)!.resumed, client.session!.session]).toEqual([true, session]);
    await watcher.publish('room.ghost', 'end');
    expect(seen.filter((one) => one.endsWith(user))).toEqual([`+${user}`]);
  });

  test('for too long is a gap', async () => {
    const site = await proxied();
    const client = connect({}, site.socket);
    const { sub, data, gaps } = listen(client, 'short');
    await sub.ready;
    const other = connect();
    await other.publish('short', 1);
    await until(() => data().length === 1);
    const { position } = sub;
    site.freeze();
    site.cut();
    for (const i of range(2, 6)) await other.publish('short', i);
    site.thaw();
    await until(() => data().length === 3);
    expect(data()).toEqual([1, 5, 6]);
    expect(gaps).toMatchObject([{ topic: 'short', reason: 'expired', since: position }]);
  });
});

describe('a server that goes', () => {
  test('by kill -9 has forgotten, which is a gap, and gets what waits', async () => {
    const server = await Duplex.start('--config', file('kill.yaml', topics));
    onTestFinished(() => server.stop());
    const client = connect({}, server.url);
    const { sub, data, gaps } = listen(client, 'room.kill');
    await sub.ready;
    await client.publish('room.kill', 'before');
    await until(() => data().length === 1);
    const { epoch } = sub.position!;
    await server.stop('SIGKILL');
    await until(() => client.state !== 'open');
    const waiting = [client.publish('room.kill', 1), client.publish('room.kill', 2)];
    await server.run('--config', file('kill.yaml', topics));
    await Promise.all(waiting);
    await until(() => data().length === 3);
    expect(data()).toEqual(['before', 1, 2]);
    expect(gaps).toMatchObject([{ reason: 'epoch', since: { epoch } }]);
    expect(sub.position!.epoch).not.toBe(epoch);
  });

  test('in good order says when to come back', async () => {
    const config = file('drain.yaml', `drain: {retry: 300ms, spread: 1ms}\n${topics}`);
    const server = await Duplex.start('--config', config);
    onTestFinished(() => server.stop());
    const client = connect({}, server.url);
    await client.publish('room.drain', 1);
    await server.stop('SIGTERM');
    await until(() => client.states.some(({ state }) => state === 'waiting'));
    const waiting = client.states.find(({ state }) => state === 'waiting')!;
    expect(waiting).toMatchObject({ code: 1012, error: { code: 'restart' } });
    expect(waiting.after).toBeGreaterThanOrEqual(300);
    expect(waiting.after).toBeLessThanOrEqual(302);
    await server.run('--config', config);
    await client.publish('room.drain', 2);
  });
});

describe('a server with tokens', () => {
  const secret = 'a secret of more than thirty-two bytes for these tests';
  const key = file('tokens.key', secret);
  const rules = topics.replace('topics:', 'topics:\n  - {pattern: private.*, subscribe: granted, publish: granted}');
  const config = file('tokens.yaml', `
tokens:
  keys: [{file: ${key}, algorithm: HS256}]
  leeway: 1ms
api: {keys: [an-api-key-for-these-tests]}
${rules}`);
  const token = (expires: string, ...topics: string[]) =>
    Duplex.command('token', '--key', key, '--user', 'ann', '--expires', expires, ...topics.map((topic) => `--topic=${topic}`)).trim();
  let server: Duplex;
  beforeAll(async () => { server = await Duplex.start('--config', config); });
  afterAll(() => server?.stop());

  test('refuses who has none, or a bad one, for good', async () => {
    for (const [bad, code] of [[undefined, 'token-missing'], ['bad', 'token-invalid']] as const) {
      const client = connect({ ...(bad && { token: bad }) }, server.url);
      await until(() => client.state === 'closed');
      expect(client.states.at(-1)).toMatchObject({ state: 'closed', code: 4401, error: { code } });
      await expect(client.publish('room.a', 1)).rejects.toMatchObject({ code: 'closed' });
    }
  });

  test('gets a new one when the first is refused', async () => {
    const tokens = ['bad', token('1h')];
    const client = connect({ token: () => tokens.shift() }, server.url);
    await client.publish('room.a', 1);
    expect(client.session).toMatchObject({ user: 'ann', expires: expect.any(Number) });
  });

  test('gets a new one before the first expires, on the same connection', async () => {
    const tokens = [token('5s'), token('1h')];
    const client = connect({ token: () => tokens.shift() }, server.url);
    const { sub, log, data } = listen(client, 'room.refresh');
    await sub.ready;
    const first = client.session!.expires!;
    await until(() => tokens.length === 0);
    await until(() => Date.now() > first + 200);
    await client.publish('room.refresh', 'still there');
    await until(() => data().length === 1);
    expect([log, client.states.map(({ state }) => state)]).toEqual([['live'], ['open']]);
  });

  test('ends what a new token does not allow', async () => {
    const second = token('1h', 'private.b=subscribe,publish');
    const tokens = [token('5s', 'private.a=subscribe', 'private.b=subscribe'), second];
    const client = connect({ token: () => tokens.shift() }, server.url);
    const [a, b] = [listen(client, 'private.a'), listen(client, 'private.b')];
    await Promise.all([a.sub.ready, b.sub.ready]);
    await expect(client.publish('private.b', 1)).rejects.toMatchObject({ code: 'forbidden' });
    await until(() => a.sub.state === 'ended');
    await client.publish('private.b', 2);
    await until(() => b.data().length === 1);
    expect([a.log, b.log]).toEqual([['live', 'ended forbidden'], ['live']]);
    expect(client.states.map(({ state }) => state)).toEqual(['open']);
  });

  test('revokes one, and takes another', async () => {
    let fetched = 0;
    const client = connect({ token: () => { fetched++; return token('1h'); } }, server.url);
    const { sub, data } = listen(client, 'room.revoked');
    await sub.ready;
    const host = server.url.replace(/^ws/, 'http').replace(/\/ws$/, '');
    const answer = await fetch(`${host}/api/revoke`, {
      method: 'POST', body: JSON.stringify({ user: 'ann' }),
      headers: { 'Authorization': 'Bearer an-api-key-for-these-tests', 'Content-Type': 'application/json' },
    });
    expect(answer.ok, await answer.text()).toBe(true);
    await until(() => client.states.some(({ error }) => error?.code === 'token-revoked'));
    await client.publish('room.revoked', 'back');
    await until(() => data().length === 1);
    expect(fetched).toBe(2);
  });
});

test.each(['wx', 'uni'] as const)('a mini-program with %s speaks with the server, and misses nothing in the background', async (name) => {
  const device = new Device(name === 'wx' ? 'wechat' : 'uni');
  const { Client, wechat, uniApp } = await inside({ [name]: device.api });
  const client = new Client(duplex.url, { platform: name === 'wx' ? wechat() : uniApp() });
  clients.push(client);
  const { sub, data } = listen(client, `room.${name}`);
  await sub.ready;
  await client.publish(`room.${name}`, { text: '图🎉' }, { meta: { lang: 'zh' } });
  await client.publish(`room.${name}`, new Uint8Array([1, 2]), { meta: { name: '图.png' } });
  device.hide();
  await until(() => sub.state === 'pending');
  await connect().publish(`room.${name}`, 'meanwhile');
  device.show();
  await until(() => data().length === 3);
  expect(JSON.parse(JSON.stringify(data()))).toEqual([{ text: '图🎉' }, { 0: 1, 1: 2 }, 'meanwhile']);
});

test('requests are answered by the program behind the server', async () => {
  const backend = http.createServer((request, response) => {
    let body = '';
    request.on('data', (part) => { body += part; }).on('end', () => {
      const { method, data, base64 } = JSON.parse(body);
      const answers: Record<string, object> = {
        echo: base64 ? { base64 } : { data }, refuse: { error: { code: 'shop.closed', message: 'come back tomorrow', retry: 1_000 } },
      };
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify(answers[method]));
    });
  });
  await new Promise<void>((resolve) => { backend.listen(0, '127.0.0.1', resolve); });
  const server = await Duplex.start('--config', file('hook.yaml', `
webhooks:
  request: {url: "http://127.0.0.1:${(backend.address() as AddressInfo).port}/", methods: [echo, refuse]}
  secret-file: ${file('hook.key', 'another secret of more than thirty-two bytes')}
`));
  onTestFinished(async () => {
    await server.stop();
    backend.close();
  });
  const client = connect({}, server.url);
  expect(await client.request('echo', { text: '图🎉' })).toEqual({ text: '图🎉' });
  expect(await client.request('echo', new Uint8Array([1, 2, 3]))).toEqual(new Uint8Array([1, 2, 3]));
  await expect(client.request('refuse')).rejects.toMatchObject({ code: 'shop.closed', message: 'come back tomorrow', retry: 1_000 });
  await expect(client.request('other')).rejects.toMatchObject({ code: 'unknown-method' });
  const many = await Promise.allSettled(range(1, 40).map((i) => client.request('echo', i)));
  for (const one of many) {
    if (one.status === 'rejected') expect(one.reason.code, 'at most 16 wait at a time').toBe('rate');
  }
  expect(many.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThanOrEqual(16);
});
