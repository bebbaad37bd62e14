// Convergence: several stock clients edit one storage at random, while their lines are held, cut and reordered, they edit without
// a line, undo, and the door is restarted and killed. At the end all of them, a newcomer and what is stored are one.
//   CONVERGE_RUNS=200 has so many runs, CONVERGE_SEED=17 the one of this seed alone.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { Chance } from "./harness/chance.js";
import { said } from "./harness/quiet.js";
import { eventually, LiveList, LiveMap, LiveObject, LiveText, Site } from "./harness/liveblocks.js";

const RUNS = Number(process.env.CONVERGE_RUNS ?? 20);
const SEED = process.env.CONVERGE_SEED;
const STEPS = 80;
/** Runs at a time. Each has a room of its own, and all have one door. */
const LANES = 4;
const PATIENCE = 20_000;

const storage = () => ({
  o: new LiveObject({ x: 0, c: new LiveObject({ v: 0 }) }),
  l: new LiveList(["a", "b", "c"]),
  n: new LiveList([new LiveObject({ v: 0 }), new LiveList(["deep"])]),
  m: new LiveMap([["k", 0]]),
  t: new LiveText("Hello world"),
});

/** What is there, with the room's text as its pieces. */
const seen = (editor) => JSON.parse(JSON.stringify(editor.json));

/**
 * A change by one client of a kind that chance chooses; `mark` is a value that nobody else has. Not among them is what the
 * library itself cannot carry through a lost line, whatever the server says:
 * - undo of map entries that two change blindly: a run has changes of maps, or undo;
 * - a plain value where another has a structure under way at that key: it takes its own for orphaned;
 * - a structure where another has one under way at that key, or undoes it, and whose answer is lost: what it hears of while its own
 *   waits it knows from then on, and does not show when it comes again. Each client sets structures at keys of its own;
 * - an item that is set, whose answer is lost: where it is moved then the library throws, and what it hides it shows no more when
 *   it comes again. Items are moved here; that they are set is in the tests of single changes.
 */
function edit(chance, { root }, mark, { maps }) {
  const [o, l, n, m, t] = ["o", "l", "n", "m", "t"].map((key) => root.get(key));
  const at = (list) => chance.below(list.length);
  const own = (key) => `${key}${mark.split(".")[0]}`;
  const key = () => chance.of(["k", "q", "r"]);
  const lists = {
    push: (list) => list.push(mark),
    insert: (list) => list.insert(mark, chance.below(list.length + 1)),
    change: (list) => list.length && list.move(at(list), at(list)),
    delete: (list) => list.length && list.delete(at(list)),
    clear: (list) => chance.once(4) && list.clear(),
  };
  const change = (list) => chance.of([...Object.values(lists), lists.push, lists.insert, lists.change])(list);
  const nested = () => {
    const child = n.length ? n.get(at(n)) : undefined;
    if (child instanceof LiveObject) return chance.once(4) ? child.set(own("in"), new LiveList([mark])) : child.set("v", mark);
    if (child instanceof LiveList) return change(child);
    if (chance.once(2)) return n.push(new LiveObject({ v: mark, list: new LiveList([mark]) }));
    return n.insert(new LiveList([mark]), 0);
  };
  const object = () => {
    const c = o.get("c");
    return chance.of([
      () => o.set("x", mark),
      () => o.set("y", { plain: [mark] }),
      () => o.delete("x"),
      () => o.delete("c"),
      () => o.set(own("c"), new LiveObject({ v: mark, l: new LiveList([mark]) })),
      () => (c instanceof LiveObject ? c.set("v", mark) : o.set(own("c"), new LiveObject({ v: mark }))),
      () => (c instanceof LiveObject ? c.delete("v") : o.set("x", mark)),
    ])();
  };
  const text = () => {
    const from = chance.below(t.length + 1);
    const length = chance.below(t.length - from + 1);
    return chance.of([
      () => t.insert(from, chance.of([mark, "😀", "é\n", "x"])),
      () => t.insert(from, "y", { b: chance.of([true, 1, "z"]) }),
      () => length && t.delete(from, Math.min(length, 4)),
      () => length && t.format(from, length, { [chance.of(["b", "i"])]: chance.of([true, null, 2]) }),
    ])();
  };
  const map = () =>
    chance.of([
      () => m.set(key(), mark),
      () => m.delete(key()),
      () => m.set(own("s"), new LiveObject({ v: mark })),
      () => m.set(own("s"), new LiveList([mark])),
    ])();
  const kinds = [() => change(l), () => change(l), nested, nested, object, object, text, text];
  return chance.of(maps ? [...kinds, map, map] : kinds)();
}

/** What befalls a client's line. */
const LINE = {
  hold: (editor) => editor.hold(),
  release: (editor) => editor.release(),
  deafen: (editor) => editor.deafen(),
  listen: (editor) => editor.listen(),
  cut: (editor) => editor.cut(),
  leave: (editor) => editor.room.disconnect(),
  return: (editor) => editor.room.connect(),
};

