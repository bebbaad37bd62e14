// How long stock clients are away when the door restarts: a measurement, run by hand.
//   DOORWAY_BIN=target/debug/doorway node tests/clients/harness/away.js [seconds between the two doors …]
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import Client from "pusher-js";
import { io } from "socket.io-client";
import { config, Doorway } from "../../browser/harness/doorway.js";

const APP = { id: "1", key: "app-key", secret: "app-secret" };

/** A port that nobody listens on. */
async function free() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

function door(port) {
  const listen = { http: `127.0.0.1:${port}` };
  return Doorway.start(config({ app: { url: "off" }, listen, "realtime.pusher": [APP], "realtime.socketio": [{}] }));
}

function pusher(port, options) {
  const client = new Client(APP.key, { cluster: "x", wsHost: "127.0.0.1", wsPort: port, httpHost: "127.0.0.1", httpPort: port, forceTLS: false, enableStats: false, ...options });
  client.connection.bind("error", () => {});
  return { on: (act) => client.connection.bind("connected", act), stop: () => client.disconnect() };
}

function socketio(port, options) {
  const client = io(`http://127.0.0.1:${port}`, { forceNew: true, ...options });
  return { on: (act) => client.on("connect", act), stop: () => client.disconnect() };
}

const STOCK = {
  "pusher-js": (port) => pusher(port),
  "pusher-js, ws only": (port) => pusher(port, { enabledTransports: ["ws", "wss"] }),
  "socket.io-client": (port) => socketio(port),
  "socket.io-client, ws only": (port) => socketio(port, { transports: ["websocket"] }),
};

/** Seconds without a connection, one of each of `EACH` clients. */
async function away(start, gap) {
  const port = await free();
  const before = await door(port);
  const clients = Array.from({ length: 5 }, () => {
    const client = start(port);
    client.first = new Promise((resolve) => client.on(resolve));
    return client;
  });
  await Promise.all(clients.map(({ first }) => first));
  // Past the upgrade of those that begin by polling.
  await sleep(1000);
  const since = performance.now();
  const back = Promise.all(clients.map(({ on }) => new Promise((resolve) => on(() => resolve((performance.now() - since) / 1000)))));
  await before.stop();
  if (process.env.VERBOSE) console.log("stopped after", ((performance.now() - since) / 1000).toFixed(1));
  await sleep(gap * 1000);
  const after = await door(port);
  const times = (await back).sort((a, b) => a - b);
  clients.forEach((client) => client.stop());
  await after.stop();
  return times.map((time) => time.toFixed(1));
}

for (const gap of process.argv.slice(2).map(Number)) {
  for (const [name, start] of Object.entries(STOCK)) {
    console.log(`${gap} s`, name.padEnd(28), (await away(start, gap)).join(" "));
  }
}
process.exit(0);
