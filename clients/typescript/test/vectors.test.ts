// The examples of docs/protocol.md: each "client" one is what the client sends when its user wants that, each "server" one is understood.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { decode, encode, sizeOf, type Frame } from '../src/codec.js';
import type { Client } from '../src/duplex-client.js';
import { connected, outcome, settle, Stage } from './fake.js';

const text = readFileSync(path.resolve(import.meta.dirname, '../../../docs/protocol.md'), 'utf8');
const blocks = [...text.matchAll(/^```(json|hex) (client|server)\n(.*?)\n```$/gms)]
  .map(([, format, side, body]) => ({ format: format!, side: side!, body: body! }));
const bytesOf = (hex: string) => Uint8Array.from(hex.match(/../g)!, (byte) => parseInt(byte, 16));
const frameOf = ({ format, body }: { format: string; body: string }) => decode(format === 'json' ? body : bytesOf(body).buffer);
const of = (side: string) => blocks.filter((block) => block.side === side);

test('there are as many examples as there should be', () => {
  expect(of('client').length).toBeGreaterThanOrEqual(12);
  expect(of('server').length).toBeGreaterThanOrEqual(20);
});

describe('on the wire', () => {
  test.each(blocks.map((block, i) => ({ name: `${i}: ${block.side} ${frameOf(block).type}`, block })))('$name', ({ block }) => {
    const encoded = encode(frameOf(block));
    if (block.format === 'json') {
      expect(JSON.parse(encoded as string)).toEqual(JSON.parse(block.body));
      expect(sizeOf(encoded)).toBe(Buffer.byteLength(block.body));
    } else {
      expect(Buffer.from(encoded as ArrayBuffer).toString('hex')).toBe(block.body);
    }
  });

  test('text outside ASCII goes through the header of a binary frame', () => {
    const frame = { type: 'publish', topic: '图.🎉.é', meta: { name: 'z\u0000\ud7ff\ue000\uffff' }, data: new Uint8Array([0, 255]) };
    const encoded = encode(frame) as ArrayBuffer;
    expect(decode(encoded)).toEqual(frame);
    const length = new DataView(encoded).getUint16(0);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(encoded, 2, length)));
    expect(header).toEqual({ type: 'publish', topic: frame.topic, meta: frame.meta });
  });

  test('sizes are those of UTF-8', () => {
    for (const sample of ['', 'abc', 'é', '图', '🎉', 'a\u07ff\u0800\ud7ff\ue000\uffff🎉🎉']) {
      expect(sizeOf(sample), sample).toBe(Buffer.byteLength(sample));
    }
  });

  test.each(['', '00', '0005', '00057b7d', '00027b7d', '0003ff7b7d', '00087b2261223aff7d'])('bytes %s are no frame', (hex) => {
    expect(() => decode(bytesOf(hex || '0').buffer.slice(0, hex.length / 2))).toThrow();
  });

  test('null is a field that is absent, except for data', () => {
    expect(decode('{"type":"message","key":null,"from":null,"data":null}')).toEqual({ type: 'message', data: null });
  });

  test('a header that is too long is refused', () => {
    expect(() => encode({ type: 'publish', meta: { long: 'x'.repeat(66_000) }, data: new ArrayBuffer(1) })).toThrow(/65,535/);
  });
});

/** What the user of a client does to have each example sent. */
const deeds: Record<string, (client: Client, frame: any) => unknown> = {
  subscribe: (client, { topic, since, last, presence }) => client.subscribe(topic, { since, last, presence }),
  unsubscribe: (client, { topic }) => client.subscribe(topic).unsubscribe(),
  publish: (client, { topic, data, messageId, key, echo, meta }) => client.publish(topic, data, { messageId, key, echo, meta }),
  history: (client, { topic, limit, before, after, epoch }) => client.history(topic, { limit, before, after, epoch }),
  presence: (client, { topic }) => client.presence(topic),
  request: (client, { method, timeout, data }) => client.request(method, data, { timeout }),
};

describe('what the client sends', () => {
  test.each(of('client').map((block) => ({ example: frameOf(block) })))('$example.type $example.id', async ({ example }) => {
    let sent: Frame | undefined;
    if (example.type === 'connect') {
      const first = new Stage({ token: example.token!, info: example.info! });
      await settle();
      await first.peer.open({ resume: example.resume! });
      first.peer.lose();
      sent = await first.reopen();
    } else if (example.type === 'refresh') {
      const stage = await connected({ token: () => example.token }, { expires: Date.now() + 10_000 });
      await vi.advanceTimersByTimeAsync(8_000);
      sent = stage.peer.take('refresh');
    } else if (example.type === 'ping') {
      const stage = await connected({}, { ping: 1_000 });
      await vi.advanceTimersByTimeAsync(1_000);
      sent = stage.peer.take('ping');
    } else {
      const stage = await connected();
      outcome(Promise.resolve(deeds[example.type]!(stage.client, example)));
      sent = stage.peer.frames.at(-1)!;
    }
    const { messageId, ...rest } = sent;
    expect({ ...rest, ...(example.messageId && { messageId }) }).toEqual({ ...example, id: sent.id });
  });
});

