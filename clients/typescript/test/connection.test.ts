import { describe, expect, test, vi } from 'vitest';
import { Client, DuplexError } from '../src/duplex-client.js';
import { connected, outcome, settle, Stage } from './fake.js';

describe('the first connection', () => {
  test('offers the subprotocol and sends connect with token and info', async () => {
    const stage = new Stage({ token: 'jwt', info: { name: 'Ann' } });
    await settle();
    expect(stage.peer.protocol).toBe('duplex.v1');
    expect(stage.peer.url).toBe('ws://server/ws');
    const connect = await stage.peer.open({ user: 'ann', expires: Date.now() + 3_600_000 });
    expect(connect).toEqual({ type: 'connect', id: 1, token: 'jwt', info: { name: 'Ann' } });
    expect(stage.states).toEqual([{ state: 'open', resumed: false }]); // "connecting" was before anybody could listen
    expect(stage.client.session).toEqual({
      session: 's1', user: 'ann', resume: 'r1', expires: Date.now() + 3_600_000, limits: { frame: 1 << 20 },
    });
  });

  test('takes http URLs and, in a page, paths; refuses what is no URL', async () => {
    const urls: string[] = [];
    const platform = { connect: (url: string) => { urls.push(url); throw new Error('no network here'); } };
    vi.stubGlobal('location', { origin: 'https://example.com' });
    const clients = ['http://a/ws', 'https://a:8080/ws', '/ws'].map((url) => new Client(url, { platform }));
    await settle();
    expect(urls).toEqual(['ws://a/ws', 'wss://a:8080/ws', 'wss://example.com/ws']);
    for (const client of clients) client.close();
    for (const url of ['', 'example.com', 'ftp://a', 'ws://']) {
      expect(() => new Client(url, { platform })).toThrow(expect.objectContaining({ code: 'bad-request' }));
    }
    vi.unstubAllGlobals();
    expect(() => new Client('/ws', { platform })).toThrow(/give a URL such as wss:/);
  });

  test('that gets no answer is given up after connectTimeout', async () => {
    const stage = new Stage({ connectTimeout: 3_000 });
    await vi.advanceTimersByTimeAsync(2_999);
    expect(stage.client.state).toBe('connecting');
    await vi.advanceTimersByTimeAsync(1);
    expect(stage.states.at(-1)).toMatchObject({ state: 'waiting', code: 1006, error: { message: 'no answer within 3000 ms' } });
    expect(stage.peer.closed?.code).toBe(4000);
    await stage.reopen();
    expect(stage.client.state).toBe('open');
  });

  test('that cannot even be tried is reported and tried again', async () => {
    const stage = new Stage();
    stage.refuse = new Error('not allowed here');
    await settle();
    expect(stage.errors).toEqual(['offline']);
    expect(stage.client.state).toBe('waiting');
    stage.refuse = undefined;
    await stage.reopen();
    expect(stage.client.state).toBe('open');
  });
});