/** One run: what it did, for whoever has to find out. */
async function run(site, seed, door) {
  const chance = new Chance(seed);
  const room = `converge-${seed}`;
  const kinds = { maps: chance.once(2) };
  const log = [];
  const editors = [await site.stored(room, storage())];
  await editors[0].synced();
  for (let more = 1 + chance.below(4); more > 0; more--) editors.push(await site.stored(room));
  try {
    for (let step = 0; step < STEPS; step++) {
      const who = chance.below(editors.length);
      const editor = editors[who];
      const mark = `${who}.${step}`;
      const kind = chance.below(20);
      if (kind < 12) {
        log.push(`${who} edits ${mark}`);
        edit(chance, editor, mark, kinds);
      } else if (kind === 12) {
        log.push(`${who} edits ${mark} at once`);
        const times = 2 + chance.below(4);
        editor.room.batch(() => {
          for (let time = 0; time < times; time++) edit(chance, editor, `${mark}.${time}`, kinds);
        });
      } else if (kind < 15 && !kinds.maps) {
        const what = chance.of(["undo", "undo", "redo"]);
        log.push(`${who} ${what}`);
        editor.room.history[what]();
      } else if (kind < 18) {
        const what = chance.of(Object.keys(LINE));
        log.push(`${who} ${what}`);
        LINE[what](editor);
      } else if (kind === 18 && chance.once(6)) {
        log.push("the door");
        door(chance.once(2));
      } else {
        // Some of what is under way arrives.
        await sleep(chance.below(60));
      }
    }
    log.push("all meet");
    for (const editor of editors) {
      editor.release();
      editor.listen();
      if (editor.room.getStatus() === "initial") editor.room.connect();
    }
    await door.settled();
    await Promise.all(editors.map((editor) => editor.connected()));
    await Promise.all(editors.map((editor) => editor.synced()));
    editors.push(await site.stored(room));
    let all;
    await eventually("all to be one", async () => {
      all = [...editors.map(seen), await site.node.getStorageDocument(room, "json")];
      return all.every((one) => isDeepStrictEqual(one, all[0]));
    }, PATIENCE).catch((cause) => {
      throw new Error(all.map((one) => JSON.stringify(one)).join("\n"), { cause });
    });
    const thrown = editors.flatMap((editor, who) => editor.thrown.map((error) => `${who}: ${error.stack}`));
    assert.deepEqual(thrown, []);
    return { editors: editors.length, edits: log.length };
  } catch (cause) {
    const wire = join(tmpdir(), `${room}.txt`);
    writeFileSync(wire, editors.map(({ wire, thrown }, who) => [`editor ${who}`, ...wire, ...thrown.map(({ stack }) => stack)].join("\n")).join("\n\n"));
    const is = editors.map(({ room }) => `${room.getStatus()}, ${room.getStorageStatus()}`);
    throw new Error(`CONVERGE_SEED=${seed} (${JSON.stringify(kinds)}): ${cause.message}\n${is.join("; ")}\n${log.join("; ")}\nwhat was said on the wire: ${wire}`, { cause });
  } finally {
    editors.forEach((editor) => editor.leave());
  }
}

/** The door's restarts, one after the other, by word or not. */
function restarts(site) {
  let last = Promise.resolve();
  const door = (killed) => {
    door[killed ? "kills" : "restarts"]++;
    last = last.then(() => site.again({ killed }));
  };
  return Object.assign(door, { kills: 0, restarts: 0, settled: () => last });
}

test("clients that edit at random on bad lines come to one storage", async (context) => {
  const site = await Site.start();
  const door = restarts(site);
  const seeds = SEED ? [Number(SEED)] : Array.from({ length: RUNS }, (_, n) => n + 1);
  const total = { editors: 0, edits: 0 };
  const [runs, failures] = [seeds.length, []];
  const lane = async () => {
    for (let seed = seeds.shift(); seed !== undefined; seed = seeds.shift()) {
      await run(site, seed, door).then(
        ({ editors, edits }) => ((total.editors += editors), (total.edits += edits)),
        (failure) => failures.push(failure),
      );
    }
  };
  await Promise.all(Array.from({ length: SEED ? 1 : LANES }, lane));
  await site.stop();
  context.diagnostic(`${runs} runs of ${total.editors} clients in all, ${total.edits} steps, ${door.restarts} restarts, ${door.kills} kills`);
  context.diagnostic(`the library said: ${JSON.stringify(Object.fromEntries([...new Set(said)].map((word) => [word, said.filter((other) => other === word).length])))}`);
  assert.deepEqual(failures.map(({ message }) => message).slice(0, 3).join("\n\n"), "", `${failures.length} of ${runs} runs`);
});

