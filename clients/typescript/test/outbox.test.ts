import { describe, expect, test, vi } from 'vitest';
import type { ClientOptions } from '../src/duplex-client.js';
import { connected, outcome, settle, Stage, type Peer } from './fake.js';

const ids = (peer: Peer) => peer.frames.map(({ messageId }) => messageId);
const data = (peer: Peer) => peer.frames.map(({ data }) => data);
/** Publishes values to a topic, and says what becomes of each. */
const publish = (stage: Stage, topic: string, ...values: unknown[]) => values.map((value) => outcome(stage.client.publish(topic, value)));

describe('publish', () => {
  test('resolves with the place of the message', async () => {
    const stage = await connected();
    const published = outcome(stage.client.publish('a', { text: 'hi' }, { key: 'k', echo: false, meta: { lang: 'en' }, messageId: 'm1' }));
    expect(stage.peer.reply('publish', { epoch: 'e', offset: 42, duplicate: true })).toEqual({
      type: 'publish', id: 2, topic: 'a', messageId: 'm1', key: 'k', echo: false, meta: { lang: 'en' }, data: { text: 'hi' },
    });
    await settle();
    expect(published.value).toEqual({ epoch: 'e', offset: 42, messageId: 'm1', duplicate: true });
  });

  test('rejects with the server\'s error', async () => {
    const stage = await connected();
    const [published] = publish(stage, 'a', 1);
    stage.peer.refuse('publish', 'forbidden');
    await settle();
    expect(published!.error).toMatchObject({ name: 'DuplexError', code: 'forbidden', message: 'forbidden!', retry: undefined });
  });

  test('makes ids that the protocol allows and that are never the same', async () => {
    const stage = await connected({ outbox: { messages: 64 } });
    publish(stage, 'a', ...Array(64).keys());
    const other = await connected();
    publish(other, 'a', ...Array(64).keys());
    const all = [...ids(stage.peer), ...ids(other.peer)];
    expect(new Set(all).size).toBe(128);
    for (const id of all) expect(id).toMatch(/^[\w.~-]{8,64}$/);
  });

  test('takes any JSON and bytes, as they are at the call', async () => {
    const stage = new Stage();
    const value = { text: 'before' };
    const bytes = new Uint8Array([9, 1, 2, 9]);
    publish(stage, 'a', null, 0, '', [], '图🎉\ud800', value, bytes.subarray(1, 3), new DataView(bytes.buffer, 1, 1), bytes.buffer);
    value.text = 'after';
    bytes[1] = 7;
    await settle();
    await stage.peer.open();
    expect(data(stage.peer)).toEqual([
      null, 0, '', [], '图🎉\ud800', { text: 'before' }, new Uint8Array([1, 2]), new Uint8Array([1]), new Uint8Array([9, 1, 2, 9]),
    ]);
  });

  test('refuses what is no JSON', async () => {
    const stage = await connected();
    const loop: Record<string, unknown> = {};
    loop.loop = loop;
    const refused = publish(stage, 'a', undefined, () => {}, loop, BigInt(1), new Blob([]));
    await settle();
    expect(refused.map(({ code }) => code)).toEqual(Array(5).fill('bad-request'));
    expect(refused.at(-1)!.error.message).toMatch(/await blob.arrayBuffer/);
    expect(stage.peer.frames).toEqual([]);
  });

  test('refuses what is larger than a frame', async () => {
    const stage = await connected({}, { limits: { frame: 1_000 } });
    const [text, wide, bytes, small] = publish(stage, 'a', 'x'.repeat(1_000), '图'.repeat(330), new Uint8Array(1_000), 'x'.repeat(800));
    await settle();
    expect([text!.code, wide!.code, bytes!.code, small!.code]).toEqual(['too-large', 'too-large', 'too-large', undefined]);
    expect(stage.peer.frames).toHaveLength(1);
  });

  test('rejects after close', async () => {
    const stage = await connected();
    const [waiting] = publish(stage, 'a', 1);
    stage.client.close();
    const [late] = publish(stage, 'a', 2);
    await settle();
    expect([waiting!.code, late!.code]).toEqual(['closed', 'closed']);
  });

  test('that is volatile goes now or never', async () => {
    const stage = new Stage();
    const offline = outcome(stage.client.publish('a', 1, { volatile: true }));
    await settle();
    await stage.peer.open();
    const lost = outcome(stage.client.publish('a', 2, { volatile: true }));
    const limited = outcome(stage.client.publish('a', 3, { volatile: true }));
    stage.peer.take('publish');
    stage.peer.refuse('publish', 'rate', 100);
    stage.peer.lose();
    await settle();
    expect([offline.code, lost.code, limited.code]).toEqual(['offline', 'unanswered', 'rate']);
    await stage.reopen();
    expect(stage.peer.frames).toEqual([]);
    publish(stage, 'a', ...Array(64).keys());
    const behind = outcome(stage.client.publish('a', 65, { volatile: true }));
    await settle();
    expect(behind.code).toBe('outbox-full');
  });

  test('that may wait for ever does not end at once', async () => {
    const stage = new Stage();
    const published = outcome(stage.client.publish('a', 1, { timeout: Infinity }));
    const asked = outcome(stage.client.presence('a', { timeout: 1e12 }));
    await settle();
    expect([published.code, asked.code]).toEqual([undefined, undefined]);
  });
});

