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
import { io } from "socket.io-client";
import WebSocket from "ws";
import { config, Doorway } from "../browser/harness/doorway.js";
import { eventually } from "../browser/harness/eventually.js";
import { Ably, KEY } from "./harness/ably.js";
import { APP, Client, Site as PusherSite } from "./harness/pusher.js";
import { Redis } from "./harness/redis.js";
import { eachConnection } from "./harness/round_robin.js";
import { Way } from "./harness/way.js";

const CROWD = { plain: 100, events: 50, socketio: 70, pusher: 50, ably: 30 };
const DOORS = 3;
const EVERY = 50; // ms between two messages of each speaker
const FAULT = 5_000; // ms that one lasts

let folder, redis, balancer, ways, doors, ports;

/** One client: what it has heard, and what is wrong with that. */
class Listener {
  heard = new Set();
  last = 0;
  doubled = 0;
  disordered = 0;
  missed = [];
  /** It was away, or told that something is lost: what it has not heard meanwhile is no fault. */
  isExcused = true;

  /** `asks`: its library comes back for what it missed. */
  constructor(asks) {
    this.asks = asks;
  }

  hears(number) {
    if (this.heard.has(number)) this.doubled++;
    else if (number < this.last) this.disordered++;
    if (this.last && number > this.last + 1 && !this.isExcused) {
      for (let between = this.last + 1; between < number; between++) this.missed.push(between);
    }
    this.isExcused = false;
    this.heard.add(number);
    this.last = Math.max(this.last, number);
  }
}

/** Says numbers, one after another, at one door after another. */
class Speaker {
  said = 0;
  /** Of these nobody knows whether they were accepted. */
  unknown = new Set();
  #ends = false;

  /** `isSafe`: what is said again under its own name is said once. So it is said until it is accepted. */
  constructor(isSafe, say) {
    this.ended = this.#talk(isSafe, say);
  }

  async #talk(isSafe, say) {
    let [number, tried, deadline] = [1, 0, Date.now() + 60_000];
    while (!this.#ends || tried) {
      try {
        await say(number, doors[(number + tried) % doors.length]);
        this.said = number++;
        [tried, deadline] = [0, Date.now() + 60_000];
        await sleep(EVERY);
      } catch (error) {
        if (Date.now() > deadline) throw error;
        if (!isSafe) this.unknown.add(number++);
        tried++;
        await sleep(100);
      }
    }
  }

  async end() {
    this.#ends = true;
    await this.ended;
  }
}

const crowd = { plain: [], events: [], socketio: [], pusher: [], ably: [] };
const ends = [];
let isOver = false;

function plain() {
  const listener = new Listener(true);
  let at = "now";
  const open = () => {
    if (isOver) return;
    const socket = new WebSocket(`ws://127.0.0.1:${balancer.port}/api/ws/kept?since=${at}`);
    listener.socket = socket;
    socket.on("error", () => {});
    socket.on("close", () => setTimeout(open, 200 + Math.random() * 800));
    socket.on("message", (text) => {
      const told = JSON.parse(text);
      if (told.id) at = told.id;
      if (told.type === "subscribed") listener.isExcused ||= !told.recovered && at !== "now" && listener.last > 0;
      if (told.type === "lost") listener.isExcused = true;
      if (told.type === "broadcast" && told.data.n) listener.hears(told.data.n);
    });
  };
  open();
  ends.push(() => listener.socket.terminate());
  return listener;
}

function events() {
  const listener = new Listener(true);
  let at;
  const leaving = new AbortController();
  const read = async () => {
    const headers = { accept: "text/event-stream", ...(at ? { "last-event-id": at } : {}) };
    const answer = await fetch(`http://127.0.0.1:${balancer.port}/api/ws/kept`, { headers, signal: leaving.signal });
    if (!answer.ok) throw new Error(answer.status);
    let rest = "";
    for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
      const blocks = (rest + chunk).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const field = (name) => block.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        at = field("id") ?? at;
        const told = JSON.parse(field("data") ?? "{}");
        if (told.type === "lost" || told.recovered === false) listener.isExcused = true;
        if (told.data?.n) listener.hears(told.data.n);
      }
    }
  };
  const keep = async () => {
    while (!isOver) {
      await read().catch(() => {});
      await sleep(200 + Math.random() * 800);
    }
  };
  keep();
  ends.push(() => leaving.abort());
  return listener;
}