describe('coming back', () => {
  test('waits a random part of a time that doubles up to its maximum', async () => {
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.5);
    const stage = new Stage({ backoff: { base: 100, max: 1_000 } });
    const waits: number[] = [];
    for (let i = 0; i < 6; i++) {
      await vi.advanceTimersByTimeAsync(waits.at(-1) ?? 0);
      stage.peer.lose();
      waits.push(stage.states.at(-1)!.after!);
    }
    expect(waits).toEqual([50, 100, 200, 400, 500, 500]);
    random.mockReturnValue(0);
    await vi.advanceTimersByTimeAsync(500);
    stage.peer.lose();
    expect(stage.states.at(-1)!.after).toBe(0); // full jitter: from nothing to everything
    random.mockRestore();
  });

  test('counts failures anew only after a connection that lasted', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(1);
    const stage = await connected({ backoff: { base: 100, max: 10_000 } });
    const lose = () => { stage.peer.lose(); return stage.states.at(-1)!.after; };
    expect(lose()).toBe(100);
    await stage.reopen();
    expect(lose(), 'it was open for a moment only').toBe(200);
    await stage.reopen();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(lose()).toBe(100);
    vi.mocked(Math.random).mockRestore();
  });

  test('resumes the session, and says whether it did', async () => {
    const stage = await connected();
    stage.peer.lose();
    expect(await stage.reopen()).toMatchObject({ type: 'connect', resume: 'r1' });
    expect(stage.states.at(-1)).toEqual({ state: 'open', resumed: true });
    stage.peer.lose();
    expect(await stage.reopen({ session: 's2' })).toMatchObject({ resume: 'r2' });
    expect(stage.states.at(-1)).toEqual({ state: 'open', resumed: false });
  });

  test('goes on with the session of an earlier client, and takes it back when that one has taken it', async () => {
    const stage = new Stage({ resume: 'r0' });
    await settle();
    expect(await stage.peer.open()).toMatchObject({ type: 'connect', resume: 'r0' });
    stage.peer.lose(4409);
    expect([stage.client.state, stage.client.session]).toEqual(['closed', undefined]);
    stage.client.connect();
    await settle();
    expect(await stage.peer.open()).toMatchObject({ resume: 'r1' });
  });

  test('obeys after in a disconnect', async () => {
    const stage = await connected();
    stage.peer.push({ type: 'disconnect', code: 'restart', message: 'the server restarts', reconnect: true, after: 1_500 });
    stage.peer.lose(1012);
    const error = { code: 'restart', message: 'the server restarts' };
    expect(stage.states.at(-1)).toMatchObject({ state: 'waiting', code: 1012, after: 1_500, error });
    stage.page.wake(); // however much the page wants it
    stage.client.connect();
    await vi.advanceTimersByTimeAsync(1_499);
    expect(stage.peers).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(stage.peers).toHaveLength(2);
  });

  test('obeys retry-after in a close reason', async () => {
    const stage = await connected();
    stage.peer.lose(1001, 'restart; retry-after=700ms');
    expect(stage.states.at(-1)).toMatchObject({ state: 'waiting', after: 700 });
    await vi.advanceTimersByTimeAsync(699);
    expect(stage.peers).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(stage.peers).toHaveLength(2);
  });

  test.each([
    [1000, true], [1001, true], [1002, true], [1006, true], [1008, false], [1009, true], [1011, true], [1012, true], [1013, true],
    [4400, false], [4401, false], [4403, false], [4408, true], [4409, false], [4503, true],
  ])('after close code %i: %s', async (code, again) => {
    const stage = await connected({ token: 'fixed' });
    stage.peer.lose(code, 'reason');
    expect(stage.states.at(-1)).toMatchObject({ state: again ? 'waiting' : 'closed', code, error: { message: 'reason' } });
    expect(stage.watching).toBe(again);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(stage.peers).toHaveLength(again ? 2 : 1);
  });

  test('is for the disconnect to say, where it says something', async () => {
    const stage = await connected();
    stage.peer.push({ type: 'disconnect', code: 'disconnected', message: 'later', reconnect: true, after: 10 });
    stage.peer.lose(4403);
    await stage.reopen();
    stage.peer.push({ type: 'disconnect', code: 'restart', message: 'moved away', reconnect: false });
    stage.peer.lose(1012);
    expect(stage.states.at(-1)).toMatchObject({ state: 'closed', error: { code: 'restart' } });
  });

  test('is possible after closed, with connect()', async () => {
    const stage = await connected();
    const sub = stage.client.subscribe('a');
    stage.peer.reply('subscribe', { epoch: 'e', offset: 3 });
    stage.client.close();
    expect(stage.peer.closed).toEqual({ code: 1000, reason: 'closed' });
    expect(stage.client.session).toBeUndefined();
    expect(sub.state).toBe('pending');
    stage.client.connect();
    const connect = await (await settle(), stage.peer.open());
    expect(connect.resume).toBeUndefined();
    expect(stage.peer.take('subscribe')).toMatchObject({ topic: 'a', since: { epoch: 'e', offset: 3 } });
  });

  test('happens too when connect is refused for the moment, and not when it is refused', async () => {
    const stage = new Stage();
    await settle();
    const refuse = async (code: string, retry?: number) => {
      stage.peer.opened = true;
      stage.peer.events.open();
      stage.peer.refuse('connect', code, retry);
    };
    await refuse('rate', 800);
    expect(stage.states.at(-1)).toMatchObject({ state: 'waiting', after: 800, error: { code: 'rate' } });
    await vi.advanceTimersByTimeAsync(800);
    await refuse('unavailable');
    expect(stage.states.at(-1)).toMatchObject({ state: 'waiting', error: { code: 'unavailable' } });
    await vi.advanceTimersByTimeAsync(3_000);
    await refuse('too-large');
    expect(stage.states.at(-1)).toMatchObject({ state: 'closed', error: { code: 'too-large', message: 'too-large!' } });
  });
});

