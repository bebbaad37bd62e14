// Documents of Yjs: with Liveblocks' provider in both codings, with `y-websocket`, and both on one document.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { getYjsProviderForRoom } from "@liveblocks/yjs";
import WebSocket from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import { eventually, Site } from "./harness/liveblocks.js";

const name = ((number) => () => `doc-${number++}`)(1);

let site;
const open = [];
before(async () => (site = await Site.start({ "realtime.yjs": { rooms: ["doc-*"] }, "realtime.channel": [{ match: "doc-read-*", publish: "app" }] })));
after(async () => {
  open.forEach((provider) => provider.destroy());
  await site.stop();
  // The libraries leave timers behind that would keep this process: it ends when all is said.
  setTimeout(() => process.exit(), 3_000).unref();
});

/** A document by `y-websocket`. */
function socket(room, doc = new Y.Doc(), options = {}) {
  const provider = new WebsocketProvider(`ws://127.0.0.1:${site.port}/api/ws/yjs`, room, doc, {
    WebSocketPolyfill: WebSocket,
    disableBc: true,
    maxBackoffTime: 100,
    ...options,
  });
  open.push(provider);
  return { doc, provider, awareness: provider.awareness, text: doc.getText("t") };
}

/** The same by Liveblocks' provider. */
async function hosted(room, options = {}) {
  const editor = await site.editor(room).connected();
  const provider = getYjsProviderForRoom(editor.room, options);
  open.push(provider);
  const doc = provider.getYDoc();
  return { editor, doc, provider, text: doc.getText("t") };
}

const synced = (all) =>
  eventually("synchronized", () => [all].flat().every(({ provider }) => provider.getStatus() === "synchronized"));
const says = (all, wanted) =>
  eventually(`${JSON.stringify(wanted)}, not ${JSON.stringify([all].flat().map(({ text }) => text.toString()))}`, () =>
    [all].flat().every(({ text }) => text.toString() === wanted),
  );

describe("Liveblocks' provider", () => {
  for (const [coding, options] of [
    ["the first coding", {}],
    ["the second coding", { useV2Encoding_experimental: true }],
  ]) {
    test(`${coding}: two write, both are synchronized, and a newcomer has it`, async () => {
      const room = name();
      const a = await hosted(room, options);
      await synced(a);
      const b = await hosted(room, options);
      await synced(b);
      a.text.insert(0, "Hello");
      await says(b, "Hello");
      b.text.insert(5, " world 😀");
      b.text.delete(0, 1);
      b.text.insert(0, "J");
      await says([a, b], "Jello world 😀");
      await synced([a, b]);
      const c = await hosted(room, options);
      await says(c, "Jello world 😀");
      await synced([a, b, c]);
    });
  }

  test("clients of both codings are synchronized with each other", async () => {
    const room = name();
    const [a, b] = [await hosted(room), await hosted(room, { useV2Encoding_experimental: true })];
    await synced([a, b]);
    a.text.insert(0, "one ");
    await says(b, "one ");
    b.text.insert(4, "two");
    b.doc.getMap("m").set("k", [1, { x: null }]);
    b.text.delete(0, 2);
    await says([a, b], "e two");
    await eventually("the map", () => a.doc.getMap("m").has("k"));
    await synced([a, b]);
    assert.deepEqual(a.doc.getMap("m").toJSON(), { k: [1, { x: null }] });
  });

  test("what was written while away arrives, both ways", async () => {
    const room = name();
    const [a, b] = [await hosted(room), await hosted(room)];
    await synced([a, b]);
    a.text.insert(0, "both");
    await says(b, "both");
    await synced([a, b]);
    a.editor.client.logout();
    await eventually("away", () => a.editor.room.getStatus() !== "connected");
    a.text.insert(4, " A");
    b.text.insert(0, "B ");
    a.editor.room.connect();
    await says([a, b], "B both A");
    await synced([a, b]);
  });

  test("subdocuments are documents of their own", async () => {
    const room = name();
    const [a, b] = [await hosted(room, { autoloadSubdocs: true }), await hosted(room, { autoloadSubdocs: true })];
    await synced([a, b]);
    const sub = new Y.Doc();
    sub.getText("inner").insert(0, "deep");
    a.doc.getMap("subs").set("one", sub);
    sub.load();
    const other = await eventually("the subdocument", () => b.doc.getMap("subs").get("one"));
    other.load();
    await eventually("its text", () => other.getText("inner").toString() === "deep");
    assert.equal(b.text.toString(), "");
  });

  test("40 documents at random are the same everywhere, by content and by hash", async () => {
    const random = ((seed) => (most) => ((seed = (seed * 1664525 + 1013904223) >>> 0) >>> 8) % most)(7);
    // No half of a character is deleted or written between: Yjs itself shows that otherwise to who did it.
    const letters = ["a", "ß", "é", "\n", "xyz"];
    for (let round = 0; round < 40; round++) {
      const options = round % 2 ? { useV2Encoding_experimental: true } : {};
      const room = name();
      const all = [await hosted(room, options), await hosted(room, options)];
      await synced(all);
      for (let step = 0; step < 30; step++) {
        const { doc, text } = all[random(2)];
        const length = text.length;
        switch (random(5)) {
          case 0:
            if (length > 1) text.delete(random(length - 1), 1);
            break;
          case 1:
            if (length > 2) text.format(random(length - 2), 2, { bold: random(2) ? true : null });
            break;
          case 2:
            doc.getMap("m").set(`k${random(3)}`, random(100));
            break;
          case 3:
            doc.getArray("l").insert(0, [random(9), "é"]);
            break;
          default:
            text.insert(random(length + 1), letters[random(letters.length)]);
        }
      }
      const content = ({ doc, text }) => [text.toDelta(), doc.getMap("m").toJSON(), doc.getArray("l").toJSON()];
      await eventually(`round ${round}: equal`, () => isDeepStrictEqual(content(all[0]), content(all[1])));
      await synced(all);
      const newcomer = await hosted(room, options);
      newcomer.doc.getMap("m"), newcomer.doc.getArray("l");
      await eventually(`round ${round}: the newcomer's`, () => isDeepStrictEqual(content(newcomer), content(all[0])));
      await synced(newcomer);
      [...all, newcomer].forEach(({ editor }) => editor.leave());
    }
  });
});