describe("who comes back", () => {
  const name = ((number) => () => `back-${number++}`)(1);
  let site;
  before(async () => (site = await Site.start()));
  after(() => site.stop());

  const l = ({ root }) => root.get("l");

  /** Two in a room of this storage. */
  async function two(storage) {
    const room = name();
    const a = await site.stored(room, storage);
    await a.synced();
    return [a, await site.stored(room)];
  }

  /** All of them, a newcomer and what is stored are this. */
  async function all(editors, wanted) {
    for (const editor of editors) await editor.synced();
    const room = editors[0].room.id;
    const everyone = [...editors, await site.stored(room)];
    let are;
    await eventually("all to be as wanted", async () => {
      are = [...everyone.map(seen), await site.node.getStorageDocument(room, "json")];
      return are.every((one) => isDeepStrictEqual(one, wanted));
    }).catch(() => assert.deepEqual(are, are.map(() => wanted)));
    everyone.forEach((editor) => editor.leave());
  }

  /** What it does reaches the server, but the answer does not reach it; then its line is cut. */
  async function unanswered(editor, other, act) {
    editor.deafen();
    act();
    const before = other.heard;
    await eventually("the other to hear", () => other.heard > before);
    await other.synced();
    editor.cut();
    editor.listen();
  }

  /** Once it was away and is there again. */
  async function back(editor) {
    await eventually("away", () => editor.room.getStatus() !== "connected" || editor.opened > 1);
    await editor.connected();
  }

  const lists = (...items) => ({ l: new LiveList(items) });

  test("undo of an item that another has set since", async () => {
    const [a, b] = await two(lists("a", "b"));
    l(a).set(0, "A");
    await eventually("B to hear", () => l(b).get(0) === "A");
    l(b).set(0, "B");
    await eventually("A to hear", () => l(a).get(0) === "B");
    a.room.history.undo();
    await all([a, b], { l: ["a", "b"] });
  });

  test("undo of a deletion where another has inserted since", async () => {
    const [a, b] = await two(lists("a", "b", "c"));
    l(a).delete(1);
    await eventually("B to hear", () => l(b).length === 2);
    l(b).insert("B", 1);
    await eventually("A to hear", () => l(a).length === 3);
    a.room.history.undo();
    await all([a, b], { l: ["a", "B", "b", "c"] });
  });

  test("what both did while one was off the line", async () => {
    const [a, b] = await two({ o: new LiveObject({ x: 0 }), m: new LiveMap([["k", 0]]), ...lists("a") });
    b.room.disconnect();
    for (const [who, editor] of [["B", b], ["A", a]]) {
      editor.root.get("o").set("x", who);
      editor.root.get("m").set("k", who);
      l(editor).push(who);
    }
    await a.synced();
    b.room.connect();
    await b.connected();
    await all([a, b], { o: { x: "B" }, m: { k: "B" }, l: ["a", "A", "B"] });
  });

  test("what was deleted meanwhile stays so", async () => {
    const [a, b] = await two({ o: new LiveObject({ c: new LiveObject({ v: 0 }) }) });
    b.room.disconnect();
    b.root.get("o").get("c").set("v", 2);
    a.root.get("o").delete("c");
    await a.synced();
    b.room.connect();
    await b.connected();
    await all([a, b], { o: {} });
  });

  test("what was done comes once, though its answer was lost", async () => {
    const [a, b] = await two({ o: new LiveObject({ x: 0 }), ...lists("a") });
    await unanswered(b, a, () => {
      l(b).push("B");
      l(b).insert("B0", 0);
      b.root.get("o").set("x", "B");
    });
    l(a).push("A");
    await back(b);
    await all([a, b], { o: { x: "B" }, l: ["B0", "a", "B", "A"] });
  });

  test("what another has deleted since is there again", async () => {
    const [a, b] = await two(lists("a"));
    await unanswered(b, a, () => l(b).push("B"));
    await eventually("A to have it", () => l(a).length === 2);
    l(a).delete(1);
    await a.synced();
    await back(b);
    await all([a, b], { l: ["a", "B"] });
  });

  test("what was typed behind a change of which nothing is left", async () => {
    const [a, b] = await two({ t: new LiveText("Hello world") });
    [a, b].forEach((editor) => editor.hold());
    for (const { root } of [a, b]) root.get("t").delete(0, 6);
    b.root.get("t").insert(5, "!");
    await eventually("both have sent", () => a.held.length > 0 && b.held.length > 0);
    a.release();
    await a.synced();
    b.release();
    await all([a, b], { t: [["world!"]] });
  });

  test("a text's change comes once, though its answer was lost", async () => {
    const [a, b] = await two({ t: new LiveText("ac") });
    await unanswered(b, a, () => b.root.get("t").insert(1, "b"));
    a.root.get("t").insert(0, "A");
    await back(b);
    await all([a, b], { t: [["Aabc"]] });
  });

  test("a text's change comes once, though the door was killed", async () => {
    const [a, b] = await two({ t: new LiveText("ac") });
    await unanswered(b, a, () => b.root.get("t").insert(1, "b"));
    await site.again({ killed: true });
    await a.connected();
    a.root.get("t").insert(0, "A");
    await back(b);
    await all([a, b], { t: [["Aabc"]] });
  });
});
