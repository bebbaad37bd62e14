// A load balancer without sticky sessions: each request, or each connection, goes to the next door that is there.
import { once } from "node:events";
import { createServer, request } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";

/** In front of `ports()`, for which every request is a new one: `{ origin, port, stop, asked }`. */
export async function eachRequest(ports) {
  let turn = 0;
  const asked = new Map();
  const next = () => {
    const all = ports();
    const port = all[turn++ % all.length];
    asked.set(port, (asked.get(port) ?? 0) + 1);
    return port;
  };
  const forward = (incoming, port) =>
    request({ port, host: "127.0.0.1", method: incoming.method, path: incoming.url, headers: incoming.headers, agent: false });
  const server = createServer((incoming, outgoing) => {
    const there = forward(incoming, next());
    there.on("response", (answer) => {
      outgoing.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(outgoing);
      answer.on("error", () => outgoing.destroy());
    });
    there.on("error", () => (outgoing.headersSent ? outgoing.destroy() : outgoing.writeHead(502).end()));
    outgoing.on("close", () => there.destroy());
    incoming.pipe(there);
  });
  server.on("upgrade", (incoming, near, head) => {
    const far = connect(next(), "127.0.0.1");
    const lines = incoming.rawHeaders.flatMap((name, at, all) => (at % 2 ? [] : [`${name}: ${all[at + 1]}`]));
    far.write(`${incoming.method} ${incoming.url} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
    far.write(head);
    join(near, far);
  });
  return { ...(await listening(server)), asked };
}

/** In front of `ports()`, for which every connection is a new one, to the first that takes it. */
export async function eachConnection(ports) {
  let turn = 0;
  const sockets = new Set();
  const pass = (near, tried) => {
    const all = ports();
    if (tried >= all.length) return near.destroy();
    const far = connect(all[turn++ % all.length], "127.0.0.1");
    const refused = () => pass(near, tried + 1);
    far.once("error", refused);
    far.once("connect", () => {
      far.off("error", refused);
      sockets.add(near);
      near.on("close", () => sockets.delete(near));
      join(near, far);
      near.resume();
    });
  };
  const server = createTcpServer({ pauseOnConnect: true }, (near) => pass(near, 0));
  /** Cuts what is open, as a network does. */
  const cut = () => sockets.forEach((socket) => socket.destroy());
  return { ...(await listening(server)), cut };
}

function join(near, far) {
  for (const [from, to] of [[near, far], [far, near]]) {
    from.pipe(to);
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
  }
}

async function listening(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  const stop = () => {
    server.close();
    server.closeAllConnections?.();
  };
  return { port, origin: `http://127.0.0.1:${port}`, stop };
}
