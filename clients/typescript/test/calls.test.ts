import { describe, expect, test, vi } from 'vitest';
import { connected, outcome, settle, Stage } from './fake.js';

describe('request', () => {
  test('gives the answer, JSON or bytes', async () => {
    const stage = await connected();
    const json = outcome(stage.client.request('orders.create', { item: 'tea' }, { timeout: 5_000 }));
    const bytes = outcome(stage.client.request('thumbnail', new Uint8Array([7])));
    const nothing = outcome(stage.client.request('now'));
    expect(stage.peer.reply('request', { data: { order: 17 } }))
      .toEqual({ type: 'request', id: 2, method: 'orders.create', timeout: 5_000, data: { item: 'tea' } });
    const [second, third] = stage.peer.frames;
    expect([second!.data, third!.data]).toEqual([new Uint8Array([7]), null]);
    stage.peer.push({ type: 'reply', id: third!.id, data: null }); // they come when they are ready
    stage.peer.push({ type: 'reply', id: second!.id, data: new Uint8Array([8]) });
    await settle();
    expect([json.value, bytes.value, nothing.value]).toEqual([{ order: 17 }, new Uint8Array([8]), null]);
  });

  test('rejects with the handler\'s error', async () => {
    const stage = await connected();
    const refused = outcome(stage.client.request('orders.create'));
    stage.peer.refuse('request', 'orders.sold-out');
    await settle();
    expect(refused.code).toBe('orders.sold-out');
  });

  test('rejects when there is no answer in time, connected or not', async () => {
    const stage = new Stage();
    const offline = outcome(stage.client.request('m', 1, { timeout: 500 }));
    await vi.advanceTimersByTimeAsync(500);
    await stage.peer.open();
    const silent = outcome(stage.client.request('m', 2));
    stage.peer.take('request');
    await vi.advanceTimersByTimeAsync(9_999);
    expect([offline.code, silent.code]).toEqual(['timeout', undefined]);
    await vi.advanceTimersByTimeAsync(1);
    expect(silent.code).toBe('timeout');
  });

  test('is not sent twice, unless that is asked for', async () => {
    const stage = await connected();
    const once = outcome(stage.client.request('once'));
    const often = outcome(stage.client.request('often', 1, { resend: true }));
    stage.peer.lose();
    const later = outcome(stage.client.request('later'));
    await stage.reopen();
    expect(stage.peer.frames.map(({ method }) => method)).toEqual(['often', 'later']);
    stage.peer.reply('request', { data: 1 });
    stage.peer.reply('request', { data: 2 });
    await settle();
    expect([once.code, often.value, later.value]).toEqual(['disconnected', 1, 2]);
  });

  test('refuses what cannot be sent, and what is too large', async () => {
    const stage = await connected({}, { limits: { frame: 500 } });
    const wrong = outcome(stage.client.request('m', () => {}));
    const large = outcome(stage.client.request('m', 'x'.repeat(500)));
    await settle();
    expect([wrong.code, large.code]).toEqual(['bad-request', 'too-large']);
    expect(stage.peer.frames).toEqual([]);
  });

  test('rejects when the client is closed, before or while it waits', async () => {
    const stage = await connected();
    const waiting = outcome(stage.client.request('m'));
    stage.client.close();
    const late = outcome(stage.client.request('m'));
    await settle();
    expect([waiting.code, late.code]).toEqual(['closed', 'closed']);
  });
});

describe('history', () => {
  test('collects the messages of a page', async () => {
    const stage = await connected();
    const page = outcome(stage.client.history('a', { limit: 2, before: 42, epoch: 'e' }));
    const { id } = stage.peer.take('history');
    stage.peer.message('a', 40, { reply: id! });
    stage.peer.message('a', 41, { reply: id! });
    stage.peer.push({ type: 'reply', id, epoch: 'e', messages: 2, more: true } as never);
    await settle();
    expect(page.value).toEqual({
      messages: [{ topic: 'a', offset: 40, time: 1, data: 40 }, { topic: 'a', offset: 41, time: 1, data: 41 }],
      epoch: 'e', more: true, lost: false,
    });
  });

  test('begins anew on another connection', async () => {
    const stage = await connected();
    const page = outcome(stage.client.history('a', { after: 12 }));
    stage.peer.message('a', 13, { reply: stage.peer.take('history').id! });
    stage.peer.lose();
    await stage.reopen();
    const again = stage.peer.take('history');
    expect(again).toMatchObject({ topic: 'a', after: 12 });
    stage.peer.message('a', 13, { reply: again.id! });
    stage.peer.push({ type: 'reply', id: again.id, epoch: 'e', lost: true });
    await settle();
    expect(page.value).toMatchObject({ messages: [{ offset: 13 }], more: false, lost: true });
  });

  test('rejects with the server\'s error', async () => {
    const stage = await connected();
    const page = outcome(stage.client.history('a'));
    stage.peer.refuse('history', 'no-history');
    await settle();
    expect(page.code).toBe('no-history');
  });
});

test('presence says who is there', async () => {
  const stage = await connected();
  const presence = outcome(stage.client.presence('a'));
  stage.peer.reply('presence', { count: 1, connections: 2, users: [{ user: 'ann', connections: 2 }] });
  await settle();
  expect(presence.value).toEqual({ count: 1, connections: 2, users: [{ user: 'ann', connections: 2 }] });
});
