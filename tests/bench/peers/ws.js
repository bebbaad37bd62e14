// The usual `ws` server, with the messages of Doorway's plain dialect.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { WebSocketServer } from 'ws';

const { PORT, MODE, CERTIFICATE, KEY } = process.env;
const server = CERTIFICATE
  ? https.createServer({ cert: readFileSync(CERTIFICATE), key: readFileSync(KEY) })
  : http.createServer();
const wss = new WebSocketServer({ server });
const rooms = new Map();

wss.on('connection', (socket, request) => {
  const room = rooms.get(request.url) ?? new Set();
  rooms.set(request.url, room.add(socket));
  socket.on('close', () => room.delete(socket));
  socket.on('message', (message) => {
    const data = message.toString();
    if (MODE === 'echo') {
      socket.send(JSON.stringify({ type: 'echo', data, timestamp: Date.now() }));
    } else {
      const text = JSON.stringify({ type: 'broadcast', data });
      for (const other of room) other.send(text);
    }
  });
});
server.listen(Number(PORT), '127.0.0.1');
