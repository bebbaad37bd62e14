// What was acknowledged is there: after kills at random points under load, torn writes, full disks and read-only folders; and what
// is damaged is named, and never emptied.
//   CRASH_KILLS=200 has so many kills.
import "./harness/quiet.js"; // before the library, which keeps what it finds
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, cpSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { getYjsProviderForRoom } from "@liveblocks/yjs";
import WebSocket from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import { whenLeaving } from "../browser/harness/leaving.js";
import { paths, scratch } from "../browser/harness/paths.js";
import { config, Doorway } from "../browser/harness/doorway.js";
import { Chance } from "./harness/chance.js";
import { eventually, LiveList, LiveObject, Site } from "./harness/liveblocks.js";
import { Writer } from "./harness/writer.js";

const KILLS = Number(process.env.CRASH_KILLS ?? 20);
const SEED = Number(process.env.CRASH_SEED ?? 1);
const MIB = 1 << 20;

// The libraries leave timers behind that would keep this process: it ends when all is said.
after(() => setTimeout(() => process.exit(), 3_000).unref());

/** What is on disk of a room, while no door has it: its tree, and its document of Yjs' text. */
function stored(folder, room) {
  const out = execFileSync(paths.doorway, ["documents", "--folder", folder, "export", room], { maxBuffer: 256 * MIB, stdio: ["ignore", "pipe", "pipe"] });
  const { tree, yjs } = JSON.parse(out);
  const doc = new Y.Doc();
  if (yjs[""]) Y.applyUpdate(doc, Buffer.from(yjs[""], "base64"));
  return { tree, text: doc.getText("t").toString() };
}

async function kill(site) {
  const { process } = site.door.child;
  const gone = once(process, "exit");
  process.kill("SIGKILL");
  await gone;
}

test("nothing that was confirmed is lost to a kill", async (context) => {
  const chance = new Chance(SEED);
  const site = await Site.start({ "realtime.yjs": { rooms: ["socket"] } });
  const room = "crash";
  const [a, b] = [await site.stored(room, { l: new LiveList([]), o: new LiveObject({}) }), await site.stored(room)];
  const [ya, yb] = [a, b].map(({ room }) => getYjsProviderForRoom(room));
  const [yc, yd] = [1, 2].map(() => {
    const options = { WebSocketPolyfill: WebSocket, disableBc: true, maxBackoffTime: 100 };
    return new WebsocketProvider(`ws://127.0.0.1:${site.port}/api/ws/yjs`, "socket", new Y.Doc(), options);
  });
  const list = (editor) => [...editor.root.get("l")].join("");
  const text = (provider) => (provider.doc ?? provider.getYDoc()).getText("t");
  // Confirmed is what its own client says it is, and what another has heard of. Yjs' provider says it 200 ms late.
  const writers = [a, b].map((editor, who) => {
    const other = [b, a][who];
    const push = (word) => {
      editor.root.get("l").push(word);
      if (chance.once(10)) editor.root.get("o").set(`blob${who}`, "x".repeat(chance.below(200_000)));
    };
    return new Writer("ab"[who], push, () => ({ isSynced: editor.room.getStorageStatus() === "synchronized", heard: list(other) }));
  });
  for (const [name, own, other] of [["y", ya, yb], ["z", yb, ya], ["s", yc, yd], ["t", yd, yc]]) {
    const write = (word) => text(own).insert(chance.below(2) ? text(own).length : 0, word);
    const known = () => ({ isSynced: false, heard: text(other).toString() });
    writers.push(new Writer(name, write, known));
  }
  const isThere = () =>
    [a, b].every(({ room }) => room.getStatus() === "connected") && [yc, yd].every(({ synced }) => synced);
  let confirmed = 0;
  try {
    for (let number = 1; number <= KILLS; number++) {
      await eventually("all to be there", isThere);
      const end = Date.now() + 20 + chance.below(400);
      while (Date.now() < end) {
        for (const writer of writers) if (chance.once(2)) writer.step();
        await sleep(chance.below(12));
      }
      writers.forEach((writer) => writer.look());
      await kill(site);
      // What is heard from now on was on its way before.
      const [tree, socket] = [stored(site.folder, room), stored(site.folder, "socket")].map((room) => JSON.stringify(room.tree) + room.text);
      const whole = tree + socket;
      for (const writer of writers) {
        const there = new Set(writer.in(whole));
        const lost = [...writer.confirmed].filter((number) => !there.has(number));
        assert.deepEqual(lost, [], `CRASH_SEED=${SEED}, kill ${number}: ${writer.name}, of ${writer.confirmed.size} confirmed`);
      }
      await site.open({ http: `127.0.0.1:${site.port}` });
    }
    await eventually("all to be there", isThere);
    for (const editor of [a, b]) await editor.synced();
    const all = () => [list(a), text(ya).toString(), text(yc).toString()].join("");
    await eventually("all to be as the others have it", () => all() === [list(b), text(yb).toString(), text(yd).toString()].join(""));
    for (const writer of writers) {
      const numbers = writer.in(all()).toSorted((one, other) => one - other);
      assert.deepEqual(numbers, Array.from({ length: writer.written }, (_, n) => n + 1), `${writer.name}: each once`);
      confirmed += writer.confirmed.size;
    }
    context.diagnostic(`${KILLS} kills, ${writers.reduce((sum, { written }) => sum + written, 0)} changes, ${confirmed} confirmed before a kill, none lost`);
  } finally {
    [yc, yd].forEach((provider) => provider.destroy());
    await site.stop();
  }
});

