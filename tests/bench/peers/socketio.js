// The usual Socket.IO server, with the messages of Doorway's relay. With REDIS, the socket of one, it is one of several.
import http from 'node:http';
import { createAdapter } from '@socket.io/redis-adapter';
import { createClient } from 'redis';
import { Server } from 'socket.io';

const server = http.createServer();
const options = {};
if (process.env.REDIS) {
  const publishes = createClient({ socket: { path: process.env.REDIS } });
  const subscribes = publishes.duplicate();
  await Promise.all([publishes.connect(), subscribes.connect()]);
  options.adapter = createAdapter(publishes, subscribes);
}
const io = new Server(server, options);
const serve = (socket) => {
  // In a room it talks to that, else to all of its namespace.
  let to = socket.nsp;
  socket.on('join-room', async (room, joined) => {
    await socket.join(room);
    to = socket.nsp.to(room);
    joined();
  });
  socket.on('message', (data) => to.emit('message', { id: socket.id, data, timestamp: Date.now() }));
};
io.on('connection', serve);
io.of(/^\/room-\d+$/).on('connection', serve);
server.listen(Number(process.env.PORT), '127.0.0.1');
