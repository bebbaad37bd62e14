// Bun's own server (uWebSockets), with the messages of Doorway's plain dialect.
const { PORT, MODE, CERTIFICATE, KEY } = process.env;

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: Number(PORT),
  tls: CERTIFICATE ? { cert: Bun.file(CERTIFICATE), key: Bun.file(KEY) } : undefined,
  fetch(request, server) {
    const room = new URL(request.url).pathname;
    return server.upgrade(request, { data: { room } }) ? undefined : new Response('websocket only', { status: 426 });
  },
  websocket: {
    open: (socket) => socket.subscribe(socket.data.room),
    message(socket, data) {
      if (MODE === 'echo') socket.send(JSON.stringify({ type: 'echo', data, timestamp: Date.now() }));
      else server.publish(socket.data.room, JSON.stringify({ type: 'broadcast', data }));
    },
  },
});
