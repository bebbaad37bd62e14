// How a crowd of stock clients far away is let in, served beside stalled ones, and comes back when the door restarts: a
// measurement, run by hand as root (tests/ways/README.md). Words are those of the `way`, and cc=bbr for the server.
//   DOORWAY_BIN=target/debug/doorway WAY=target/ways/debug/way node tests/clients/harness/storm.js socketio delay=75ms rate=1G cc=bbr
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import Server from "pusher";
import Pusher from "pusher-js";
import { io } from "socket.io-client";
import { scratch } from "../../browser/harness/paths.js";

const CLIENTS = 500;
const STALLED = 50;
const MESSAGES = 200;
const APP = { id: "1", key: "app-key", secret: "app-secret" };
const HOST = "10.77.0.2";
const PORT = 8080;

const CONFIG = `
[listen]
http = "0.0.0.0:${PORT}"
[admin]
listen = "off"
[app]
url = "off"
[[realtime.socketio]]
[[realtime.pusher]]
id = "${APP.id}"
key = "${APP.key}"
secret = "${APP.secret}"
`;

const DIALECTS = {
  socketio: {
    client() {
      const socket = io(`http://${HOST}:${PORT}`, { forceNew: true, transports: ["websocket"] });
      return {
        connected: (act) => socket.on("connect", act),
        heard: (act) => socket.on("message", ({ data }) => act(data)),
        say: (n) => socket.emit("message", n),
        stream: () => socket.io.engine.transport.ws._socket,
      };
    },
  },
  pusher: {
    client() {
      const options = { cluster: "x", wsHost: HOST, wsPort: PORT, httpHost: HOST, httpPort: PORT, forceTLS: false, enableStats: false };
      const client = new Pusher(APP.key, { ...options, enabledTransports: ["ws"] });
      client.connection.bind("error", () => {});
      const room = client.subscribe("room");
      const server = new Server({ appId: APP.id, key: APP.key, secret: APP.secret, host: HOST, port: String(PORT), useTLS: false });
      return {
        connected: (act) => room.bind("pusher:subscription_succeeded", act),
        heard: (act) => room.bind("n", act),
        say: (n) => void server.trigger("room", "n", n).catch((error) => console.log(error.message)),
        stream: () => client.connection.connection.transport.socket._stream,
      };
    },
  },
};

/** The middle one, the 99th of a hundred, and the last, in seconds. */
function spread(times) {
  times.sort((a, b) => a - b);
  const at = (share) => (times[Math.min(times.length - 1, Math.floor(times.length * share))] / 1000).toFixed(2);
  return `p50 ${at(0.5)} p99 ${at(0.99)} last ${at(1)} s`;
}

async function clients(dialect) {
  const line = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const all = Array.from({ length: CLIENTS }, () => DIALECTS[dialect].client());
  const start = performance.now();
  const connected = () => Promise.all(all.map((client) => new Promise((resolve) => client.connected(() => resolve(performance.now())))));
  const first = await connected();
  console.log(`${CLIENTS} let in: ${spread(first.map((time) => time - start))}`);

  const late = [];
  const says = all.at(-1);
  // Whoever speaks does not hear himself in every dialect.
  const live = all.slice(STALLED, -1);
  for (const client of live) client.heard(({ at }) => late.push(performance.now() - at));
  const say = async (what) => {
    late.length = 0;
    const padding = "x".repeat(4000);
    for (let n = 0; n < MESSAGES; n++) {
      says.say({ at: performance.now(), padding });
      await sleep(50);
    }
    const due = live.length * MESSAGES;
    for (let waited = 0; late.length < due && waited < 200; waited++) await sleep(100);
    console.log(`${what}: ${late.length} of ${due} heard, ${spread([...late])}`);
  };
  await say("nobody stalled");
  all.slice(0, STALLED).forEach((client) => client.stream().pause());
  await say(`${STALLED} stalled`);

  all.slice(0, STALLED).forEach((client) => client.stream().resume());
  const back = connected();
  console.log("restart");
  const stopped = Number((await line.next()).value);
  const times = await back;
  console.log(`${CLIENTS} back after the door's end: ${spread(times.map((time) => Math.max(0, time + performance.timeOrigin - stopped)))}`);
  process.exit(0);
}

async function main(dialect, words) {
  const control = words.find((word) => word.startsWith("cc="))?.slice(3) ?? "cubic";
  const way = spawn(process.env.WAY, words.filter((word) => !word.startsWith("cc=")), { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: way.stdout })[Symbol.asyncIterator]();
  const client = (await lines.next()).value.split(" ").at(-1);
  const server = (await lines.next()).value.split(" ").at(-1);
  // Of the route: the default of a namespace may be none that the machine's administrator has not allowed for all.
  execFileSync("nsenter", [server, ..."ip route replace 10.77.0.0/24 dev way src 10.77.0.2 congctl".split(" "), control]);
  const file = join(scratch(), "proxy.toml");
  writeFileSync(file, CONFIG);
  const door = async () => {
    const child = spawn("nsenter", [server, process.env.DOORWAY_BIN, "--config", file], { stdio: ["ignore", "ignore", "pipe"] });
    for await (const line of createInterface({ input: child.stderr })) if (line.includes('"ready"')) break;
    child.stderr.resume();
    return child;
  };
  let running = await door();
  const crowd = spawn("nsenter", [client, process.execPath, process.argv[1], "--crowd", dialect], { stdio: ["pipe", "pipe", "inherit"] });
  for await (const line of createInterface({ input: crowd.stdout })) {
    if (line !== "restart") {
      console.log(`${dialect} ${words.join(" ")}: ${line}`);
      continue;
    }
    const status = readFileSync(`/proc/${running.pid}/status`, "utf8").match(/VmRSS:\s+(\d+)/);
    console.log(`door: ${Math.round(status[1] / 1024)} MB resident`);
    running.kill("SIGTERM");
    await once(running, "exit");
    crowd.stdin.write(`${Date.now()}\n`);
    running = await door();
  }
  running.kill("SIGKILL");
  way.stdin.end();
  process.exit(0);
}

const [first, ...rest] = process.argv.slice(2);
await (first === "--crowd" ? clients(rest[0]) : main(first, rest));
