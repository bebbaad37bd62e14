// Several doors that share documents, behind a load balancer that sends every connection to the next of them: editors of the
// stock libraries edit at any door, and whatever fails nothing that was confirmed is lost, and nothing is there twice.
import "./harness/quiet.js"; // before the library, which keeps what it finds
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Liveblocks } from "@liveblocks/node";
import { getYjsProviderForRoom } from "@liveblocks/yjs";
import WebSocket from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import { config, Doorway } from "../browser/harness/doorway.js";
import { Chance } from "./harness/chance.js";
import { Editor, eventually, LiveList, PUBLIC, SECRET } from "./harness/liveblocks.js";
import { Redis } from "./harness/redis.js";
import { eachConnection } from "./harness/round_robin.js";
import { Writer } from "./harness/writer.js";

const DOORS = 3;
const SEED = Number(process.env.CLUSTER_SEED ?? 1);
const ROUND = 1_500; // ms of editing before and after something fails

let redis, doors, balancer, ports;

// The libraries leave timers behind that would keep this process: it ends when all is said.
after(() => setTimeout(() => process.exit(), 3_000).unref());

/** What Redis answers to a command: its first line, or the one behind that where it says how long that is. */
async function ask(...words) {
  const client = connect(redis.socket);
  client.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`);
  const [answer] = await once(client, "data");
  client.destroy();
  const [first, second] = String(answer).split("\r\n");
  return first.startsWith("$") ? second : first;
}

async function startDoor() {
  const door = await Doorway.start(
    config({
      app: { url: "off" },
      listen: { http: "127.0.0.1:0" },
      "realtime.redis": { url: redis.url, node_timeout: "3s", message_patience: "1s", peer: "127.0.0.1:0" },
      "realtime.liveblocks": { public_key: PUBLIC, secret: SECRET },
      "realtime.yjs": { rooms: ["*"] },
      drain: { timeout: "30s" },
    }),
  );
  await door.said("reached", ({ message }) => message === "the other doors can reach this one");
  door.node = await door.said("its name", ({ message, node }) => /channels are shared/.test(message) && node);
  return door;
}

before(async () => {
  redis = await Redis.start("--appendonly", "yes", "--appendfsync", "always");
  doors = await Promise.all(Array.from({ length: DOORS }, startDoor));
  ports = new Set(doors);
  balancer = await eachConnection(() => [...ports].map((door) => door.port("http")));
});

after(async () => {
  balancer?.stop();
  balancer?.cut();
  for (const door of doors ?? []) await door.stop();
  await redis?.stop();
});

const url = (door) => `http://127.0.0.1:${door.port("http")}`;
const node = (door) => new Liveblocks({ secret: SECRET, baseUrl: url(door) });

/** The door that has a room. */
const owner = (room) =>
  eventually(`a door has ${room}`, async () => {
    const [, name] = (await ask("GET", `dw:{${room}}:owner`)).split(" ");
    return doors.find((door) => door.node === name);
  });

function provider(origin, room, more = {}) {
  const options = { WebSocketPolyfill: WebSocket, disableBc: true, maxBackoffTime: 100, ...more };
  return new WebsocketProvider(`${origin.replace("http", "ws")}/api/ws/yjs`, room, new Y.Doc(), options);
}

const text = (provider) => (provider.doc ?? provider.getYDoc()).getText("t");

/** Editors of one room by all libraries, each at whichever door is next. */
class Crowd {
  static async open(room) {
    const crowd = new Crowd();
    crowd.room = room;
    crowd.chance = new Chance(SEED);
    const site = { url: balancer.origin };
    crowd.editors = [0, 1, 2].map(() => new Editor(site).enter(room, { storage: { l: new LiveList([]) } }));
    // One alone makes the storage.
    for (const editor of crowd.editors) await (await editor.connected()).stored();
    crowd.providers = [0, 1, 2].map(() => provider(balancer.origin, room));
    crowd.inRooms = crowd.editors.map(({ room }) => getYjsProviderForRoom(room));
    const list = (editor) => [...editor.root.get("l")].join("");
    const texts = [...crowd.inRooms, ...crowd.providers];
    crowd.writers = crowd.editors.map((editor, who) => {
      const other = crowd.editors[(who + 1) % 3];
      const known = () => ({ isSynced: editor.room.getStorageStatus() === "synchronized", heard: list(other) });
      return new Writer("abc"[who], (word) => editor.root.get("l").push(word), known);
    });
    texts.forEach((own, who) => {
      const other = texts[(who + 1) % texts.length];
      const write = (word) => text(own).insert(crowd.chance.below(2) ? text(own).length : 0, word);
      crowd.writers.push(new Writer("uvwxyz"[who], write, () => ({ isSynced: false, heard: text(other).toString() })));
    });
    crowd.lists = () => crowd.editors.map(list);
    crowd.texts = () => texts.map((own) => text(own).toString());
    await crowd.isThere();
    return crowd;
  }

  isThere() {
    const areThere = () => [
      ...this.editors.map(({ room }) => room.getStatus() === "connected"),
      ...this.inRooms.map(({ synced }) => synced),
      ...this.providers.map(({ synced }) => synced),
    ];
    return eventually("all to be there", () => areThere().every(Boolean)).catch((error) => {
      throw new Error(`${error.message}: ${areThere()}`, { cause: error });
    });
  }

  async write(time = ROUND) {
    const end = Date.now() + time;
    while (Date.now() < end) {
      for (const writer of this.writers) if (this.chance.once(2)) writer.step();
      await sleep(this.chance.below(20));
    }
  }

  look() {
    this.writers.forEach((writer) => writer.look());
  }

  /** All have the same, every word once, and so has whoever asks any door. */
  async agree(context, what) {
    await this.isThere();
    const confirmed = this.writers.reduce((sum, writer) => sum + writer.confirmed.size, 0);
    for (const writer of this.writers) writer.step();
    const whole = () => [this.lists()[0], this.texts()[0]].join("");
    const are = (all) => new Set(all).size === 1;
    const isWhole = () => are(this.lists()) && are(this.texts()) && this.writers.every((writer) => writer.in(whole()).length >= writer.written);
    await eventually("all to have the same", isWhole).catch((error) => {
      const missing = this.writers.map((writer) => `${writer.name}: ${writer.in(whole()).length} of ${writer.written}`);
      throw new Error(`${error.message}: ${missing}; lists ${are(this.lists())}, texts ${are(this.texts())}`, { cause: error });
    });
    for (const writer of this.writers) {
      const numbers = writer.in(whole()).toSorted((one, other) => one - other);
      assert.deepEqual(numbers, Array.from({ length: writer.written }, (_, n) => n + 1), `${writer.name}: each once`);
    }
    for (const editor of this.editors) await editor.synced();
    for (const door of ports) {
      const { l } = await eventually("the storage", () => node(door).getStorageDocument(this.room, "json"));
      assert.equal(l.join(""), this.lists()[0]);
      const { t } = await eventually("the document", () => node(door).getYjsDocument(this.room));
      assert.equal(t, this.texts()[0]);
    }
    const written = this.writers.reduce((sum, writer) => sum + writer.written, 0);
    context?.diagnostic(`${what}: ${written} words, ${confirmed} confirmed before it, each there once`);
  }

  leave() {
    this.editors.forEach((editor) => editor.leave());
    this.providers.forEach((provider) => provider.destroy());
  }
}

/** Another door in place of one that is gone, or is to go. */
async function replace(door) {
  door.signal("SIGKILL");
  doors[doors.indexOf(door)] = await startDoor();
  ports = new Set(doors);
}

describe("at any door", () => {
  test("editors of all libraries meet, whichever door they came to", async (t) => {
    const crowd = await Crowd.open("meet");
    try {
      const tunnels = async (door) => Number(/doorway_peer_tunnels (\d+)/.exec(await (await door.admin("/metrics")).text())[1]);
      const through = await Promise.all(doors.map(tunnels));
      assert.equal(through.filter((open) => open > 0).length, DOORS - 1, `but for the owner each has some of them: ${through}`);
      const actors = crowd.editors.map(({ room }) => room.getSelf().connectionId);
      assert.equal(new Set(actors).size, actors.length, `no number is given twice: ${actors}`);
      await eventually("each to see the others", () => crowd.editors.every(({ room }) => room.getOthers().length === 2));
      await crowd.write();
      await crowd.agree(t, "without a fault");
    } finally {
      crowd.leave();
    }
  });

  test("REST changes and reads a room, and editors hear of it", async () => {
    const room = "rest";
    for (const [number, door] of doors.entries()) {
      await node(door).getOrCreateRoom(room, { defaultAccesses: ["*:write"] });
      if (number === 0) await node(door).initializeStorageDocument(room, { liveblocksType: "LiveObject", data: { l: { liveblocksType: "LiveList", data: [] } } });
    }
    const editor = new Editor({ url: balancer.origin }).enter(room);
    try {
      await (await editor.connected()).stored();
      for (const [number, door] of doors.entries()) {
        await node(door).mutateStorage(room, ({ root }) => root.get("l").push(number));
        const patched = await fetch(`${url(door)}/v2/rooms/${room}/storage/json-patch`, {
          method: "PATCH",
          headers: { authorization: `Bearer ${SECRET}`, "content-type": "application/json" },
          body: JSON.stringify([{ op: "add", path: `/patched${number}`, value: number }]),
        });
        assert.equal(patched.status, 200, await patched.text());
        const doc = new Y.Doc();
        doc.getText("t").insert(0, `${number}`);
        await node(door).sendYjsBinaryUpdate(room, Y.encodeStateAsUpdate(doc));
        for (const reader of doors) {
          const { l, ...others } = await node(reader).getStorageDocument(room, "json");
          assert.deepEqual(l, [0, 1, 2].slice(0, number + 1), "read where it was not written");
          assert.equal(Object.keys(others).length, number + 1);
          assert.equal((await node(reader).getYjsDocument(room)).t.length, number + 1);
        }
      }
      await eventually("the editor has it", () => editor.root.get("l").length === DOORS);
      const { data } = await node(doors[1]).getActiveUsers(room);
      assert.deepEqual(data.map(({ connectionId }) => connectionId), [editor.room.getSelf().connectionId]);
    } finally {
      editor.leave();
    }
  });

  test("the API changes and reads documents", async () => {
    const api = async (door, path, body) => {
      const options = body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
      const answer = await fetch(`http://${door.addresses.admin}/_doorway/api/v1${path}`, options);
      assert.equal(answer.status, 200, `${path}: ${await answer.clone().text()}`);
      return answer.json();
    };
    for (const [number, door] of doors.entries()) {
      await api(door, "/tree", { channel: "api", patch: [{ op: "add", path: `/n${number}`, value: number }] });
      const doc = new Y.Doc();
      doc.getText("t").insert(0, `${number}`);
      await api(door, "/yjs", { channel: "api", update: Buffer.from(Y.encodeStateAsUpdate(doc)).toString("base64") });
      for (const reader of doors) {
        const { tree } = await api(reader, "/channels/api/tree");
        assert.deepEqual(tree, Object.fromEntries([0, 1, 2].slice(0, number + 1).map((n) => [`n${n}`, n])));
        assert.equal((await api(reader, "/channels/api/yjs")).types.t.length, number + 1);
      }
    }
    const nothing = await fetch(`http://${doors[1].addresses.admin}/_doorway/api/v1/channels/none/tree`);
    assert.equal(nothing.status, 404);
  });

  test("records of rooms are the same, and a room that goes is gone", async () => {
    const [one, other, third] = doors.map(node);
    const made = await one.createRoom("record", { defaultAccesses: ["*:write"], metadata: { kind: "board" } });
    await assert.rejects(other.createRoom("record", { defaultAccesses: [] }), ({ status }) => status === 409);
    assert.deepEqual(await other.getRoom("record"), made);
    await Promise.all([one, other, third].map((each, number) => each.updateRoom("record", { metadata: { [`n${number}`]: "yes" } })));
    const { metadata } = await third.getRoom("record");
    assert.deepEqual(metadata, { kind: "board", n0: "yes", n1: "yes", n2: "yes" }, "nothing is lost of what three change at once");
    const names = async (each) => (await each.getRooms({ query: 'metadata["kind"]:"board"' })).data.map(({ id }) => id);
    for (const each of [one, other, third]) assert.deepEqual(await names(each), ["record"]);
    const editors = doors.map((door) => new Editor({ url: url(door) }).enter("record"));
    try {
      for (const editor of editors) await editor.connected();
      const renamed = await other.updateRoomId({ currentRoomId: "record", newRoomId: "renamed" });
      assert.equal(renamed.id, "renamed");
      for (const editor of editors) await eventually("told of the name", () => editor.closes.some(([code, reason]) => code === 4006 && reason === "renamed"));
      for (const each of [one, other, third]) assert.deepEqual(await names(each), ["renamed"]);
    } finally {
      editors.forEach((editor) => editor.leave());
    }
    const there = new Editor({ url: url(doors[0]) }).enter("renamed");
    try {
      await there.connected();
      await third.deleteRoom("renamed");
      await eventually("told that it is gone", () => there.closes.some(([code]) => code === 4001));
    } finally {
      there.leave();
    }
    await assert.rejects(one.getRoom("renamed"), ({ status }) => status === 404);
    for (const each of [one, other, third]) assert.deepEqual(await names(each), []);
    assert.equal(await ask("EXISTS", "dw:{renamed}:rows"), ":0");
  });
});

describe("while all edit", () => {
  test("the owner is killed", async (t) => {
    const crowd = await Crowd.open("killed");
    const door = await owner("killed");
    try {
      await crowd.write();
      const writing = crowd.write();
      await sleep(ROUND / 3);
      crowd.look();
      ports.delete(door);
      door.signal("SIGKILL");
      await writing;
      await eventually("another has it", async () => (await owner("killed")) !== door);
      await crowd.agree(t, "killed");
    } finally {
      crowd.leave();
      await replace(door);
    }
  });

  test("the owner stops, and another has the room at once", async (t) => {
    const crowd = await Crowd.open("stopped");
    const door = await owner("stopped");
    // A request without its body: the door does not end before it.
    const held = connect(door.port("http"), "127.0.0.1");
    held.on("error", () => {});
    held.write(`POST /v2/rooms HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${SECRET}\r\ncontent-length: 9\r\n\r\n`);
    try {
      await crowd.write();
      const writing = crowd.write();
      await sleep(ROUND / 3);
      crowd.look();
      ports.delete(door);
      door.signal("SIGTERM");
      await eventually("another has it", async () => (await owner("stopped")) !== door);
      assert.equal(door.child.process.exitCode, null, "before the door has ended");
      held.destroy();
      await writing;
      await door.stop();
      const isTaken = ({ child }) => child.lines.some((line) => line.includes("documents were taken") && line.includes('"stopped"'));
      assert.ok(!doors.some(isTaken), "it was let go, and nobody had to take it");
      await crowd.agree(t, "stopped");
    } finally {
      held.destroy();
      crowd.leave();
      await replace(door);
    }
  });

  test("the owner stands still until another has the room, and writes nothing when it goes on", async (t) => {
    const crowd = await Crowd.open("still");
    const door = await owner("still");
    // One that knows no other door: what it says comes when the door goes on.
    const alone = provider(url(door), "still");
    try {
      await eventually("it is there", () => alone.synced);
      await crowd.write();
      crowd.look();
      const before = await ask("GET", "dw:{still}:owner");
      const heard = door.heard;
      await door.standStill();
      alone.shouldConnect = false;
      text(alone).insert(0, "late");
      // As a balancer does that finds out.
      ports.delete(door);
      balancer.cut();
      const writing = crowd.write();
      await eventually("another has it", async () => (await owner("still")) !== door);
      await writing;
      await crowd.agree(t, "while it stands still");
      door.signal("SIGCONT");
      await door.said("that it has it no longer", ({ message, channel }) => channel === "still" && /(its|their) editors are sent away/.test(message), { after: heard, within: 60_000 });
      await eventually("its editor is sent away", () => !alone.wsconnected);
      ports.add(door);
      await crowd.write();
      await crowd.agree(t, "after it went on");
      const now = await ask("GET", "dw:{still}:owner");
      assert.ok(!crowd.texts()[0].includes("late"), `what it was told is nowhere: ${before}, ${now}`);
      assert.ok(Number(now.split(" ")[0]) > Number(before.split(" ")[0]) && !now.endsWith(door.node), `${before}, ${now}`);
    } finally {
      alone.destroy();
      crowd.leave();
    }
  });

  test("Redis is killed and back with what it had", async (t) => {
    const crowd = await Crowd.open("redis");
    try {
      await crowd.write();
      await redis.kill();
      await crowd.write();
      await eventually("all are sent away", () => crowd.editors.every(({ closes }) => closes.some(([code]) => code === 1011)));
      for (const door of doors) await eventually("not ready", async () => !(await door.admin("/health/ready")).ok);
      redis.again();
      for (const door of doors) await eventually("ready again", async () => (await door.admin("/health/ready")).ok);
      await crowd.write();
      await crowd.agree(t, "Redis killed");
    } finally {
      crowd.leave();
    }
  });
});
