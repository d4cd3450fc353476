// Servers on the npm package ws that echo and obey the commands of peers_test.go. The argument is a JSON object of names and
// values for perMessageDeflate; the first line printed is a JSON object of names and ports. Each ended connection is a further line
// {name, code, reason}. The process ends with its standard input.
import { WebSocketServer } from 'ws'

const fragmented = 'Fragmente, 分片, фрагменты; '.repeat(8 << 10)

function serve(name, perMessageDeflate) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate, maxPayload: 2 << 20, handleProtocols: (offered) => (offered.has('chat.v1') ? 'chat.v1' : false) })
  server.on('connection', (socket) => {
    socket.on('message', (data, binary) => answer(socket, data, binary))
    socket.on('pong', () => socket.send('ponged'))
    socket.on('error', () => {}) // 'close' follows
    socket.on('close', (code, reason) => console.log(JSON.stringify({ name, code, reason: reason.toString() })))
  })
  return new Promise((resolve) => server.on('listening', () => resolve(server.address().port)))
}

function answer(socket, data, binary) {
  const text = binary ? '' : data.toString()
  const close = /^!close (\d+) ?(.*)$/s.exec(text)
  if (text === '!ping') socket.ping('from ws')
  else if (text === '!fragments') {
    socket.send(fragmented.slice(0, 1000), { fin: false })
    socket.send(fragmented.slice(1000), { fin: true })
  } else if (close && close[1] === '1005') socket.close()
  else if (close) socket.close(Number(close[1]), close[2])
  else socket.send(data, { binary })
}

const ports = {}
for (const [name, setting] of Object.entries(JSON.parse(process.argv[2]))) ports[name] = await serve(name, setting)
console.log(JSON.stringify(ports))
process.stdin.resume().on('end', () => process.exit(0))
