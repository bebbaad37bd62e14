// The usual Socket.IO server, with the messages of Doorway's relay.
import http from 'node:http';
import { Server } from 'socket.io';

const server = http.createServer();
const io = new Server(server);
const serve = (socket) =>
  socket.on('message', (data) => socket.nsp.emit('message', { id: socket.id, data, timestamp: Date.now() }));
io.on('connection', serve);
io.of(/^\/room-\d+$/).on('connection', serve);
server.listen(Number(process.env.PORT), '127.0.0.1');
