import { describe, expect, test, vi } from 'vitest';
import { connected, settle, Stage } from './fake.js';

const hour = 3_600_000;
/** A callback that makes t1, t2 and so on, and counts. */
const tokens = () => {
  let count = 0;
  return vi.fn(() => `t${++count}`);
};

describe('a token', () => {
  test('is fetched for the first connection, and kept for the next ones', async () => {
    const token = vi.fn(() => Promise.resolve('t'));
    const stage = await connected({ token }, { expires: Date.now() + hour });
    stage.peer.lose();
    expect((await stage.reopen()).token).toBe('t');
    expect(token).toHaveBeenCalledTimes(1);
  });

  test('may be missing', async () => {
    const stage = new Stage({ token: () => undefined });
    await settle();
    expect(await stage.peer.open()).toEqual({ type: 'connect', id: 1 });
  });

  test.each([
    ['a minute before', hour, hour - 60_000],
    ['a fifth of its life before', 10_000, 8_000],
  ])('is refreshed %s it expires', async (_, life, after) => {
    const stage = await connected({ token: tokens() }, { expires: Date.now() + life, ping: hour * 9 });
    await vi.advanceTimersByTimeAsync(after - 1);
    expect(stage.peer.frames).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(stage.peer.reply('refresh', { expires: Date.now() + life })).toMatchObject({ token: 't2' });
    await vi.advanceTimersByTimeAsync(after);
    expect(stage.peer.reply('refresh', { expires: Date.now() + life })).toMatchObject({ token: 't3' });
  });

  test('is refreshed by the server\'s clock, however wrong ours is', async () => {
    const server = Date.now() + 5 * hour;
    const stage = await connected({ token: tokens() }, { expires: server + hour, time: server, ping: hour * 9 });
    await vi.advanceTimersByTimeAsync(hour - 60_001);
    expect(stage.peer.frames).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    stage.peer.take('refresh');
  });

  test('that lives longer than a timer can be set is no trouble', async () => {
    const day = 24 * hour;
    const stage = await connected({ token: tokens() }, { expires: Date.now() + 40 * day, ping: 24 * day });
    await vi.advanceTimersByTimeAsync(24 * day);
    stage.peer.reply('ping');
    await vi.advanceTimersByTimeAsync(16 * day - 60_001);
    expect(stage.peer.frames).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    stage.peer.take('refresh');
  });

  test('that cannot be fetched is asked for again', async () => {
    const token = tokens();
    const stage = await connected({ token }, { expires: Date.now() + hour, ping: hour * 9 });
    token.mockImplementationOnce(() => { throw new Error('the login service is down'); });
    await vi.advanceTimersByTimeAsync(hour - 60_000);
    expect(stage.errors).toEqual(['token-expired']);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(stage.peer.refuse('refresh', 'token-invalid')).toMatchObject({ token: 't2' });
    expect(stage.errors).toEqual(['token-expired', 'token-invalid']);
  });

  test('that cannot be fetched for a connection makes it wait', async () => {
    const token = vi.fn().mockRejectedValueOnce(new Error('offline')).mockResolvedValue('t');
    const stage = new Stage({ token });
    await settle();
    expect([stage.client.state, stage.errors, stage.peers.length]).toEqual(['waiting', ['offline'], 0]);
    expect((await stage.reopen()).token).toBe('t');
  });

  test('that never comes does not hold up more than one attempt', async () => {
    const token = vi.fn().mockReturnValueOnce(new Promise(() => {})).mockResolvedValue('t');
    const stage = new Stage({ token, connectTimeout: 1_000 });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(stage.client.state).toBe('waiting');
    expect((await stage.reopen()).token).toBe('t');
  });
});

describe('a refused token', () => {
  test('is replaced once, at once', async () => {
    const stage = new Stage({ token: tokens() });
    await settle();
    stage.peer.opened = true;
    stage.peer.events.open();
    expect(stage.peer.refuse('connect', 'token-expired').token).toBe('t1');
    expect(stage.states.at(-1)).toMatchObject({ state: 'waiting', code: 4401, after: 0 });
    await settle();
    stage.peer.opened = true;
    stage.peer.events.open();
    expect(stage.peer.refuse('connect', 'token-invalid').token).toBe('t2');
    expect(stage.states.at(-1)).toMatchObject({ state: 'closed', code: 4401, error: { code: 'token-invalid' } });
  });

  test('in the middle of a connection is replaced; after a good while, once more', async () => {
    const stage = await connected({ token: tokens() });
    for (const [code, after, next] of [['token-expired', 0, 't2'], ['token-revoked', 1_100, 't3']] as const) {
      await vi.advanceTimersByTimeAsync(5_000);
      stage.peer.push({ type: 'disconnect', code, message: 'no longer' });
      stage.peer.lose(4401);
      expect(stage.states.at(-1)).toMatchObject({ state: 'waiting', after, error: { code } });
      expect((await stage.reopen()).token).toBe(next);
    }
    stage.peer.lose(4401, 'token-revoked');
    expect(stage.client.state, 'refused at once').toBe('closed');
  });

  test('that was given as it is ends it', async () => {
    const stage = await connected({ token: 'fixed' });
    await vi.advanceTimersByTimeAsync(10_000);
    stage.peer.lose(4401, 'token-expired');
    expect(stage.states.at(-1)).toMatchObject({ state: 'closed', code: 4401 });
  });

  test('after sleep is fetched anew when it has expired meanwhile', async () => {
    const stage = await connected({ token: tokens() }, { expires: Date.now() + hour });
    stage.page.sleep();
    await vi.advanceTimersByTimeAsync(2 * hour);
    stage.page.wake();
    await settle();
    expect((await stage.peer.open()).token).toBe('t2');
  });
});
