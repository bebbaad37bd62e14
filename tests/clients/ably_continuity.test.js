// Continuity, counted: a crowd of stock clients whose links are cut at random while messages are published, the app is deployed and the
// door reloaded. Each message comes once and in order to everybody, and nobody is seen to leave who comes back within the time.
//   CONTINUITY_SECONDS=60 has it last so long.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { scratch } from "../browser/harness/paths.js";
import { config, Doorway } from "../browser/harness/doorway.js";
import { Ably, eventually, KEY, reached } from "./harness/ably.js";
import { Crowd, Guest, HALL } from "./harness/ably_crowd.js";
import { makeProject } from "./harness/project.js";

const SECONDS = Number(process.env.CONTINUITY_SECONDS ?? 12);
const ROOMS = ["room-0", "room-1", "room-2", "room-3", "room-4"];
/** Between one message and the next, in ms. */
const BEAT = 100;
/** How long a link lasts, in ms, in the mean. */
const LIFE = 7_000;

/** What the app says to everything, its callback too: it lets everybody in, and which build it is. */
const page = (build) => JSON.stringify({ data: build });

/** An app in a folder, whose builds are deployed. */
class App {
  dir = makeProject(scratch(), page("one"));

  constructor() {
    mkdirSync(join(this.dir, "node_modules"));
    symlinkSync("../vendor/next", join(this.dir, "node_modules/next"));
    this.build("one");
  }

  build(name) {
    writeFileSync(join(this.dir, "page.txt"), page(name));
    execFileSync("node", ["vendor/next/dist/bin/next", "build"], { cwd: this.dir });
  }
}

/** Messages to the hall and to the rooms in turn: by REST, numbered r1, r2 …, and by a connection, numbered c1, c2 …, for each channel. */
class Publisher {
  last = {};
  #waiting = [];
  #turn = 0;

  constructor(options) {
    const own = { clientId: "publisher", endpoint: "127.0.0.1", tls: false, key: KEY, logLevel: 0, disableConnectivityCheck: true, ...options };
    [this.rest, this.client] = [new Ably.Rest(own), new Ably.Realtime(own)];
  }

  begin() {
    this.timer = setInterval(() => this.#next(), BEAT);
  }

  #next() {
    const turn = this.#turn++;
    const channel = turn % 2 ? ROOMS[(turn >> 2) % ROOMS.length] : HALL;
    const [stream, by] = (turn >> 1) % 2 ? ["r", this.rest] : ["c", this.client];
    const of = (this.last[channel] ??= { r: 0, c: 0 });
    const data = `${stream}${++of[stream]}`;
    // One REST request after the other: side by side they might overtake each other.
    const before = stream === "r" ? this.#after : undefined;
    const said = Promise.resolve(before).then(() => by.channels.get(channel).publish("n", data));
    if (stream === "r") this.#after = said;
    this.#waiting.push(said);
  }

  #after;