describe('the outbox', () => {
  test('keeps what is published offline, and sends it in order', async () => {
    const stage = new Stage();
    publish(stage, 'a', 1, 2);
    publish(stage, 'b', 3);
    publish(stage, 'a', 4);
    await settle();
    await stage.peer.open();
    expect(data(stage.peer)).toEqual([1, 2, 3, 4]);
  });

  test('sends again what was not confirmed, with the same ids, and nothing else', async () => {
    const stage = await connected();
    const [first, second, third] = publish(stage, 'a', 1, 2, 3);
    const [, id2, id3] = ids(stage.peer);
    stage.peer.reply('publish', { epoch: 'e', offset: 1 });
    stage.peer.lose();
    const [fourth] = publish(stage, 'a', 4);
    await stage.reopen();
    expect(data(stage.peer)).toEqual([2, 3, 4]);
    expect(ids(stage.peer).slice(0, 2)).toEqual([id2, id3]);
    stage.peer.reply('publish', { epoch: 'e', offset: 2, duplicate: true });
    stage.peer.reply('publish', { epoch: 'e', offset: 3 });
    stage.peer.reply('publish', { epoch: 'e', offset: 4 });
    await settle();
    expect([first, second, third, fourth].map((one) => one!.value!.offset)).toEqual([1, 2, 3, 4]);
    expect(second!.value!.duplicate).toBe(true);
  });

  test.each<[string, ClientOptions['outbox'], unknown[]]>([
    ['messages', { messages: 2 }, [1, 2]],
    ['bytes', { bytes: 1_000 }, [1, 'x'.repeat(800)]],
  ])('is bounded in %s', async (_, outbox, values) => {
    const stage = new Stage({ outbox: outbox! });
    publish(stage, 'a', ...values);
    const [full] = publish(stage, 'a', 'x'.repeat(100));
    await settle();
    expect(full!.error).toMatchObject({ code: 'outbox-full', message: expect.stringMatching(/^2 messages of \d+ bytes wait/) });
    await stage.peer.open();
    stage.peer.reply('publish', { epoch: 'e', offset: 1 });
    stage.peer.reply('publish', { epoch: 'e', offset: 2 });
    publish(stage, 'a', 'there is room again');
    expect(data(stage.peer)).toEqual(['there is room again']);
  });

  test('is bounded in time', async () => {
    const stage = new Stage({ outbox: { age: 5_000 } });
    await settle();
    const [old] = publish(stage, 'a', 1);
    const short = outcome(stage.client.publish('a', 2, { timeout: 100 }));
    await vi.advanceTimersByTimeAsync(100);
    expect([old!.code, short.code]).toEqual([undefined, 'timeout']);
    await vi.advanceTimersByTimeAsync(4_900);
    expect(old!.code).toBe('timeout');
    await stage.peer.open();
    const [sent] = publish(stage, 'a', 3);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(sent!.code, 'nobody knows whether it arrived').toBe('unanswered');
  });

  test('does not send again what the server may no longer recognise', async () => {
    const stage = await connected();
    const [sent] = publish(stage, 'a', 'sent before');
    stage.page.sleep();
    const [kept] = publish(stage, 'a', 'never sent');
    await vi.advanceTimersByTimeAsync(111_000);
    stage.page.wake();
    await settle();
    await stage.peer.open();
    await settle();
    expect([sent!.code, kept!.code]).toEqual(['unanswered', undefined]);
    expect(data(stage.peer)).toEqual(['never sent']);
  });

  test('gives up a message that takes every connection with it', async () => {
    const stage = await connected();
    const [poison] = publish(stage, 'a', 'poison');
    for (let i = 0; i < 5; i++) {
      expect(data(stage.peer)).toEqual(['poison']);
      stage.peer.lose(1009);
      await stage.reopen();
    }
    await settle();
    expect(poison!.code).toBe('unanswered');
    expect(stage.peer.frames).toEqual([]);
  });

  test('has at most 64 messages under way', async () => {
    const stage = await connected();
    publish(stage, 'a', ...Array(100).keys());
    expect(stage.peer.frames).toHaveLength(64);
    stage.peer.reply('publish', { epoch: 'e', offset: 1 });
    expect(stage.peer.frames.at(-1)!.data).toBe(64);
    expect(stage.peer.frames).toHaveLength(64);
  });
});