describe('a connection that is half open', () => {
  test('is pinged as often as the server says, and lost when nothing comes for pongTimeout', async () => {
    const stage = await connected({ pongTimeout: 4_000 }, { ping: 10_000 });
    await vi.advanceTimersByTimeAsync(10_000);
    stage.peer.reply('ping');
    await vi.advanceTimersByTimeAsync(10_000);
    stage.peer.take('ping');
    await vi.advanceTimersByTimeAsync(3_999);
    expect(stage.client.state).toBe('open');
    await vi.advanceTimersByTimeAsync(1);
    expect(stage.states.at(-1)).toMatchObject({ state: 'waiting', code: 1006, error: { message: 'no sign of life within 4000 ms' } });
    expect(stage.peer.closed).toBeDefined();
  });

  test('is lost as soon as that even where it is pinged more often', async () => {
    const stage = await connected({ pongTimeout: 25_000 }, { ping: 10_000 });
    await vi.advanceTimersByTimeAsync(34_999);
    expect(stage.client.state).toBe('open');
    await vi.advanceTimersByTimeAsync(1);
    expect(stage.client.state).toBe('waiting');
  });

  test('is alive when anything comes', async () => {
    const stage = await connected({ pongTimeout: 4_000 }, { ping: 10_000 });
    await vi.advanceTimersByTimeAsync(13_000);
    stage.peer.message('a', 1);
    await vi.advanceTimersByTimeAsync(6_999);
    expect(stage.client.state).toBe('open');
  });

  test('is alive while an upload makes progress, and not longer', async () => {
    const stage = await connected({ pongTimeout: 4_000 }, { ping: 600_000 });
    outcome(stage.client.publish('a', new Uint8Array(160_000)));
    stage.peer.buffered = 160_000;
    await vi.advanceTimersByTimeAsync(600_000);
    for (let left = 120_000; left >= 0; left -= 40_000) {
      stage.peer.buffered = left;
      await vi.advanceTimersByTimeAsync(14_100);
      expect(stage.client.state).toBe('open');
    }
    await vi.advanceTimersByTimeAsync(14_100);
    expect(stage.client.state).not.toBe('open');
  });

  test('is lost when an upload stands still', async () => {
    const stage = await connected({ pongTimeout: 4_000 }, { ping: 600_000 });
    outcome(stage.client.publish('a', new Uint8Array(160_000)));
    stage.peer.buffered = 160_000;
    await vi.advanceTimersByTimeAsync(614_100);
    expect(stage.client.state).not.toBe('open');
  });

  test('has longer when much was sent that nobody can see any more', async () => {
    const stage = await connected({ pongTimeout: 4_000 }, { ping: 600_000 });
    outcome(stage.client.publish('a', new Uint8Array(160_000)));
    await vi.advanceTimersByTimeAsync(600_000 + 13_999);
    expect(stage.client.state).toBe('open');
    stage.peer.message('a', 1);
    stage.page.check();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(stage.client.state).toBe('waiting');
  });
});