/** The log that was written last, and how long it is without the empty rest. */
function log(folder) {
  const logs = readdirSync(folder).filter((name) => name.endsWith(".jnl"));
  const file = join(folder, logs.sort((one, other) => parseInt(one) - parseInt(other)).at(-1));
  const bytes = readFileSync(file);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return { file, end };
}

/** A room with a list of so many items, each a change of its own; the door is gone. */
async function written(items, more) {
  const site = await Site.start(more);
  const a = await site.stored("room", { l: new LiveList([]) });
  await a.synced();
  for (let item = 0; item < items; item++) {
    a.root.get("l").push(item);
    await eventually("stored", () => a.room.getStorageStatus() === "synchronized");
  }
  a.leave();
  await kill(site);
  return site;
}

const items = (site) => site.node.getStorageDocument("room", "json").then(({ l }) => l);
const upTo = (items) => Array.from({ length: items }, (_, item) => item);

test("a torn last write takes that one alone", async () => {
  const site = await written(12);
  const copy = join(scratch(), "documents");
  for (const torn of [1, 2, 5, 13, 20, 33]) {
    rmSync(copy, { recursive: true, force: true });
    cpSync(site.folder, copy, { recursive: true });
    const { file, end } = log(copy);
    truncateSync(file, end - torn);
    assert.deepEqual(stored(copy, "room").tree.data.l.data, upTo(11), `${torn} bytes`);
  }
  const { file, end } = log(site.folder);
  truncateSync(file, end - 7);
  await site.open();
  assert.deepEqual(await items(site), upTo(11));
  const a = await site.stored("room");
  a.root.get("l").push(11);
  await a.synced();
  await site.again({ killed: true });
  assert.deepEqual(await items(site), upTo(12));
  await site.stop();
});

/** Whether it is ready, and what it says. */
const ready = async (site) => {
  const answer = await site.door.admin("/health/ready");
  return { isReady: answer.ok, says: await answer.text() };
};
const isNotReady = (site) =>
  eventually("it says that it is not ready", async () => {
    const { isReady, says } = await ready(site);
    return !isReady && says.includes("documents cannot be written");
  });
const isReady = (site) => eventually("ready again", async () => (await ready(site)).isReady);

test("a damaged log is named, its room is not opened, and nothing is taken away", async () => {
  const site = await written(30);
  const { file, end } = log(site.folder);
  const sound = readFileSync(file);
  const handle = openSync(file, "r+");
  writeSync(handle, Buffer.alloc(200, 0xa5), 0, 200, Math.floor(end / 3));
  closeSync(handle);
  const damaged = readFileSync(file);
  await site.open();
  const a = site.editor("room");
  const said = await site.door.said("what is damaged", ({ message, error }) => /cannot be (had|let)/.test(message) && error);
  assert.match(said, /are damaged.*changes behind it/);
  assert.ok(said.includes(site.folder), said);
  await eventually("sent away", () => a.closes.some(([code]) => code === 1011));
  a.leave();
  await site.door.stop();
  assert.ok(readFileSync(file).equals(damaged), "it is as it was");
  writeFileSync(file, sound);
  await site.open();
  assert.deepEqual(await items(site), upTo(30));
  await site.stop();
});