describe('a rate that the server limits', () => {
  test('makes the messages of the topic wait, in order; other topics go on', async () => {
    const stage = await connected();
    const all = publish(stage, 'a', 1, 2, 3);
    stage.peer.reply('publish', { epoch: 'e', offset: 1 });
    stage.peer.refuse('publish', 'rate', 200);
    publish(stage, 'a', 4);
    stage.peer.refuse('publish', 'rate', 150);
    publish(stage, 'b', 5);
    expect(data(stage.peer)).toEqual([5]);
    stage.peer.reply('publish', { epoch: 'e', offset: 9 });
    await vi.advanceTimersByTimeAsync(199);
    expect(data(stage.peer)).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(data(stage.peer), 'one at a time, until those that were refused are through').toEqual([2]);
    stage.peer.reply('publish', { epoch: 'e', offset: 10 });
    expect(data(stage.peer)).toEqual([3, 4]);
    stage.peer.reply('publish', { epoch: 'e', offset: 11 });
    await settle();
    expect(all.map((one) => one.value?.offset)).toEqual([1, 10, 11]);
  });

  test('waits for those under way before it sends what was refused', async () => {
    const stage = await connected();
    publish(stage, 'a', 1, 2);
    const [one, two] = stage.peer.frames.splice(0);
    stage.peer.push({ type: 'error', id: one!.id, code: 'rate', message: '', retry: 10 });
    await vi.advanceTimersByTimeAsync(10);
    expect(stage.peer.frames).toEqual([]);
    stage.peer.push({ type: 'error', id: two!.id, code: 'rate', message: '', retry: 10 });
    await vi.advanceTimersByTimeAsync(10);
    stage.peer.reply('publish', { epoch: 'e', offset: 1 });
    stage.peer.reply('publish', { epoch: 'e', offset: 2 });
  });

  test('rejects what was overtaken', async () => {
    const stage = await connected();
    const [one, two] = publish(stage, 'a', 1, 2);
    publish(stage, 'b', 3);
    stage.peer.refuse('publish', 'rate', 100);
    stage.peer.reply('publish', { epoch: 'e', offset: 1 });
    await settle();
    expect([one!.code, one!.error.retry, two!.value!.offset]).toEqual(['rate', 100, 1]);
    stage.peer.take('publish');
    await vi.advanceTimersByTimeAsync(100);
    expect(stage.peer.frames).toEqual([]);
  });

  test('rejects what may have been overtaken when the connection was lost', async () => {
    const stage = await connected({ backoff: { base: 0 } });
    const [one, two] = publish(stage, 'a', 1, 2);
    const other = publish(stage, 'b', 3)[0]!;
    stage.peer.refuse('publish', 'rate', 100);
    stage.peer.lose();
    await stage.reopen();
    await vi.advanceTimersByTimeAsync(100);
    expect(data(stage.peer)).toEqual([3, 2]);
    stage.peer.reply('publish', { epoch: 'e', offset: 2 });
    stage.peer.reply('publish', { epoch: 'e', offset: 1, duplicate: true });
    await settle();
    expect([one!.code, two!.value!.duplicate, other.value!.offset]).toEqual(['rate', true, 2]);
  });

  test('is respected over a reconnect', async () => {
    const stage = await connected({ backoff: { base: 0 } });
    publish(stage, 'a', 1);
    stage.peer.refuse('publish', 'rate', 500);
    stage.peer.lose();
    await stage.reopen();
    expect(stage.peer.frames).toEqual([]);
    await vi.advanceTimersByTimeAsync(500);
    expect(data(stage.peer)).toEqual([1]);
  });
});

