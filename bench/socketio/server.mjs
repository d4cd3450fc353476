// A socket.io server with rooms, for the benchmark's load: WebSocket only, one process, what socket.io's documentation
// advises for speed and memory (no other transports, no client files, no reference to the handshake's request). Compression is
// off, which is socket.io's default.
//
// The flags are those of the other servers: --listen HOST:PORT; the others have no meaning here. When node runs it with --expose-gc, as the
// benchmark does when it measures memory, it collects all garbage twice a second.
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { Server } from 'socket.io';

const { values } = parseArgs({
  options: { listen: { type: 'string', default: '127.0.0.1:9001' }, mode: { type: 'string' }, compression: { type: 'string' } },
});
const [host, port] = values.listen.split(':');
const http = createServer();
const io = new Server(http, { transports: ['websocket'], allowUpgrades: false, serveClient: false });

io.engine.on('connection', (raw) => {
  raw.request = null;
});
io.on('connection', (socket) => {
  socket.on('subscribe', (room, done) => {
    socket.join(room);
    done();
  });
  socket.on('publish', (room, data) => io.to(room).emit('message', data));
});
if (globalThis.gc) setInterval(() => globalThis.gc(), 500);
http.listen(Number(port), host);