test("two doors do not share a folder: the second waits for the first", async () => {
  const site = await Site.start();
  const a = await site.stored("room", { l: new LiveList([0]) });
  await a.synced();
  const second = Object.assign(new Site(), { folder: site.folder, settings: site.settings });
  second.door = await Doorway.start(config(site.settings));
  second.port = second.door.port("http");
  const b = second.editor("room");
  const said = await second.door.said("who has it", ({ error }) => /in use/.test(error) && error);
  assert.match(said, /two doors cannot share a folder/);
  a.root.get("l").push(1);
  await a.synced();
  a.leave();
  await site.door.stop();
  await b.stored();
  assert.deepEqual(b.json, { l: [0, 1] });
  await second.stop();
});

/** Why there is no small disk here; nothing where there is. */
function whyNot() {
  if (process.getuid() !== 0) return "only root may mount a disk";
  const at = scratch();
  const tried = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "none", at], { encoding: "utf8" });
  if (tried.status === 0) spawnSync("umount", [at]);
  return tried.status === 0 ? false : `no disk can be mounted: ${tried.stderr}`;
}

/** A disk of this size, gone with the test. */
function disk(size) {
  let at;
  // Before the folder goes.
  whenLeaving(() => at && spawnSync("umount", ["-l", at]));
  at = scratch();
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "none", at]);
  return at;
}

describe("a disk", { skip: whyNot() }, () => {
  test("that is full: nothing is acknowledged, and it goes on when there is room", async () => {
    const at = disk("24m");
    const site = await Site.start({ documents: { dir: join(at, "documents") } });
    const a = await site.stored("room", { l: new LiveList([]), o: new LiveObject({}) });
    await a.synced();
    const filler = openSync(join(at, "filler"), "w");
    assert.throws(() => {
      for (;;) writeSync(filler, Buffer.alloc(64 * 1024, 1));
    }, /ENOSPC/);
    closeSync(filler);
    // Its last page has room yet.
    let [pushed, confirmed] = [0, 0];
    await eventually("it cannot be written", () => {
      if (a.room.getStorageStatus() === "synchronized") {
        confirmed = pushed;
        a.root.get("l").push(pushed++);
        a.root.get("o").set("blob", "x".repeat(5_000));
      }
      return a.closes.some(([code]) => code === 1011);
    });
    await isNotReady(site);
    await site.door.said("why", ({ message, error }) => /documents cannot be written/.test(message) && /No space left/.test(error));
    assert.notEqual(a.room.getStorageStatus(), "synchronized");
    assert.equal(confirmed, pushed - 1);
    rmSync(join(at, "filler"));
    await isReady(site);
    await a.connected();
    await a.synced();
    const newcomer = await site.stored("room");
    await eventually("all of it", () => newcomer.root.get("l").length === pushed);
    assert.deepEqual(newcomer.json.l, upTo(pushed));
    await site.again({ killed: true });
    assert.deepEqual(await items(site), upTo(pushed));
    await site.stop();
  });

  test("that is read-only: its rooms are not opened, until it can be written", async () => {
    const at = disk("8m");
    mkdirSync(join(at, "documents"));
    execFileSync("mount", ["-o", "remount,ro", at]);
    const site = await Site.start({ documents: { dir: join(at, "documents") } });
    const a = site.editor("room", { storage: { l: new LiveList([0]) } });
    await eventually("sent away", () => a.closes.some(([code]) => code === 1011));
    await isNotReady(site);
    await site.door.said("why", ({ error }) => /Read-only file system/.test(error));
    execFileSync("mount", ["-o", "remount,rw", at]);
    await a.connected();
    await a.stored();
    await a.synced();
    await isReady(site);
    assert.ok(statSync(join(at, "documents", "0.jnl")).size > 0);
    assert.deepEqual(await items(site), [0]);
    await site.stop();
  });
});
