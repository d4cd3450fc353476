// The platforms over real sockets: `ws` in Node, and mini-programs.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { Client, type ClientOptions, type Message } from '../src/duplex-client.js';
import { Device, inside } from './device.js';
import { Toy, until } from './toy.js';

let toy: Toy;
const clients: Client[] = [];

beforeEach(async () => { toy = await Toy.start(); });
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await toy.stop();
});

/** A client that hurries. */
function connect(options: ClientOptions, Constructor = Client): Client {
  const client = new Constructor(toy.url, { backoff: { base: 20, max: 20 }, ...options });
  clients.push(client);
  return client;
}

/** Subscribes, publishes text and bytes, loses the connection, and gets everything once. */
async function everything(client: Client): Promise<void> {
  const messages: Message[] = [];
  const sub = client.subscribe('t', { onMessage: (message) => messages.push(message) });
  expect(await sub.ready).toEqual({ epoch: 'e', offset: 0 });
  expect(await client.publish('t', { text: '图🎉' })).toMatchObject({ offset: 1 });
  expect(await client.publish('t', new Uint8Array([9, 1, 2]).subarray(1))).toMatchObject({ offset: 2 });
  const lost = new Promise<void>((resolve) => { client.on('state', () => resolve()); }); // it may be back before anybody looks
  for (const socket of toy.sockets) socket.terminate();
  await lost;
  toy.publish('t', 'missed');
  await client.publish('t', 'queued');
  await until(() => messages.length >= 4);
  expect(messages.map(({ data }) => (typeof data === 'object' && 'length' in data! ? [...data as Uint8Array] : data)))
    .toEqual([{ text: '图🎉' }, [1, 2], 'missed', 'queued']);
  expect([...await client.request<Uint8Array>('echo', new Uint8Array([7, 8]).buffer)]).toEqual([7, 8]);
  client.close();
  await until(() => toy.closes.length === 2);
  expect(toy.closes[1]).toEqual({ code: 1000, reason: 'closed' });
}

describe('ws in Node', () => {
  test('does everything', async () => {
    await everything(connect({ WebSocket }));
  });

  test('is given up while it connects', async () => {
    const client = connect({ WebSocket });
    client.close();
    await until(() => toy.sockets.size === 0);
    expect(client.state).toBe('closed');
  });

  test('that is not there is an error that says so', async () => {
    vi.stubGlobal('WebSocket', undefined);
    const client = connect({});
    const error = await new Promise<Error>((resolve) => { client.on('error', resolve); });
    expect(error).toMatchObject({ code: 'offline', message: expect.stringMatching(/give one with the option WebSocket/) });
    vi.unstubAllGlobals();
  });
});

describe.each(['wechat', 'uni'] as const)('a mini-program of %s', (style) => {
  async function program() {
    const device = new Device(style);
    const module = await inside(style === 'wechat' ? { wx: device.api } : { uni: device.api });
    const platform = style === 'wechat' ? module.wechat : module.uniApp;
    return { device, client: (options: ClientOptions = {}) => connect({ platform: platform(), ...options }, module.Client) };
  }

  test('does everything, with nothing but the language', async () => {
    const { client, device } = await program();
    await everything(client());
    await until(() => device.tasks.size === 0);
    expect(device.listeners).toBe(0);
  });

  test('comes back at once from the background', async () => {
    const { client, device } = await program();
    const one = client({ backoff: { base: 600_000, max: 600_000 } });
    await one.publish('t', 1);
    device.hide();
    await until(() => one.state === 'waiting');
    device.show();
    await one.publish('t', 2);
    expect(toy.connections).toBe(2);
  });

  test('cannot connect in the background, and does when it is back', async () => {
    const { client, device } = await program();
    device.background = true;
    const one = client({ backoff: { base: 600_000, max: 600_000 } });
    const errors: string[] = [];
    one.on('state', ({ error }) => { if (error) errors.push(error.message); });
    await until(() => one.state === 'waiting');
    expect(errors).toEqual(['connectSocket:fail interrupted']);
    device.show();
    await one.publish('t', 1);
  });

  test('has five connections, and the sixth client waits for one of them', async () => {
    const { client, device } = await program();
    const five = Array.from({ length: 5 }, () => client());
    await Promise.all(five.map((one) => one.publish('t', 1)));
    const sixth = client();
    await until(() => sixth.state === 'waiting');
    five[0]!.close();
    expect(await sixth.publish('t', 2)).toMatchObject({ offset: 6 });
    expect(device.tasks.size).toBe(5);
  });

  test('leaves no connection behind that was closed before it was open', async () => {
    const { client, device } = await program();
    for (let i = 0; i < 5; i++) {
      const one = client();
      await until(() => device.tasks.size === 1);
      one.close();
      await until(() => device.tasks.size === 0);
    }
    expect(toy.closes.every(({ code }) => code === 1000)).toBe(true);
  });
});