describe('a message that the server cannot make sure of', () => {
  test('goes out again with the same id, and before those behind it', async () => {
    const stage = await connected();
    const [one] = publish(stage, 'a', 1);
    const [id] = ids(stage.peer);
    stage.peer.refuse('publish', 'unavailable');
    const [two] = publish(stage, 'a', 2);
    publish(stage, 'b', 3);
    await vi.advanceTimersByTimeAsync(999);
    expect(data(stage.peer)).toEqual([3]);
    stage.peer.reply('publish', { epoch: 'e', offset: 1 });
    await vi.advanceTimersByTimeAsync(1);
    expect([data(stage.peer), ids(stage.peer)]).toEqual([[1], [id]]);
    stage.peer.refuse('publish', 'unavailable', 3_000);
    await vi.advanceTimersByTimeAsync(3_000);
    stage.peer.reply('publish', { epoch: 'e', offset: 2, duplicate: true });
    stage.peer.reply('publish', { epoch: 'e', offset: 3 });
    await settle();
    expect([one!.value, two!.value!.offset]).toEqual([{ epoch: 'e', offset: 2, messageId: id, duplicate: true }, 3]);
  });

  test('goes out again on the next connection', async () => {
    const stage = await connected({ backoff: { base: 0 } });
    const [one] = publish(stage, 'a', 1);
    stage.peer.refuse('publish', 'unavailable', 500);
    stage.peer.lose();
    await stage.reopen();
    await vi.advanceTimersByTimeAsync(500);
    stage.peer.reply('publish', { epoch: 'e', offset: 1 });
    await settle();
    expect(one!.value!.offset).toBe(1);
  });

  test('is given up when the server may not know its id any more', async () => {
    const stage = await connected({}, { ping: 1_000_000 });
    const [one] = publish(stage, 'a', 1);
    for (let i = 0; i < 11; i++) {
      stage.peer.refuse('publish', i === 5 ? 'rate' : 'unavailable', 10_000);
      await vi.advanceTimersByTimeAsync(10_000);
    }
    stage.peer.refuse('publish', 'unavailable', 10_000);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(one!.error).toMatchObject({ code: 'unanswered', message: 'the server could not make sure of the message: unavailable!' });
    expect(stage.peer.frames).toEqual([]);
  });

  test('is given up when a later one was accepted', async () => {
    const stage = await connected();
    const [one, two] = publish(stage, 'a', 1, 2);
    stage.peer.refuse('publish', 'unavailable');
    stage.peer.reply('publish', { epoch: 'e', offset: 1 });
    await settle();
    expect([one!.code, two!.value!.offset]).toEqual(['unanswered', 1]);
  });

  test('is told at once if it is volatile', async () => {
    const stage = await connected();
    const one = outcome(stage.client.publish('a', 1, { volatile: true }));
    stage.peer.refuse('publish', 'unavailable');
    await settle();
    expect(one.code).toBe('unavailable');
  });
});

test('a message without a place in the line has offset 0', async () => {
  const stage = await connected();
  const [one] = publish(stage, 'a', 1);
  stage.peer.reply('publish', { epoch: 'e' });
  await settle();
  expect(one!.value).toMatchObject({ epoch: 'e', offset: 0 });
});