describe('a page', () => {
  test('that goes to sleep closes the connection, and resumes when it wakes', async () => {
    const stage = await connected();
    const sub = stage.client.subscribe('a');
    stage.peer.reply('subscribe', { epoch: 'e', offset: 7 });
    stage.page.sleep();
    expect(stage.peer.closed?.code, 'not 1000, which would end the session').toBe(4000);
    expect([stage.client.state, sub.state]).toEqual(['asleep', 'pending']);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(stage.peers).toHaveLength(1);
    const published = outcome(stage.client.publish('a', 1));
    stage.page.wake();
    await settle();
    expect(await stage.peer.open()).toMatchObject({ resume: 'r1' });
    expect(stage.peer.take('subscribe')).toMatchObject({ since: { epoch: 'e', offset: 7 } });
    stage.peer.reply('publish', { epoch: 'e', offset: 8 });
    await settle();
    expect(published.value).toMatchObject({ offset: 8 });
  });

  test('that wakes asks an open connection for a sign of life, with half the patience', async () => {
    const stage = await connected({ pongTimeout: 4_000 });
    stage.page.wake();
    stage.peer.reply('ping');
    stage.page.check();
    stage.peer.take('ping');
    await vi.advanceTimersByTimeAsync(2_000);
    expect(stage.client.state).toBe('waiting');
  });

  test('that wakes, or gets its network back, does not wait for the next attempt', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.9);
    const stage = new Stage({ backoff: { base: 30_000 } });
    await settle();
    stage.peer.lose();
    stage.page.check();
    await settle();
    expect(stage.peers).toHaveLength(1);
    stage.page.wake();
    await settle();
    expect(stage.peers).toHaveLength(2);
    stage.page.wake(); // an attempt is under way
    stage.page.check();
    expect(stage.peers).toHaveLength(2);
    vi.mocked(Math.random).mockRestore();
  });

  test('that wakes counts failures anew', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(1);
    const stage = new Stage({ backoff: { base: 100, max: 30_000 } });
    await settle();
    for (const after of [100, 200, 400]) {
      stage.peer.lose();
      expect(stage.states.at(-1)!.after).toBe(after);
      await vi.advanceTimersByTimeAsync(after);
    }
    stage.peer.lose();
    stage.page.wake();
    await settle();
    stage.peer.lose();
    expect(stage.states.at(-1)!.after).toBe(100);
    vi.mocked(Math.random).mockRestore();
  });

  test('that sleeps does not wake a closed client', async () => {
    const stage = await connected();
    stage.client.close();
    expect(stage.watching).toBe(false);
    stage.page.sleep();
    stage.page.wake();
    await settle();
    expect([stage.client.state, stage.peers.length]).toEqual(['closed', 1]);
  });
});

describe('what the server should not send', () => {
  test.each(['no json', '"text"', '{"id":1}', 'null'])('%s ends the connection', async (text) => {
    const stage = await connected();
    stage.peer.events.message(text);
    expect(stage.errors).toEqual(['bad-frame']);
    expect(stage.client.state).toBe('waiting');
  });

  test('an unknown type is ignored, and so is the answer to nothing', async () => {
    const stage = await connected();
    stage.peer.push({ type: 'weather' });
    stage.peer.push({ type: 'reply', id: 77 });
    stage.peer.push({ type: 'message', topic: 'not.mine', offset: 1 });
    stage.peer.push({ type: 'error', code: 'unknown-command', message: 'there is no command "subscirbe"' });
    expect(stage.client.state).toBe('open');
    expect(stage.errors).toEqual(['unknown-command']);
  });

  test('events of a connection that is given up are ignored', async () => {
    const stage = await connected();
    const old = stage.peer;
    stage.page.sleep();
    stage.page.wake();
    await settle();
    await stage.peer.open();
    old.events.message('no json');
    old.events.close(1008, '');
    expect(stage.client.state).toBe('open');
  });
});

test('an error of the client says what a machine and what a person needs', () => {
  const error = new DuplexError('rate', 'slower', 200);
  expect(error).toBeInstanceOf(Error);
  expect(String(error)).toBe('DuplexError: slower');
  expect([error.code, error.retry]).toEqual(['rate', 200]);
});