  /** How many were published, when all are acknowledged. */
  async end() {
    clearInterval(this.timer);
    await Promise.all(this.#waiting);
    return this.#waiting.length;
  }
}

async function deploy(door, app, name) {
  const after = door.heard;
  app.build(name);
  door.signal("SIGHUP");
  await door.said(`build ${name}`, (log) => log.message === "app replaced", { after });
  await eventually(`the page of ${name}`, async () => (await fetch(`http://127.0.0.1:${door.port("http")}/page`)).ok);
}

async function reload(door, settings) {
  const after = door.heard;
  door.rewrite(settings);
  door.signal("SIGHUP");
  await door.said("the reload", (log) => log.message === "reloaded", { after });
}

/** `until`: a state of the witnesses' that ends it, in place of the span. Gives what was counted. */
async function continuity({ guests, processes, ably = {}, until, patience = 60_000, life = LIFE }) {
  const app = new App();
  const settings = (more) =>
    config({
      app: { dir: app.dir, build: "never" },
      listen: { http: "127.0.0.1:0" },
      callbacks: { events: ["connect"] },
      "realtime.ably": [{ key: KEY, message_rate: 1000, ...ably, ...more }],
    });
  const door = await Doorway.start(settings());
  const port = door.port("http");
  const options = { endpoint: "127.0.0.1", port, tls: false, key: KEY, logLevel: 0, disableConnectivityCheck: true };
  // One in each room whose link is whole: it sees what is true of the others.
  const witnesses = ROOMS.map((room) => Object.assign(new Guest(`witness-${room}`, room, options), { isWitness: true }));
  const publisher = new Publisher({ port });
  let crowd;
  try {
    await Promise.all(witnesses.map((witness) => witness.come()));
    crowd = await Crowd.of({ port, guests, processes, rooms: ROOMS, options });
    const members = Object.fromEntries(ROOMS.map((room, n) => [room, Math.floor((guests - n - 1) / ROOMS.length) + 1]));
    await crowd.settle(members);
    await Promise.all(witnesses.map((witness) => witness.seesAll(members[witness.room])));

    publisher.begin();
    await crowd.begin(life);
    if (until) {
      await eventually("what was broken on purpose to be seen", () => until(witnesses));
    } else {
      for (const act of [() => deploy(door, app, "two"), () => reload(door, settings({ max_message: "32KiB" })), () => deploy(door, app, "three"), () => {}]) {
        await sleep((SECONDS * 1000) / 4);
        await act();
      }
    }
    await crowd.end();
    const published = await publisher.end();
    const counted = await crowd.report(publisher.last, patience);
    await eventually("the witnesses", () => witnesses.every((witness) => witness.has(publisher.last)));
    return { ...counted, published, witnesses: witnesses.map((witness) => witness.report(publisher.last)) };
  } finally {
    await crowd?.stop();
    for (const { client } of [...witnesses, publisher]) client.close();
    await door.stop();
  }
}

const sum = (all, pick) => all.reduce((sum, each) => sum + pick(each), 0);

test("a crowd whose links are cut hears each message once and in order, and nobody is seen to leave", async (context) => {
  const { guests, witnesses, cuts, published } = await continuity({ guests: 500, processes: 3 });
  const all = [...guests, ...witnesses];
  const count = (name) => sum(all, (each) => each[name].length ?? each[name]);
  const late = new Set(guests.filter(({ isSoon }) => !isSoon).map(({ name }) => name));
  const flickers = all.flatMap(({ flickers }) => flickers).filter(([name]) => !late.has(name));
  context.diagnostic(`${guests.length} clients, ${published} messages, ${count("heard")} deliveries; ${cuts} cuts, ${count("resumed")} resumes`);
  context.diagnostic(`lost ${count("lost")}, twice ${count("twice")}, late ${count("late")}; channels not resumed ${count("broken")}, connections not ${count("anew")}`);
  context.diagnostic(`flickers ${flickers.length}; away for too long ${late.size}, at most ${Math.max(...guests.map(({ longest }) => longest))} ms`);
  assert.ok(cuts > guests.length / 2, `cut ${cuts} times only`);
  assert.ok(count("resumed") > guests.length / 2, `resumed ${count("resumed")} times only`);
  for (const name of ["lost", "twice", "late", "broken", "anew"]) {
    const some = all.filter((each) => each[name].length ?? each[name]).map((each) => `${each.name} in ${each.room}: ${each[name]}`);
    assert.deepEqual(some.slice(0, 5), [], `${name}: ${some.length} clients`);
  }
  assert.deepEqual(flickers.slice(0, 5), [], `flickers: ${flickers.length}`);
  for (const kind of ["hall", "room"]) {
    const orders = new Set(all.map(({ room, order }) => `${kind === "room" ? room : HALL} ${order[kind]}`));
    assert.equal(orders.size, kind === "room" ? ROOMS.length : 1, `everybody heard the ${kind} in one order`);
  }
});

test("it counts what is lost where nothing is kept", async () => {
  const { guests } = await continuity({ guests: 20, processes: 1, ably: { retain: "0s" }, life: 1_000, until: ([{ heard }]) => heard.hall.length > 30, patience: 1 });
  assert.ok(sum(guests, ({ lost }) => lost) > 0);
  assert.ok(sum(guests, ({ broken }) => broken.length) > 0);
});

test("it counts who is seen to leave where nobody may be away", async () => {
  const until = (witnesses) => witnesses.some(({ flickers }) => flickers.length);
  const { guests, witnesses } = await continuity({ guests: 20, processes: 1, ably: { presence_grace: "0s" }, life: 1_000, until });
  assert.equal(sum(guests, ({ lost }) => lost), 0);
  assert.ok(sum(witnesses, ({ flickers }) => flickers.length) > 0);
});
