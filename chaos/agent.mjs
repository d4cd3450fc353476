// The agent with clients in TypeScript: agent.go says what an agent is told and tells.
//
//   node agent.mjs REPOSITORY

import { setMaxListeners } from 'node:events';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';
import { pathToFileURL } from 'node:url';

const repository = process.argv[2];
const { WebSocket } = createRequire(path.join(repository, 'clients/typescript/package.json'))('ws');
const { Client } = await import(pathToFileURL(path.join(repository, 'web/duplex-client.js')));

const WINDOW = 8; // publications on their way
const PATIENCE = 60_000; // for one publication; servers know an id for 2 minutes
const RETRY = 300;
const STATUS = 250;
const LAST = 'last-'; // begins the id of a last message

/** Numbers that look random, the same for the same seed. */
function chance(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const reason = (error) => `${error.code ?? 'other'}: ${error.message}`;
const wait = (ms, signal) => new Promise((resolve) => {
  const done = () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', done);
    resolve();
  };
  const timer = setTimeout(done, signal?.aborted ? 0 : ms);
  signal?.addEventListener('abort', done);
});

/** A client of the TypeScript library with a log. */
class LoggedClient {
  online = false;
  begun = 0;
  onTheWay = 0;
  acked = 0;
  delivered = 0;

  constructor(dir, spec) {
    this.spec = spec;
    this.log = fs.createWriteStream(path.join(dir, `${spec.name}.jsonl`));
    this.log.on('error', (error) => { console.error(error); process.exitCode = 1; });
    this.ended = new Map(spec.subs.map(({ topic }) => [topic, new Set()]));
    this.positions = new Map();
    this.random = chance(spec.seed);
    this.connect();
  }

  write(line) {
    this.log.write(JSON.stringify({ t: Date.now(), ...line }) + '\n');
  }

  connect() {
    const { url, token, subs } = this.spec;
    const client = this.client = new Client(url, {
      token, WebSocket, backoff: { base: 200, max: 2_000 }, connectTimeout: 5_000,
    });
    client.on('state', ({ state, error }) => {
      if (client !== this.client) return;
      this.online = state === 'open';
      this.write({ k: 'state', text: this.online ? 'online' : error ? `${state}: ${error.message}` : state });
      if (state === 'closed' && !leaving) this.write({ k: 'fault', text: `closed for good: ${reason(error ?? {})}` });
    });
    client.on('error', (error) => this.write({ k: 'state', text: `error: ${reason(error)}` }));
    for (const { topic } of subs) this.follow(client, topic);
  }

  /** What happens when a program with this client is started again: what it has not heard of is lost to it. */
  restart() {
    const old = this.client;
    this.connect();
    old.close();
  }

  /** Writes down what a subscription is told. */
  follow(client, sub) {
    let live = 0;
    const subscription = client.subscribe(sub, {
      since: this.positions.get(sub),
      onState: ({ state, position, recovered, error }) => {
        if (client !== this.client) return;
        if (state === 'ended') this.write({ k: 'fault', text: `the subscription of ${sub} ended: ${reason(error ?? {})}` });
        if (state !== 'live') return;
        if (this.positions.has(sub)) this.write({ k: 'resumed', sub, at: position, recovered });
        else {
          this.begun++;
          this.write({ k: 'begin', sub, at: position });
        }
        if (!this.positions.has(sub) || recovered) this.positions.set(sub, subscription.position);
        live++;
      },
      onMessage: ({ topic, offset, messageId, data }) => {
        if (client !== this.client) return;
        const at = { epoch: subscription.position.epoch, offset };
        this.positions.set(sub, at);
        this.delivered++;
        this.write({ k: 'message', sub, topic, at, id: messageId });
        if (data !== messageId) this.write({ k: 'fault', text: `the data of ${messageId} are ${JSON.stringify(data)}` });
        if (messageId?.startsWith(LAST)) this.ended.get(sub).add(topic);
      },
      onGap: ({ topic, reason: why, since, until }) => {
        if (client !== this.client) return;
        this.positions.set(sub, subscription.position);
        this.write({ k: 'gap', sub, topic, reason: why, since, until });
      },
    });
  }

  /** Publishes until it is told to stop, and waits for the last answers. */
  async publish(stop) {
    const { publish, every, patient, name } = this.spec;
    const answers = new Set();
    for (let n = 1; ; n++) {
      await wait(this.random() * 2 * every, stop);
      while (!stop.aborted && answers.size >= (patient ? 1 : WINDOW)) await Promise.race([...answers, wait(1_000, stop)]);
      if (stop.aborted) break;
      const topic = publish[Math.floor(this.random() * publish.length)];
      const id = `${name}-${n}`;
      this.write({ k: 'send', topic, id, seq: n });
      this.onTheWay++;
      const settled = this.settle(topic, id).then(() => { answers.delete(settled); });
      answers.add(settled);
    }
    await Promise.all(answers);
  }

  /** Sends a publication at once, and again if need be, and writes down what became of it. */
  async settle(topic, id) {
    const until = Date.now() + PATIENCE;
    for (;;) {
      try {
        const { epoch, offset } = await this.client.publish(topic, id, { messageId: id, timeout: Math.max(until - Date.now(), 1) });
        this.write({ k: 'ack', id, at: { epoch, offset } });
        this.acked++;
        break;
      } catch (error) {
        this.write({ k: 'refused', id, text: reason(error) });
        if (this.spec.patient && Date.now() + RETRY < until) {
          await wait(RETRY);
          continue;
        }
        this.write({ k: 'unknown', id, text: reason(error) });
        break;
      }
    }
    this.onTheWay--;
  }
}

const clients = new Map();
const stopped = new AbortController();
setMaxListeners(0, stopped.signal);
let leaving = false;

const ticker = setInterval(() => {
  const sum = { online: 0, begun: 0, onTheWay: 0, acked: 0, delivered: 0 };
  const awaits = new Set();
  for (const client of clients.values()) {
    for (const field of Object.keys(sum)) sum[field] += Number(client[field]);
    for (const { topic, covers } of client.spec.subs) {
      for (const one of covers) if (!client.ended.get(topic).has(one)) awaits.add(one);
    }
  }
  process.stdout.write(JSON.stringify({ ...sum, awaits: [...awaits].sort() }) + '\n');
}, STATUS);
process.stdout.on('error', () => process.exit(1)); // nobody listens any more

for await (const text of readline.createInterface({ input: process.stdin })) {
  const order = JSON.parse(text);
  if (order.do === 'exit') break;
  if (order.do === 'start') for (const spec of order.clients) clients.set(spec.name, new LoggedClient(order.dir, spec));
  if (order.do === 'publish') for (const client of clients.values()) void client.publish(stopped.signal);
  if (order.do === 'restart') for (const name of order.names) clients.get(name)?.restart();
  if (order.do === 'stop') stopped.abort();
}
leaving = true;
clearInterval(ticker);
for (const client of clients.values()) client.client.close();
await Promise.all([...clients.values()].map(({ log }) => new Promise((resolve) => { log.end(resolve); })));
process.exit();
