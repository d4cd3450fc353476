// Clients of a WebSocket server that echoes and obeys the commands of peers_test.go: the npm package ws, undici, and what Node has built in.
// The argument is a JSON list of jobs {name, client, url, options}; one line of JSON is printed for each:
// {name, extensions, protocol, closes: [...], error}.
import { setTimeout as timer } from 'node:timers/promises'
import * as undici from 'undici'
import ws from 'ws'

const patience = 20_000
const constructors = { ws, undici: undici.WebSocket, builtin: globalThis.WebSocket }

function connect(job) {
  const protocols = ['chat.v1', 'chat.v2']
  const socket = job.client === 'ws'
    ? new ws(job.url, protocols, { ...job.options, maxPayload: 2 << 20 })
    : new constructors[job.client](job.url, protocols)
  socket.binaryType = 'arraybuffer'
  const queue = []
  const readers = []
  const deliver = (item) => (readers.length ? readers.shift()(item) : queue.push(item))
  const opened = new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve)
    socket.addEventListener('error', (e) => reject(new Error(e.message || e.error?.message || 'error event')))
  })
  socket.addEventListener('message', (e) => deliver({ data: e.data }))
  socket.addEventListener('close', (e) => deliver({ closed: { code: e.code, reason: e.reason, clean: e.wasClean } }))
  const next = async () => {
    const limit = new AbortController()
    const item = queue.length ? queue.shift() : await Promise.race([
      new Promise((resolve) => readers.push(resolve)),
      timer(patience, { timeout: true }, { signal: limit.signal }),
    ])
    limit.abort()
    if (item.timeout) throw new Error('nothing came')
    return item
  }
  return { socket, opened, next }
}

async function expect(c, want) {
  const item = await c.next()
  if (item.closed) throw new Error(`closed ${JSON.stringify(item.closed)} instead of a message of ${want.length ?? want.byteLength}`)
  const same = typeof want === 'string' ? item.data === want : item.data instanceof ArrayBuffer && Buffer.from(item.data).equals(Buffer.from(want))
  if (!same) throw new Error(`a message of ${want.length} came back as ${typeof item.data} of ${item.data.length ?? item.data.byteLength}`)
}

function fill(size) {
  let text = ''
  for (let i = 0; text.length < size; i++) text += `${(i * 40503) % 65521},héllo 世界 🌍;`
  return text.slice(0, size).replace(/[\ud800-\udbff]$/, 'x')
}

// talk exchanges messages, then closes and is closed.
async function talk(job) {
  const c = connect(job)
  await c.opened
  const extensions = c.socket.extensions
  const sizes = [0, 1, 125, 126, 127, 1000, 65535, 65536, 1 << 19]
  for (const text of [...sizes.map(fill), ...Array.from({ length: 20 }, (_, i) => JSON.stringify({ quote: 'AAPL', seq: i, text: fill(100) }))]) {
    const bytes = Buffer.from(text)
    c.socket.send(text)
    c.socket.send(bytes)
    await expect(c, text)
    await expect(c, bytes)
  }
  if (job.client === 'ws') await pingAndFragments(c)
  c.socket.send('!ping')
  await expect(c, 'ponged')
  c.socket.send('!fragments')
  const { data } = await c.next()
  if (!(data?.length > 100_000)) throw new Error('no fragmented message')
  c.socket.close(4001, 'genug 够了')
  const closes = [(await c.next()).closed]

  for (const command of ['!close 4002 server says bye', '!close 1005', '!close 1000 ' + 'é'.repeat(61)]) {
    const other = connect(job)
    await other.opened
    other.socket.send(command)
    closes.push((await other.next()).closed)
  }
  return { extensions, protocol: c.socket.protocol, closes }
}

async function pingAndFragments(c) {
  const pong = new Promise((resolve) => c.socket.once('pong', resolve))
  c.socket.ping('are you there?')
  if ((await pong).toString() !== 'are you there?') throw new Error('another pong')
  c.socket.send('Vi', { fin: false })
  c.socket.send('', { fin: false })
  c.socket.send(fill(100_000), { fin: false })
  c.socket.send('fragmentiert', { fin: true })
  await expect(c, 'Vi' + fill(100_000) + 'fragmentiert')
}

for (const job of JSON.parse(process.argv[2])) {
  try {
    if (!constructors[job.client]) throw new Error(`this Node has no client "${job.client}"`)
    console.log(JSON.stringify({ name: job.name, ...(await talk(job)) }))
  } catch (e) {
    console.log(JSON.stringify({ name: job.name, error: String(e.stack) }))
  }
}
process.exit(0)
