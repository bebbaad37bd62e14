// A part of a crowd: stock clients of Ably in a process of their own, behind wires that are cut at random. They write down all that they
// are told. `Crowd` is the side of who tells them what to do.
import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { whenLeaving } from "../../browser/harness/leaving.js";
import { Ably, eventually, reached } from "./ably.js";
import { Cutter } from "./cutter.js";

/** The channel that everybody is in. */
export const HALL = "hall";

/** A client who was away for longer, in ms, is not asked whether others saw it leave: `presence_grace` is 15 s. */
const SOON = 10_000;

/** By default a client gives up a connection that is not there in 4 to 10 s, as on a busy machine. */
const PATIENT = { webSocketSlowTimeout: 60_000, webSocketConnectTimeout: 60_000, realtimeRequestTimeout: 60_000 };

/** One client and what it was told. */
export class Guest {
  heard = { hall: [], room: [] };
  flickers = [];
  resumed = 0;
  /** It came back as another connection. */
  anew = [];
  /** Channels that it came back to without what it had missed. */
  broken = [];
  longest = 0;
  isSettled = false;

  constructor(name, room, options) {
    Object.assign(this, { name, room });
    this.client = new Ably.Realtime({ clientId: name, disconnectedRetryTimeout: 1000, ...PATIENT, ...options });
    const { connection } = this.client;
    let id;
    let since;
    connection.on("disconnected", () => (since ??= performance.now()));
    connection.on("connected", () => {
      if (id === connection.id) this.resumed++;
      else if (id) this.anew.push(String(connection.errorReason));
      if (since !== undefined) this.longest = Math.max(this.longest, performance.now() - since);
      [id, since] = [connection.id, undefined];
    });
  }

  async come() {
    await reached(this.client.connection, "connected");
    for (const [kind, name] of [["hall", HALL], ["room", this.room]]) {
      const channel = this.client.channels.get(name);
      await channel.subscribe(({ data }) => this.heard[kind].push(data));
      channel.on(["attached", "update"], ({ resumed, reason }) => {
        if (this.isSettled && !resumed) this.broken.push(String(reason));
      });
    }
    const { presence } = this.client.channels.get(this.room);
    await presence.subscribe(({ action, clientId, timestamp }) => {
      if (this.isSettled && ["enter", "leave", "present"].includes(action)) this.flickers.push([clientId, action, timestamp]);
    });
    if (!this.isWitness) await presence.enter("here");
  }

  async seesAll(members) {
    await eventually(`${members} in ${this.room}`, async () => (await this.client.channels.get(this.room).presence.get()).length === members);
    this.isSettled = true;
  }

  /** What it should have been told is, by channel and stream of messages, the number of the last. */
  has(expected) {
    return ["hall", "room"].every((kind) => this.heard[kind].length >= total(expected[this.channel(kind)]));
  }

  channel(kind) {
    return kind === "hall" ? HALL : this.room;
  }

  /** Of each stream it should have heard 1, 2, 3 … and nothing else. */
  report(expected) {
    const counts = { name: this.name, room: this.room, lost: 0, twice: 0, late: 0, heard: 0, order: {} };
    for (const kind of ["hall", "room"]) {
      const heard = this.heard[kind];
      const last = {};
      const seen = new Set();
      for (const data of heard) {
        const [stream, number] = [data[0], Number(data.slice(1))];
        if (seen.has(data)) counts.twice++;
        else if (number < (last[stream] ?? 0)) counts.late++;
        seen.add(data);
        last[stream] = Math.max(last[stream] ?? 0, number);
      }
      counts.heard += heard.length;
      counts.lost += total(expected[this.channel(kind)]) - seen.size;
      counts.order[kind] = createHash("sha256").update(heard.join()).digest("hex");
    }
    const { resumed, anew, broken, longest, flickers } = this;
    return { ...counts, resumed, anew, broken, flickers, isSoon: longest < SOON, longest: Math.round(longest) };
  }
}

function total(streams = {}) {
  return Object.values(streams).reduce((sum, last) => sum + last, 0);
}

/** Several processes of guests. */
export class Crowd {
  /** `rooms` by number: guest n is in the n-th of them, and in the hall. */
  static async of({ port, guests, processes, rooms, options }) {
    const crowd = new Crowd();
    crowd.parts = Array.from({ length: processes }, (_, part) => {
      const child = fork(fileURLToPath(import.meta.url), [], { env: { ...process.env, PART_OF_A_CROWD: "yes" } });
      whenLeaving(() => child.kill("SIGKILL"));
      const numbers = Array.from({ length: guests }, (_, n) => n).filter((n) => n % processes === part);
      return { child, numbers };
    });
    await crowd.#all("come", ({ numbers }) => ({ port, rooms, options, numbers }));
    return crowd;
  }

  settle = (members) => this.#all("settle", () => members);
  begin = (life) => this.#all("begin", () => life);
  /** Cuts no more, and has everybody back. */
  end = () => this.#all("end", () => {});

  /** What each of them was told; waits until they have all that they should, if that may be. */
  async report(expected, patience) {
    const parts = await this.#all("report", () => ({ expected, patience }));
    return { guests: parts.flatMap(({ guests }) => guests), cuts: parts.reduce((sum, { cuts }) => sum + cuts, 0) };
  }

  async stop() {
    await this.#all("close", () => {});
    this.parts.forEach(({ child }) => child.disconnect());
  }

  #all(task, given) {
    return Promise.all(this.parts.map((part) => ask(part.child, task, given(part))));
  }
}

function ask(child, task, given) {
  return new Promise((resolve, reject) => {
    const gone = (code) => reject(new Error(`the process of a part of the crowd ended (${code})`));
    child.once("exit", gone);
    child.once("message", ({ done, failed }) => {
      child.off("exit", gone);
      if (failed) reject(new Error(`${task}: ${failed}`));
      else resolve(done);
    });
    child.send({ task, given });
  });
}

/** The side of those who are told. */
const TASKS = {
  async come({ port, rooms, options, numbers }) {
    this.cutter = await Cutter.to(port);
    this.guests = numbers.map((n) => {
      // A third speaks JSON.
      const own = { ...options, port: this.cutter.port, useBinaryProtocol: n % 3 > 0 };
      return new Guest(`guest-${n}`, rooms[n % rooms.length], own);
    });
    await Promise.all(this.guests.map((guest) => guest.come()));
  },
  settle(members) {
    return Promise.all(this.guests.map((guest) => guest.seesAll(members[guest.room]))).then(() => {});
  },
  begin(life) {
    this.cutter.begin(life);
  },
  async end() {
    this.cutter.end();
    await Promise.all(this.guests.map(({ client }) => reached(client.connection, "connected")));
  },
  async report({ expected, patience }) {
    const all = () => this.guests.every((guest) => guest.has(expected));
    await eventually("all to be heard", all, patience).catch(() => {});
    return { guests: this.guests.map((guest) => guest.report(expected)), cuts: this.cutter.cuts };
  },
  close() {
    this.guests.forEach(({ client }) => client.close());
    this.cutter.stop();
  },
};

if (process.env.PART_OF_A_CROWD) {
  const part = {};
  process.on("message", async ({ task, given }) => {
    try {
      process.send({ done: await TASKS[task].call(part, given) });
    } catch (error) {
      process.send({ failed: error.stack });
    }
  });
  process.on("disconnect", () => process.exit());
}