function socketio() {
  const listener = new Listener(false);
  const socket = io(`http://127.0.0.1:${balancer.port}`, {
    transports: ["websocket"],
    forceNew: true,
    reconnectionDelay: 300,
    reconnectionDelayMax: 1_000,
  });
  socket.on("connect", () => socket.emit("join-room", "kept"));
  socket.on("disconnect", () => (listener.isExcused = true));
  socket.on("message", ({ data }) => data?.n && listener.hears(data.n));
  socket.onAny((name, data) => name !== "message" && data?.n && listener.hears(data.n));
  ends.push(() => socket.disconnect());
  return listener;
}

function pusher() {
  const listener = new Listener(false);
  const client = new Client(APP.key, {
    cluster: "x",
    wsHost: "127.0.0.1",
    wsPort: balancer.port,
    forceTLS: false,
    enabledTransports: ["ws"],
    activityTimeout: 5_000,
    pongTimeout: 5_000,
  });
  client.connection.bind("state_change", ({ current }) => current !== "connected" && (listener.isExcused = true));
  client.subscribe("room").bind("n", ({ n }) => listener.hears(n));
  ends.push(() => client.disconnect());
  return listener;
}

function ably(number) {
  const listener = new Listener(true);
  const client = new Ably.Realtime({
    endpoint: "127.0.0.1",
    port: balancer.port,
    tls: false,
    key: KEY,
    clientId: `client-${number}`,
    logLevel: 0,
    disableConnectivityCheck: true,
    disconnectedRetryTimeout: 500,
    suspendedRetryTimeout: 500,
    channelRetryTimeout: 500,
  });
  const channel = client.channels.get("talk");
  channel.on(["attached", "update"], ({ resumed }) => (listener.isExcused ||= !resumed));
  channel.subscribe(({ data }) => listener.hears(data.n)).catch(() => {});
  channel.presence.enter().catch(() => {});
  ends.push(() => client.close());
  return listener;
}

