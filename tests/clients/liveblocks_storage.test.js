// Storage: what two stock clients do to it at the same time, each without having heard of the other.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { LiveText } from "@liveblocks/client";
import { eventually, LiveList, LiveMap, LiveObject, Site } from "./harness/liveblocks.js";

const name = ((number) => () => `room-${number++}`)(1);
const list = (...items) => ({ l: new LiveList(items) });
const object = () => ({ o: new LiveObject({ x: 0 }) });
const map = () => ({ m: new LiveMap([["k", 0]]) });
const abc = () => list("a", "b", "c");
const abcd = () => list("a", "b", "c", "d");
const child = (fields) => ({ o: new LiveObject({ c: new LiveObject(fields) }) });
const l = (root) => root.get("l");
const o = (root) => root.get("o");
const m = (root) => root.get("m");
const text = (content) => ({ t: new LiveText(content) });

/** What is there, what A and B do at the same time, and what comes of it; A is heard first. */
const VECTORS = [
  ["values: the later wins", object, (r) => o(r).set("x", 1), (r) => o(r).set("x", 2), { o: { x: 2 } }],
  ["a value is taken away", object, (r) => o(r).set("x", 1), (r) => o(r).delete("x"), { o: {} }],
  ["and set again", object, (r) => o(r).delete("x"), (r) => o(r).set("x", 1), { o: { x: 1 } }],
  ["a value for an object", object, (r) => o(r).set("c", new LiveObject({ a: 1 })), (r) => o(r).set("c", "s"), { o: { x: 0, c: "s" } }],
  ["an object for a value", object, (r) => o(r).set("c", "s"), (r) => o(r).set("c", new LiveObject({ b: 1 })), { o: { x: 0, c: { b: 1 } } }],
  ["two objects at one key", object, (r) => o(r).set("c", new LiveObject({ a: 1 })), (r) => o(r).set("c", new LiveObject({ b: 1 })), { o: { x: 0, c: { b: 1 } } }],
  ["an object is replaced that another changes", () => child({ v: 0 }), (r) => o(r).set("c", new LiveObject({ n: 1 })), (r) => o(r).get("c").set("v", 2), { o: { c: { n: 1 } } }],
  ["an object is changed that another replaces", () => child({ v: 0 }), (r) => o(r).get("c").set("v", 2), (r) => o(r).set("c", new LiveObject({ n: 1 })), { o: { c: { n: 1 } } }],
  ["a map: the later wins", map, (r) => m(r).set("k", 1), (r) => m(r).set("k", 2), { m: { k: 2 } }],
  ["a map: who deletes means the old one", map, (r) => m(r).set("k", 1), (r) => m(r).delete("k"), { m: { k: 1 } }],
  ["a map: set after it is gone", map, (r) => m(r).delete("k"), (r) => m(r).set("k", 1), { m: { k: 1 } }],
  ["pushes", abc, (r) => l(r).push("A1"), (r) => l(r).push("B1"), { l: ["a", "b", "c", "A1", "B1"] }],
  ["pushes of several do not mix", abc, (r) => ["A1", "A2", "A3"].forEach((x) => l(r).push(x)), (r) => ["B1", "B2", "B3"].forEach((x) => l(r).push(x)), { l: ["a", "b", "c", "A1", "A2", "A3", "B1", "B2", "B3"] }],
  ["inserts at one place", () => list("a", "b"), (r) => l(r).insert("A", 1), (r) => l(r).insert("B", 1), { l: ["a", "A", "B", "b"] }],
  ["two inserts at one place", () => list("a", "b"), (r) => (l(r).insert("A1", 1), l(r).insert("A2", 2)), (r) => (l(r).insert("B1", 1), l(r).insert("B2", 2)), { l: ["a", "A1", "B1", "A2", "B2", "b"] }],
  ["an item is set by both", abc, (r) => l(r).set(1, "A"), (r) => l(r).set(1, "B"), { l: ["a", "B", "c"] }],
  ["an item is set twice by both", abc, (r) => (l(r).set(1, "A"), l(r).set(1, "AA")), (r) => (l(r).set(1, "B"), l(r).set(1, "BB")), { l: ["a", "BB", "c"] }],
  ["set, and deleted", abc, (r) => l(r).set(1, "A"), (r) => l(r).delete(1), { l: ["a", "A", "c"] }],
  ["deleted, and set", abc, (r) => l(r).delete(1), (r) => l(r).set(1, "B"), { l: ["a", "B", "c"] }],
  ["deleted by both", abc, (r) => l(r).delete(1), (r) => l(r).delete(1), { l: ["a", "c"] }],
  ["moved by both", abcd, (r) => l(r).move(0, 2), (r) => l(r).move(0, 3), { l: ["b", "c", "d", "a"] }],
  ["two moved to one place", abcd, (r) => l(r).move(0, 2), (r) => l(r).move(1, 2), { l: ["c", "a", "b", "d"] }],
  ["moved across each other", abc, (r) => l(r).move(0, 2), (r) => l(r).move(2, 0), { l: ["c", "b", "a"] }],
  ["moved, and deleted", abc, (r) => l(r).move(0, 2), (r) => l(r).delete(0), { l: ["b", "c"] }],
  ["moved, and set", abc, (r) => l(r).move(0, 2), (r) => l(r).set(0, "B"), { l: ["B", "b", "c"] }],
  ["deleted, and moved", abc, (r) => l(r).delete(0), (r) => l(r).move(0, 2), { l: ["b", "c"] }],
  ["set, and moved", abc, (r) => l(r).set(0, "A"), (r) => l(r).move(0, 2), { l: ["A", "b", "c"] }],
  ["cleared, and pushed to", () => list("a", "b"), (r) => l(r).clear(), (r) => l(r).push("B"), { l: ["B"] }],
  ["inserted where another moves to", abc, (r) => l(r).insert("A", 1), (r) => l(r).move(2, 1), { l: ["a", "A", "c", "b"] }],
  ["text: inserts at one place", () => text("Hello world"), (r) => r.get("t").insert(5, "A"), (r) => r.get("t").insert(5, "B"), [["HelloAB world"]]],
  ["text: inserted into what is deleted", () => text("Hello world"), (r) => r.get("t").delete(0, 11), (r) => r.get("t").insert(4, "B"), [["B"]]],
  ["text: formats that meet", () => text("Hello world"), (r) => r.get("t").format(0, 5, { b: 1, c: 1 }), (r) => r.get("t").format(3, 5, { b: 2, d: 2 }), [["Hel", { b: 1, c: 1 }], ["lo", { b: 2, c: 1, d: 2 }], [" wo", { b: 2, d: 2 }], ["rld"]]],
  ["text: halves of characters", () => text("a😀b😀c"), (r) => r.get("t").delete(1, 2), (r) => r.get("t").insert(4, "x"), [["abx😀c"]]],
];

/** What an editor sees: a text as its pieces. */
function seen(editor) {
  const written = editor.root.get("t");
  return written ? written.toJSON() : editor.json;
}

describe("two who edit at once", () => {
  let site;
  before(async () => (site = await Site.start()));
  after(() => site.stop());

  for (const [what, storage, byA, byB, wanted] of VECTORS) {
    test(what, async () => {
      const room = name();
      const a = await site.stored(room, storage());
      await a.synced();
      const b = await site.stored(room, storage());
      a.hold();
      b.hold();
      byA(a.root);
      byB(b.root);
      await eventually("both have sent", () => a.held.length > 0 && b.held.length > 0);
      a.release();
      await a.synced();
      b.release();
      await b.synced();
      const newcomer = await site.stored(room);
      for (const [who, editor] of Object.entries({ a, b, newcomer })) {
        await eventually(`${who}: ${JSON.stringify(seen(editor))}, not ${JSON.stringify(wanted)}`, () => {
          assert.deepEqual(seen(editor), wanted);
          return true;
        });
      }
      for (const editor of [a, b, newcomer]) editor.leave();
    });
  }
});