describe("y-websocket", () => {
  test("two write, and see each other's cursors until they leave", async () => {
    const room = name();
    const [a, b] = [socket(room), socket(room)];
    await eventually("synced", () => a.provider.synced && b.provider.synced);
    a.text.insert(0, "Hello");
    await says([a, b], "Hello");
    a.awareness.setLocalStateField("cursor", { at: 5 });
    const seen = ({ awareness }, other) => awareness.getStates().get(other.doc.clientID);
    await eventually("a's cursor", () => seen(b, a)?.cursor?.at === 5);
    const c = socket(room);
    await eventually("a newcomer sees it", () => seen(c, a)?.cursor?.at === 5);
    await says(c, "Hello");
    a.awareness.setLocalStateField("cursor", { at: 1 });
    await eventually("it moves", () => seen(c, a)?.cursor?.at === 1);
    a.provider.ws.terminate();
    a.provider.shouldConnect = false;
    await eventually("it is gone", () => !seen(b, a) && !seen(c, a));
  });

  test("what was written while away arrives, both ways", async () => {
    const room = name();
    const [a, b] = [socket(room), socket(room)];
    await eventually("synced", () => a.provider.synced && b.provider.synced);
    a.provider.disconnect();
    a.text.insert(0, "A");
    b.text.insert(0, "B");
    a.provider.connect();
    await eventually("the same", () => a.text.toString() === b.text.toString() && a.text.length === 2);
  });

  test("who may not publish there reads only, and is told", async () => {
    const room = `doc-read-${name()}`;
    const warned = [];
    const { warn } = console;
    console.warn = (line) => warned.push(line);
    const a = socket(room);
    await eventually("synced", () => a.provider.synced);
    a.text.insert(0, "mine");
    await eventually("told", () => warned.some((line) => line.includes("not yours to change")));
    console.warn = warn;
    const b = socket(room);
    await eventually("synced", () => b.provider.synced);
    assert.equal(b.text.toString(), "");
  });

  test("a room that is not offered ends in 404, and its frames are no messages", async () => {
    const refused = new WebSocket(`ws://127.0.0.1:${site.port}/api/ws/yjs/other`);
    const status = await new Promise((resolve) => refused.on("unexpected-response", (_, response) => resolve(response.statusCode)));
    assert.equal(status, 404);
  });

  for (const [what, frame] of [
    ["text", "hello"],
    ["an unknown type", Buffer.from([9])],
    ["a cut frame", Buffer.from([0, 2, 50, 1])],
    ["an update that is none", Buffer.from([0, 2, 4, 255, 255, 255, 255])],
    ["a vector that is none", Buffer.from([0, 0, 2, 255, 255])],
  ]) {
    test(`${what} ends the line, and nobody else's`, async () => {
      const room = name();
      const b = socket(room);
      await eventually("synced", () => b.provider.synced);
      const bad = new WebSocket(`ws://127.0.0.1:${site.port}/api/ws/yjs/${room}`);
      bad.on("open", () => bad.send(frame));
      const code = await new Promise((resolve) => bad.on("close", resolve));
      assert.ok([1002, 1003].includes(code), `${code}`);
      b.text.insert(0, "still here");
      const c = socket(room);
      await says(c, "still here");
    });
  }
});

test("Liveblocks' provider and y-websocket edit one document", async () => {
  const room = name();
  const [a, b, c] = [await hosted(room), socket(room), await hosted(room, { useV2Encoding_experimental: true })];
  await synced([a, c]);
  await eventually("synced", () => b.provider.synced);
  a.text.insert(0, "a");
  await says([a, b, c], "a");
  b.text.insert(1, "b");
  await says([a, b, c], "ab");
  c.text.insert(2, "c");
  await says([a, b, c], "abc");
  await synced([a, c]);
});

for (const killed of [false, true]) {
  test(`a document survives ${killed ? "a crash" : "a restart"} of the door`, async () => {
    const room = name();
    const [a, b] = [await hosted(room), socket(room)];
    await synced(a);
    await eventually("synced", () => b.provider.synced);
    for (let i = 0; i < 150; i++) a.text.insert(i, "x");
    await says(b, "x".repeat(150));
    b.text.insert(0, "y");
    const whole = `y${"x".repeat(150)}`;
    await says([a, b], whole);
    await synced(a);
    a.editor.leave();
    b.provider.disconnect();
    await site.again({ killed });
    const c = await hosted(room);
    await says([c, socket(room)], whole);
    await synced(c);
  });
}