/** A door with its own way to Redis. */
async function startDoor(number) {
  const door = await Doorway.start(
    config({
      app: { url: "off" },
      listen: { http: "127.0.0.1:0" },
      "realtime.redis": { url: `unix://${join(folder, `way-${number}.sock`)}`, node_timeout: "3s" },
      "realtime.socketio": [{ namespaces: ["/*"] }],
      "realtime.pusher": [APP],
      "realtime.ably": [{ key: KEY }],
      "realtime.channel": [{ match: "kept", history: 5_000 }],
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

const post = async (door, path, body, more = {}) => {
  const answer = await fetch(`http://${door.addresses.admin}/_doorway/api/v1${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...more },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(7_000),
  });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return answer.json();
};

const speakers = {};

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "doorway-faults-"));
  redis = await Redis.start("--appendonly", "yes", "--appendfsync", "always");
  ways = await Promise.all(Array.from({ length: DOORS }, (_, number) => Way.start(join(folder, `way-${number}.sock`), redis.socket)));
  doors = await Promise.all(ways.map((_, number) => startDoor(number)));
  balance();
  balancer = await eachConnection(() => ports);
  for (const [kind, make] of Object.entries({ plain, events, socketio, pusher, ably })) {
    for (let number = 0; number < CROWD[kind]; number++) crowd[kind].push(make(number));
  }
  speakers.kept = new Speaker(true, (n, door) => post(door, "/publish", { channel: "kept", name: "n", json: { n } }, { "idempotency-key": `n-${n}` }));
  speakers.pusher = new Speaker(false, async (n, door) => {
    const server = PusherSite.prototype.server.call({ kind: "http", port: door.port("http") }, APP, { timeout: 7_000 });
    await server.trigger("room", "n", { n });
  });
  speakers.ably = new Speaker(true, async (n, door) => {
    const rest = new Ably.Rest({ endpoint: "127.0.0.1", port: door.port("http"), tls: false, key: KEY, logLevel: 0, httpRequestTimeout: 7_000 });
    await rest.channels.get("talk").publish({ id: `n-${n}`, name: "n", data: { n } });
  });
  await allHear("the beginning");
});

after(async () => {
  isOver = true;
  for (const end of ends) end();
  for (const door of doors ?? []) await door.stop();
  balancer?.stop();
  balancer?.cut();
  for (const way of ways ?? []) way.stop();
  await redis?.stop();
  rmSync(folder, { recursive: true });
});

const of = { plain: "kept", events: "kept", socketio: "kept", pusher: "pusher", ably: "ably" };

/** So many each has said. */
const said = () => Object.fromEntries(Object.entries(speakers).map(([name, { said }]) => [name, said]));

/** Everybody hears what is said from now on; or up to `now`. */
async function allHear(when, now = Object.fromEntries(Object.entries(said()).map(([name, said]) => [name, said + 1]))) {
  const isDeaf = (kind) => ({ last }) => last < now[of[kind]];
  const isHeard = () => Object.entries(crowd).every(([kind, all]) => !all.some(isDeaf(kind)));
  await eventually(`all hear after ${when}`, isHeard).catch((error) => {
    const deaf = Object.entries(crowd).map(([kind, all]) => `${all.filter(isDeaf(kind)).map(({ last }) => last)} of ${kind}`);
    const words = [`${deaf.join(", ")} have not heard ${JSON.stringify(now)}`, `said are ${JSON.stringify(said())}`];
    throw new Error(`${error.message}: ${words.join("; ")}`);
  });
}

/** Each of Ably's clients is there once, and nobody else. */
async function noGhosts() {
  const expected = Array.from({ length: CROWD.ably }, (_, number) => `client-${number}`).toSorted();
  for (const door of doors) {
    await eventually("those there", async () => {
      const { members } = await (await fetch(`http://${door.addresses.admin}/_doorway/api/v1/channels/talk/members`)).json();
      assert.deepEqual(members.map(({ id, user }) => user ?? id).toSorted(), expected);
      return true;
    });
  }
}

const FAULTS = {
  "Redis is killed, and back with what it had": async () => {
    await redis.kill();
    await sleep(FAULT / 2);
    redis.again();
  },
  "Redis stands still": async () => {
    redis.signal("SIGSTOP");
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
    doors[1].signal("SIGSTOP");
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
  const began = said();
  for (const [name, fault] of Object.entries(FAULTS)) {
    await fault();
    await allHear(name);
    await noGhosts();
    t.diagnostic(`${name}: all hear, nobody is there who is not`);
  }
  for (const speaker of Object.values(speakers)) await speaker.end();
  await allHear("the end", said());
  const wrong = {};
  for (const [kind, all] of Object.entries(crowd)) {
    const sum = (count) => all.reduce((total, listener) => total + count(listener), 0);
    wrong[kind] = { doubled: sum(({ doubled }) => doubled), disordered: sum(({ disordered }) => disordered), lost: sum(({ missed }) => missed.filter((number) => !speakers[of[kind]].unknown.has(number)).length) };
    t.diagnostic(`${kind}: ${all.length} clients, ${sum(({ heard }) => heard.size)} heard of ${speakers[of[kind]].said - began[of[kind]]} said meanwhile; ${JSON.stringify(wrong[kind])}`);
  }
  for (const [kind, counts] of Object.entries(wrong)) assert.deepEqual(counts, { doubled: 0, disordered: 0, lost: 0 }, kind);
});