describe('what the server sends', () => {
  const examples = of('server').map(frameOf);
  const pick = (test: (frame: Frame) => unknown) => {
    const found = examples.filter(test);
    expect(found.length, 'the example is still there').toBeGreaterThan(0);
    return found;
  };

  test('connect is answered', async () => {
    const [reply] = pick((frame) => frame.session);
    const stage = await connected({}, reply);
    expect(stage.client.session).toEqual({
      session: '8f2kq0a1', user: 'ann', resume: reply!.resume, expires: reply!.expires, limits: reply!.limits,
    });
    stage.peer.lose();
    expect((await stage.reopen()).resume).toBe(reply!.resume);
  });

  test('subscribe is answered, and brings messages, joins, leaves, gaps and its end', async () => {
    const stage = await connected();
    for (const topic of ['chat.lobby', 'quotes.>', 'files.a']) {
      const log: unknown[] = [];
      stage.client.subscribe(topic, {
        since: { epoch: 'k3f9', offset: 0 },
        onMessage: (message) => log.push(message), onGap: (gap) => log.push(gap), onJoin: (who) => log.push('join', who),
        onLeave: (who) => log.push('leave', who), onState: ({ state, error }) => log.push(state, error?.code),
      });
      const [confirmed] = pick((frame) => frame.recovered !== undefined);
      stage.peer.reply('subscribe', { ...confirmed!, id: stage.peer.frames[0]!.id, offset: 0 });
      const pushes = pick((frame) => !frame.reply && !frame.id && (frame.sub ?? frame.topic) === topic || frame.sub === topic);
      for (const push of pushes) stage.peer.push(push);
      expect(log.splice(0)).toEqual(['live', undefined, ...pushes.flatMap(({ type, sub, code, message, ...fields }) => {
        const { topic: _, ...who } = fields;
        return type === 'unsubscribed' ? ['ended', code] : type === 'join' || type === 'leave' ? [type, who] : [fields];
      })]);
    }
  });

  test('publish is answered', async () => {
    const stage = await connected();
    for (const answer of pick((frame) => frame.type === 'reply' && frame.id === 5)) {
      const published = outcome(stage.client.publish('chat.lobby', 1, { messageId: '3e0f5a7c' }));
      stage.peer.push({ ...answer, id: stage.peer.take('publish').id });
      await settle();
      const { type, id, ...place } = answer;
      expect(published.value).toEqual({ ...place, messageId: '3e0f5a7c' });
    }
  });

  test('history, presence and requests are answered', async () => {
    const stage = await connected();
    const answers = async (id: number, call: Promise<unknown>) => {
      const asked = outcome(call);
      const sent = stage.peer.frames.pop()!;
      for (const frame of pick((one) => one.id === id || one.reply === id)) {
        stage.peer.push({ ...frame, ...(frame.id ? { id: sent.id } : { reply: sent.id! }) });
      }
      await settle();
      return asked.value;
    };
    expect(await answers(7, stage.client.history('chat.lobby'))).toEqual({
      messages: [{ topic: 'chat.lobby', offset: 41, time: 1763726400000, from: { user: 'ann' }, data: { text: 'hello' } }],
      epoch: 'k3f9', more: false, lost: false,
    });
    expect(await answers(9, stage.client.presence('chat.lobby'))).toEqual({
      count: 2, connections: 3, users: [{ user: 'ann', info: { name: 'Ann' }, connections: 2 }, { user: 'bob', connections: 1 }],
    });
    expect(await answers(10, stage.client.request('orders.create'))).toEqual({ order: 17 });
  });

  test('errors are reported where they belong', async () => {
    const stage = await connected();
    const [rate] = pick((frame) => frame.type === 'error' && frame.id);
    const refused = outcome(stage.client.publish('chat.lobby', 1, { volatile: true }));
    stage.peer.push({ ...rate!, id: stage.peer.take('publish').id });
    await settle();
    expect(refused.error).toMatchObject({ code: 'rate', message: rate!.message, retry: 200 });
    const [general] = pick((frame) => frame.type === 'error' && !frame.id);
    stage.peer.push(general!);
    expect(stage.errors).toEqual([general!.code]);
  });

  test('disconnect says when to come back', async () => {
    const stage = await connected();
    stage.peer.push(pick((frame) => frame.type === 'disconnect')[0]!);
    stage.peer.lose(1012);
    expect(stage.states.at(-1)).toMatchObject({ state: 'waiting', after: 1_500, error: { code: 'restart' } });
  });
});
