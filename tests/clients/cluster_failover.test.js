// Three doors and a Redis that a Sentinel watches, with two replicas: the primary dies while clients of every dialect talk, and
// comes back as a replica. With `replicas = 1` nothing that was accepted is lost.
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { config, Doorway } from "../browser/harness/doorway.js";
import { eventually } from "../browser/harness/eventually.js";
import { Crowd, DIALECTS } from "./harness/crowd.js";
import { Redis } from "./harness/redis.js";
import { eachConnection } from "./harness/round_robin.js";

const CROWD = { plain: 20, events: 10, socketio: 20, pusher: 20, ably: 10 };
const DOORS = 3;
const ROUNDS = 2;

let servers, sentinel, balancer, doors, crowd;

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** What a server of Redis says to a command, as one text. */
async function tell(port, command) {
  const socket = connect(port, "127.0.0.1");
  socket.write(`${command}\r\n`);
  const [told] = await once(socket, "data");
  socket.destroy();
  return String(told);
}

const primary = async () => Number((await tell(sentinel.port, "SENTINEL GET-MASTER-ADDR-BY-NAME doors")).split("\r\n")[4]);

before(async () => {
  const ports = [await freePort(), await freePort(), await freePort()];
  const durable = ["--appendonly", "yes", "--appendfsync", "no", "--repl-diskless-sync-delay", "0"];
  servers = [];
  for (const port of ports) {
    const of = port === ports[0] ? [] : ["--replicaof", `127.0.0.1 ${ports[0]}`];
    const server = await Redis.start("--port", String(port), "--bind", "127.0.0.1", ...durable, ...of);
    servers.push(Object.assign(server, { port }));
  }
  await eventually("two replicas", async () => (await tell(ports[0], "INFO replication")).includes("connected_slaves:2"));
  const port = await freePort();
  sentinel = await Redis.startAs((folder) => {
    const file = join(folder, "sentinel.conf");
    const lines = ["sentinel monitor doors 127.0.0.1 " + ports[0] + " 1", "sentinel down-after-milliseconds doors 1000", "sentinel failover-timeout doors 4000", "sentinel parallel-syncs doors 2"];
    writeFileSync(file, lines.join("\n") + "\n");
    return [file, "--sentinel", "--port", String(port), "--bind", "127.0.0.1"];
  });
  sentinel.port = port;
  await eventually("the Sentinel", async () => (await tell(port, "SENTINEL REPLICAS doors")).startsWith("*2"));
  const settings = config({
    app: { url: "off" },
    listen: { http: "127.0.0.1:0" },
    "realtime.redis": { url: `redis+sentinel://127.0.0.1:${port}/doors`, node_timeout: "3s", message_patience: "10s", replicas: 1 },
    ...DIALECTS,
  });
  doors = await Promise.all(Array.from({ length: DOORS }, () => Doorway.start(settings)));
  for (const door of doors) await eventually("it hears the others", async () => (await door.admin("/health/ready")).ok);
  balancer = await eachConnection(() => doors.map((door) => door.port("http")));
  crowd = new Crowd(CROWD, balancer.port, () => doors);
  await crowd.allHear("the beginning");
});

after(async () => {
  crowd?.stop();
  for (const door of doors ?? []) await door.stop();
  balancer?.stop();
  balancer?.cut();
  await sentinel?.stop();
  for (const server of servers ?? []) await server.stop();
});

test("a failover loses nothing that was accepted, and says nothing twice or out of order", async (t) => {
  const began = crowd.said();
  for (let round = 1; round <= ROUNDS; round++) {
    const before = await primary();
    const dead = servers.find(({ port }) => port === before);
    await dead.kill();
    await eventually("another primary", async () => (await primary()) !== before);
    await crowd.allHear(`failover ${round}`);
    await crowd.noGhosts();
    dead.again();
    await eventually("it is a replica now", async () => (await tell(await primary(), "INFO replication")).includes("connected_slaves:2"));
    await crowd.allHear(`the return of the old primary ${round}`);
    t.diagnostic(`failover ${round}: all hear, nobody is there who is not`);
  }
  const wrong = await crowd.count(t, began);
  for (const [kind, counts] of Object.entries(wrong)) assert.deepEqual(counts, { doubled: 0, disordered: 0, lost: 0 }, kind);
});
