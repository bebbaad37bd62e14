// Clients of every dialect, by one address, that count what they hear; and speakers, each at one door after another.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { eventually } from "../../browser/harness/eventually.js";
import { Ably, KEY } from "./ably.js";
import { APP, Client, Site as PusherSite } from "./pusher.js";

const EVERY = 50; // ms between two messages of each speaker

/** What the doors of such a crowd offer. */
export const DIALECTS = {
  "realtime.socketio": [{ namespaces: ["/*"] }],
  "realtime.pusher": [APP],
  "realtime.ably": [{ key: KEY }],
  "realtime.channel": [{ match: "kept", history: 5_000 }],
};

/** Whom each kind hears. */
const SPEAKERS = { plain: "kept", events: "kept", socketio: "kept", pusher: "pusher", ably: "ably" };

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
  constructor(isSafe, doors, say) {
    this.ended = this.#talk(isSafe, doors, say);
  }

  async #talk(isSafe, doors, say) {
    let [number, tried, deadline] = [1, 0, Date.now() + 60_000];
    while (!this.#ends || tried) {
      try {
        await say(number, doors()[(number + tried) % doors().length]);
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

/** All of them. */
export class Crowd {
  kinds = {};
  ends = [];
  isOver = false;

  /** So many of each kind, by the address of a balancer before `doors()`. */
  constructor(counts, port, doors) {
    this.port = port;
    this.doors = doors;
    for (const [kind, count] of Object.entries(counts)) this.kinds[kind] = Array.from({ length: count }, (_, number) => this[`_${kind}`](number));
    this.speakers = {
      kept: new Speaker(true, doors, (n, door) => post(door, "/publish", { channel: "kept", name: "n", json: { n } }, { "idempotency-key": `n-${n}` })),
      pusher: new Speaker(false, doors, async (n, door) => {
        const server = PusherSite.prototype.server.call({ kind: "http", port: door.port("http") }, APP, { timeout: 7_000 });
        await server.trigger("room", "n", { n });
      }),
      ably: new Speaker(true, doors, async (n, door) => {
        const rest = new Ably.Rest({ endpoint: "127.0.0.1", port: door.port("http"), tls: false, key: KEY, logLevel: 0, httpRequestTimeout: 7_000 });
        await rest.channels.get("talk").publish({ id: `n-${n}`, name: "n", data: { n } });
      }),
    };
  }

  /** So many each speaker has said. */
  said() {
    return Object.fromEntries(Object.entries(this.speakers).map(([name, { said }]) => [name, said]));
  }

  /** Everybody hears what is said from now on; or up to `now`. */
  async allHear(when, now = Object.fromEntries(Object.entries(this.said()).map(([name, said]) => [name, said + 1]))) {
    const isDeaf = (kind) => ({ last }) => last < now[SPEAKERS[kind]];
    const isHeard = () => Object.entries(this.kinds).every(([kind, all]) => !all.some(isDeaf(kind)));
    await eventually(`all hear after ${when}`, isHeard).catch((error) => {
      const deaf = Object.entries(this.kinds).map(([kind, all]) => `${all.filter(isDeaf(kind)).map(({ last }) => last)} of ${kind}`);
      const words = [`${deaf.join(", ")} have not heard ${JSON.stringify(now)}`, `said are ${JSON.stringify(this.said())}`];
      throw new Error(`${error.message}: ${words.join("; ")}`);
    });
  }

  /** Each of Ably's clients is there once, and nobody else. */
  async noGhosts() {
    const expected = this.kinds.ably.map((_, number) => `client-${number}`).toSorted();
    for (const door of this.doors()) {
      await eventually("those there", async () => {
        const { members } = await (await fetch(`http://${door.addresses.admin}/_doorway/api/v1/channels/talk/members`)).json();
        assert.deepEqual(members.map(({ id, user }) => user ?? id).toSorted(), expected);
        return true;
      });
    }
  }

  /** Has all of it said and heard, and counts what was wrong: `{ kind: { doubled, disordered, lost } }`. `t` is told. */
  async count(t, began) {
    for (const speaker of Object.values(this.speakers)) await speaker.end();
    await this.allHear("the end", this.said());
    const wrong = {};
    for (const [kind, all] of Object.entries(this.kinds)) {
      const speaker = this.speakers[SPEAKERS[kind]];
      const sum = (count) => all.reduce((total, listener) => total + count(listener), 0);
      const lost = sum(({ missed }) => missed.filter((number) => !speaker.unknown.has(number)).length);
      wrong[kind] = { doubled: sum(({ doubled }) => doubled), disordered: sum(({ disordered }) => disordered), lost };
      t.diagnostic(`${kind}: ${all.length} clients, ${sum(({ heard }) => heard.size)} heard of ${speaker.said - began[SPEAKERS[kind]]} said meanwhile; ${JSON.stringify(wrong[kind])}`);
    }
    return wrong;
  }

  /** All leave, and nobody says anything more. */
  stop() {
    this.isOver = true;
    for (const speaker of Object.values(this.speakers)) speaker.end().catch(() => {});
    for (const end of this.ends) end();
  }

  _plain() {
    const listener = new Listener(true);
    let at = "now";
    const open = () => {
      if (this.isOver) return;
      const socket = new WebSocket(`ws://127.0.0.1:${this.port}/api/ws/kept?since=${at}`);
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
    this.ends.push(() => listener.socket.terminate());
    return listener;
  }

  _events() {
    const listener = new Listener(true);
    let at;
    const leaving = new AbortController();
    const read = async () => {
      const headers = { accept: "text/event-stream", ...(at ? { "last-event-id": at } : {}) };
      const answer = await fetch(`http://127.0.0.1:${this.port}/api/ws/kept`, { headers, signal: leaving.signal });
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
      while (!this.isOver) {
        await read().catch(() => {});
        await sleep(200 + Math.random() * 800);
      }
    };
    keep();
    this.ends.push(() => leaving.abort());
    return listener;
  }

  _socketio() {
    const listener = new Listener(false);
    const socket = io(`http://127.0.0.1:${this.port}`, {
      transports: ["websocket"],
      forceNew: true,
      reconnectionDelay: 300,
      reconnectionDelayMax: 1_000,
    });
    socket.on("connect", () => socket.emit("join-room", "kept"));
    socket.on("disconnect", () => (listener.isExcused = true));
    socket.on("message", ({ data }) => data?.n && listener.hears(data.n));
    socket.onAny((name, data) => name !== "message" && data?.n && listener.hears(data.n));
    this.ends.push(() => socket.disconnect());
    return listener;
  }

  _pusher() {
    const listener = new Listener(false);
    const client = new Client(APP.key, {
      cluster: "x",
      wsHost: "127.0.0.1",
      wsPort: this.port,
      forceTLS: false,
      enabledTransports: ["ws"],
      activityTimeout: 5_000,
      pongTimeout: 5_000,
    });
    client.connection.bind("state_change", ({ current }) => current !== "connected" && (listener.isExcused = true));
    client.subscribe("room").bind("n", ({ n }) => listener.hears(n));
    this.ends.push(() => client.disconnect());
    return listener;
  }

  _ably(number) {
    const listener = new Listener(true);
    const client = new Ably.Realtime({
      endpoint: "127.0.0.1",
      port: this.port,
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
    this.ends.push(() => client.close());
    return listener;
  }
}

export async function post(door, path, body, more = {}) {
  const answer = await fetch(`http://${door.addresses.admin}/_doorway/api/v1${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...more },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(7_000),
  });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  return answer.json();
}
