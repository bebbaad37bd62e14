// Three doors and a Redis, 300 clients of every dialect by one address, and everything that can fail while they talk: what is
// accepted is heard, once and in order, by everybody that is there, and by those that come back where their library asks for
// what it missed. The counts are printed.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { config, Doorway } from "../browser/harness/doorway.js";
import { eventually } from "../browser/harness/eventually.js";
import { Crowd, DIALECTS } from "./harness/crowd.js";
import { Redis } from "./harness/redis.js";
import { eachConnection } from "./harness/round_robin.js";
import { Way } from "./harness/way.js";

const CROWD = { plain: 100, events: 50, socketio: 70, pusher: 50, ably: 30 };
const DOORS = 3;
const FAULT = 5_000; // ms that one lasts

let folder, redis, balancer, ways, doors, ports, crowd;

/** A door with its own way to Redis. */
async function startDoor(number) {
  const door = await Doorway.start(
    config({
      app: { url: "off" },
      listen: { http: "127.0.0.1:0" },
      "realtime.redis": { url: `unix://${join(folder, `way-${number}.sock`)}`, node_timeout: "3s" },
      ...DIALECTS,
    }),
  );
  await eventually("it hears the others", async () => (await door.admin("/health/ready")).ok);
  return door;
}

function balance() {
  ports = doors.map((door) => door.port("http"));
}

/** Another door in place of one. */
async function replace(number) {
  doors[number] = await startDoor(number);
  balance();
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "doorway-faults-"));
  redis = await Redis.start("--appendonly", "yes", "--appendfsync", "always");
  ways = await Promise.all(Array.from({ length: DOORS }, (_, number) => Way.start(join(folder, `way-${number}.sock`), redis.socket)));
  doors = await Promise.all(ways.map((_, number) => startDoor(number)));
  balance();
  balancer = await eachConnection(() => ports);
  crowd = new Crowd(CROWD, balancer.port, () => doors);
  await crowd.allHear("the beginning");
});

after(async () => {
  crowd?.stop();
  for (const door of doors ?? []) await door.stop();
  balancer?.stop();
  balancer?.cut();
  for (const way of ways ?? []) way.stop();
  await redis?.stop();
  rmSync(folder, { recursive: true });
});

const FAULTS = {
  "Redis is killed, and back with what it had": async () => {
    await redis.kill();
    await sleep(FAULT / 2);
    redis.again();
  },
  "Redis stands still": async () => {
    await redis.standStill();
    await sleep(FAULT);
    redis.signal("SIGCONT");
  },
  "one door's way to Redis is silent": async () => {
    ways[0].isSilent = true;
    await sleep(FAULT);
    ways[0].isSilent = false;
  },
  "Redis is far away": async () => {
    for (const way of ways) way.delay = 200;
    await sleep(FAULT);
    for (const way of ways) way.delay = 0;
  },
  "a door stands still": async () => {
    await doors[1].standStill();
    await sleep(FAULT);
    doors[1].signal("SIGCONT");
  },
  "a door is killed": async () => {
    doors[2].signal("SIGKILL");
    await replace(2);
  },
  "Redis forgets everything": async () => {
    const client = connect(redis.socket);
    client.write("FLUSHALL\r\n");
    await once(client, "data");
    client.destroy();
  },
  "all doors are renewed, one after another": async () => {
    for (let number = 0; number < DOORS; number++) {
      const before = doors[number];
      ports = ports.filter((port) => port !== before.port("http"));
      await before.stop();
      await replace(number);
    }
  },
};

test("300 clients hear all that was accepted, once and in order, whatever fails", async (t) => {
  const began = crowd.said();
  for (const [name, fault] of Object.entries(FAULTS)) {
    await fault();
    await crowd.allHear(name);
    await crowd.noGhosts();
    t.diagnostic(`${name}: all hear, nobody is there who is not`);
  }
  const wrong = await crowd.count(t, began);
  for (const [kind, counts] of Object.entries(wrong)) assert.deepEqual(counts, { doubled: 0, disordered: 0, lost: 0 }, kind);
});
