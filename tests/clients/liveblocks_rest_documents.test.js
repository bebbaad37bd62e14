// npm `@liveblocks/node` as it is: a room's storage and its documents of Yjs, read and changed beside those who edit them.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { LiveText } from "@liveblocks/client";
import * as Y from "yjs";
import { eventually, LiveList, LiveMap, LiveObject, PUBLIC, SECRET, Site } from "./harness/liveblocks.js";

const name = ((number) => () => `room-${number++}`)(1);
const object = (data) => ({ liveblocksType: "LiveObject", data });
const list = (data) => ({ liveblocksType: "LiveList", data });
const map = (data) => ({ liveblocksType: "LiveMap", data });

let site;
before(async () => {
  site = await Site.start({ documents: {} });
});
after(() => site.stop());

const fails = (call, status, message) =>
  assert.rejects(call, (error) => {
    assert.equal(error.status, status, String(error));
    assert.match(error.message, message);
    return true;
  });

async function made() {
  const { id } = await site.node.createRoom(name(), { defaultAccesses: ["*:write"] });
  return id;
}

/** Once a room's storage is this. */
const has = (id, json) =>
  eventually("stored", async () => isDeepStrictEqual(await site.node.getStorageDocument(id, "json"), json));

const ask = (path, method, body, key = SECRET) =>
  fetch(site.url + path, {
    method,
    body: body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body),
    headers: { authorization: `Bearer ${key}` },
  });

const patch = async (id, ...ops) => {
  const answer = await ask(`/v2/rooms/${id}/storage/json-patch`, "PATCH", ops);
  return { status: answer.status, ...(await answer.json()) };
};

describe("storage", () => {
  const lson = object({
    n: 1,
    plain: { a: [1, null] },
    o: object({ x: "y", deep: list([object({ z: 1 }), "s", 2]) }),
    m: map({ k: "v", o: object({}) }),
    l: list([list([1]), map({})]),
  });
  const json = {
    n: 1,
    plain: { a: [1, null] },
    o: { x: "y", deep: [{ z: 1 }, "s", 2] },
    m: { k: "v", o: {} },
    l: [[1], {}],
  };

  test("an empty one is read in both formats", async () => {
    const id = await made();
    assert.deepEqual(await site.node.getStorageDocument(id), object({}));
    assert.deepEqual(await site.node.getStorageDocument(id, "json"), {});
    await fails(site.node.getStorageDocument(id, "xml"), 422, /format/);
  });

  test("it is made once, for those who are there too", async () => {
    const id = await made();
    const editor = await site.stored(id);
    assert.deepEqual(await site.node.initializeStorageDocument(id, lson), lson);
    assert.deepEqual(await site.node.getStorageDocument(id), lson);
    assert.deepEqual(await site.node.getStorageDocument(id, "json"), json);
    await eventually("heard", () => editor.root.get("n") === 1);
    assert.deepEqual(editor.json, json);
    assert.ok(editor.root.get("o").get("deep").get(0) instanceof LiveObject);
    assert.ok(editor.root.get("m") instanceof LiveMap && editor.root.get("l").get(0) instanceof LiveList);
    await fails(site.node.initializeStorageDocument(id, lson), 409, /has a storage already/);
    editor.root.get("l").push("more");
    await has(id, { ...json, l: [[1], {}, "more"] });
  });

  test("what is no storage makes none", async () => {
    const id = await made();
    for (const [bad, what] of [
      [{}, /the root is/],
      [list([]), /the root is/],
      [object([]), /the root is/],
      [object({ a: { liveblocksType: "LiveTree", data: {} } }), /LiveTree/],
      [object({ a: list({}) }), /LiveList/],
      [object({ a: { liveblocksType: "LiveMap" } }), /no data/],
      [object({ a: "x".repeat(3 * 1024 * 1024) }), /more than a room's storage/],
    ]) {
      await fails(site.node.initializeStorageDocument(id, bad), bad.data?.a?.length > 100 ? 413 : 422, what);
    }
    assert.deepEqual(await site.node.getStorageDocument(id, "json"), {});
  });

  test("it is deleted, for those who are there too", async () => {
    // Who has an initialStorage of its own fills it again at once: such are the clients.
    const id = await made();
    await site.node.initializeStorageDocument(id, lson);
    const editor = await site.stored(id);
    assert.deepEqual(editor.json, json);
    await site.node.deleteStorageDocument(id);
    await eventually("heard", () => Object.keys(editor.json).length === 0);
    assert.deepEqual(await site.node.getStorageDocument(id, "json"), {});
    editor.root.set("n", 2);
    await has(id, { n: 2 });
    await site.node.deleteStorageDocument(id);
    await site.node.initializeStorageDocument(id, lson);
  });

  test("a patch changes it, for those who are there too", async () => {
    const id = name();
    const editor = await site.stored(id, { o: new LiveObject({ x: 1, y: 2 }), l: new LiveList(["a", "c"]) });
    await has(id, { o: { x: 1, y: 2 }, l: ["a", "c"] });
    const done = await patch(
      id,
      { op: "test", path: "/o/x", value: 1 },
      { op: "add", path: "/l/1", value: "b" },
      { op: "add", path: "/l/-", value: { k: ["v"] } },
      { op: "replace", path: "/o/x", value: 3 },
      { op: "remove", path: "/o/y" },
      { op: "copy", from: "/l/0", path: "/o/copied" },
      { op: "move", from: "/o/copied", path: "/moved" },
    );
    assert.equal(done.status, 200, JSON.stringify(done));
    const after = { o: { x: 3 }, l: ["a", "b", "c", { k: ["v"] }], moved: "a" };
    await eventually("heard", () => editor.root.get("moved") === "a");
    assert.deepEqual(editor.json, after);
    assert.deepEqual(await site.node.getStorageDocument(id, "json"), after);
    assert.ok(editor.root.get("l").get(3).get("k") instanceof LiveList, "values become live");
  });

  test("a patch that fails changes nothing, and says where", async () => {
    const id = name();
    await site.stored(id, { o: new LiveObject({ x: 1 }), plain: { a: 1 } });
    await has(id, { o: { x: 1 }, plain: { a: 1 } });
    for (const [op, what] of [
      [{ op: "test", path: "/o/x", value: 2 }, /operation 1: /],
      [{ op: "remove", path: "/o/none" }, /operation 1: /],
      [{ op: "replace", path: "/none", value: 1 }, /operation 1: /],
      [{ op: "add", path: "/plain/b", value: 1 }, /operation 1: /],
      [{ op: "add", path: "o", value: 1 }, /operation 1: /],
      [{ op: "eat", path: "/o" }, /no JSON Patch/],
      [{ op: "add", path: "/big", value: "x".repeat(3 * 1024 * 1024) }, /operation 1: .*limit/],
    ]) {
      const { status, message } = await patch(id, { op: "add", path: "/o/y", value: 1 }, op);
      assert.equal(status, 422, message);
      assert.match(message, what);
    }
    assert.deepEqual(await site.node.getStorageDocument(id, "json"), { o: { x: 1 }, plain: { a: 1 } });
  });

  test("mutateStorage changes it beside those who are there", async () => {
    const id = name();
    const editor = await site.stored(id, { l: new LiveList(["a"]), t: new LiveText("text") });
    await eventually("stored", async () => (await site.node.getStorageDocument(id, "json")).t);
    await site.node.mutateStorage(id, ({ root }) => {
      assert.deepEqual(root.toJSON().l, ["a"]);
      root.get("l").push(new LiveObject({ n: 1 }));
      root.set("m", new LiveMap([["k", "v"]]));
    });
    await eventually("heard", () => editor.root.get("m"));
    assert.deepEqual([editor.json.l, editor.json.m], [["a", { n: 1 }], { k: "v" }]);
    editor.root.get("l").get(1).set("n", 2);
    await eventually("stored", async () => (await site.node.getStorageDocument(id, "json")).l[1].n === 2);
    await site.node.mutateStorage(id, ({ root }) => {
      assert.equal(root.get("l").get(1).get("n"), 2);
      root.get("l").delete(0);
    });
    await eventually("heard", () => editor.json.l.length === 1);
    assert.deepEqual((await site.node.getStorageDocument(id, "json")).l, [{ n: 2 }]);
  });

  test("massMutateStorage changes many rooms", async () => {
    const kind = `mass-${Date.now()}`;
    for (let n = 0; n < 25; n++) await site.node.createRoom(`${kind}-${n}`, { defaultAccesses: [], metadata: { kind } });
    const seen = new Set();
    await site.node.massMutateStorage({ query: { metadata: { kind } } }, ({ room, root }) => {
      seen.add(room.id);
      root.set("touched", room.id);
    });
    assert.equal(seen.size, 25);
    assert.deepEqual(await site.node.getStorageDocument(`${kind}-7`, "json"), { touched: `${kind}-7` });
  });

  test("messages that only somebody there can say are refused, and broken ones", async () => {
    const id = await made();
    for (const [messages, what] of [
      [[{ type: 200 }], /message 0: only somebody/],
      [[{ type: 201, ops: [{ type: 3 }] }], /message 0: op 0/],
      [[{ type: 999 }], /message 0: there is no type 999/],
      ["x", /messages/],
    ]) {
      const answer = await ask(`/v2/rooms/${id}/send-message`, "POST", { messages });
      assert.equal(answer.status, 422);
      assert.match((await answer.json()).message, what);
    }
  });

  test("a client reads it by its own key or token, where it may", async () => {
    const id = name();
    await site.stored(id, { l: new LiveList(["a"]), n: 1 });
    await has(id, { l: ["a"], n: 1 });
    const path = `/v2/c/rooms/${id}/storage`;
    const read = async (key) => {
      const answer = await ask(path, "GET", undefined, key);
      return [answer.status, await answer.json()];
    };
    const [status, nodes] = await read(PUBLIC);
    assert.equal(status, 200);
    assert.deepEqual(nodes[0], ["root", { type: 0, data: { n: 1 } }]);
    assert.deepEqual(nodes.map(([, node]) => node.type), [0, 1, 3]);
    const token = async (scopes) => {
      const session = site.node.prepareSession("ann");
      session.allow(id, scopes);
      return JSON.parse((await session.authorize()).body).token;
    };
    assert.deepEqual(await read(await token(["*:read"])), [200, nodes]);
    assert.equal((await read(await token(["*:write", "storage:none"])))[0], 403);
    assert.equal((await read("pk_other"))[0], 403);
  });

  test("pages of other, allowed origins may ask, and no others", async () => {
    const other = await Site.start({ documents: {}, "realtime": { origins: ["https://other.example"] } });
    const ask = (origin, headers) =>
      fetch(`${other.url}/v2/c/rooms/a/threads`, {
        method: "OPTIONS",
        headers: { origin, "access-control-request-method": "GET", "access-control-request-headers": headers },
      });
    try {
      const answer = await ask("https://other.example", "authorization,content-type,x-lb-client");
      const header = (name) => answer.headers.get(name);
      assert.equal(answer.status, 204);
      assert.equal(header("access-control-allow-origin"), "https://other.example");
      assert.match(header("access-control-allow-headers"), /authorization, content-type, x-lb-client/);
      assert.equal((await ask("https://evil.example", "authorization,x-lb-client")).status, 403);
      const page = await fetch(`${other.url}/v2/c/rooms/a/threads`, {
        headers: { origin: "https://other.example", authorization: `Bearer ${PUBLIC}` },
      });
      assert.deepEqual([page.status, page.headers.get("access-control-allow-origin")], [404, "https://other.example"]);
    } finally {
      await other.stop();
    }
  });
});

describe("documents of Yjs", () => {
  const written = (write) => {
    const doc = new Y.Doc();
    write(doc);
    return Y.encodeStateAsUpdate(doc);
  };

  test("an update is taken, and read as JSON and bytes", async () => {
    const id = await made();
    assert.deepEqual(await site.node.getYjsDocument(id), {});
    const update = written((doc) => {
      doc.getText("text").insert(0, "Grüße 👋", { bold: true });
      doc.getText("text").insert(8, " plain", { bold: null });
      doc.getMap("map").set("k", { deep: [1, null] });
      doc.getArray("list").push([1, "two", new Y.Map([["a", 1]])]);
      const paragraph = new Y.XmlElement("p");
      paragraph.insert(0, [new Y.XmlText("in XML")]);
      doc.getXmlFragment("xml").insert(0, [paragraph]);
    });
    await site.node.sendYjsBinaryUpdate(id, update);
    assert.deepEqual(await site.node.getYjsDocument(id), {
      text: "Grüße 👋 plain",
      map: { k: { deep: [1, null] } },
      list: [1, "two", { a: 1 }],
      xml: "<p>in XML</p>",
    });
    assert.equal(await site.node.getYjsDocument(id, { key: "text" }), "Grüße 👋 plain");
    assert.deepEqual(await site.node.getYjsDocument(id, { key: "text", format: true }), [
      { insert: "Grüße 👋", attributes: { bold: true } },
      { insert: " plain" },
    ]);
    assert.deepEqual(await site.node.getYjsDocument(id, { key: "map", type: "ymap" }), { k: { deep: [1, null] } });
    assert.deepEqual(await site.node.getYjsDocument(id, { key: "none", type: "yarray" }), []);
    await fails(site.node.getYjsDocument(id, { key: "map", type: "tree" }), 422, /type/);
    const copy = new Y.Doc();
    Y.applyUpdate(copy, new Uint8Array(await site.node.getYjsDocumentAsBinaryUpdate(id)));
    assert.equal(copy.getText("text").toString(), "Grüße 👋 plain");
    assert.deepEqual(copy.getMap("map").toJSON(), { k: { deep: [1, null] } });
  });

  test("subdocuments are apart", async () => {
    const [id, guid] = [await made(), crypto.randomUUID()];
    await site.node.sendYjsBinaryUpdate(id, written((doc) => doc.getText("t").insert(0, "sub")), { guid });
    assert.deepEqual(await site.node.getYjsDocument(id), {});
    const copy = new Y.Doc();
    Y.applyUpdate(copy, new Uint8Array(await site.node.getYjsDocumentAsBinaryUpdate(id, { guid })));
    assert.equal(copy.getText("t").toString(), "sub");
    await fails(site.node.getYjsDocumentAsBinaryUpdate(id, { guid: "no-uuid" }), 422, /guid/);
  });

  test("garbage is refused, and nothing of it stays", async () => {
    const id = await made();
    for (const bad of [[], [1], [255, 255, 255], [1, 1, 1, 0, 255]]) {
      const answer = await ask(`/v2/rooms/${id}/ydoc`, "PUT", new Uint8Array(bad));
      assert.equal(answer.status, 422, String(bad));
    }
    assert.deepEqual(await site.node.getYjsDocument(id), {});
    const answer = await ask(`/v2/rooms/${id}/ydoc`, "PUT", new Uint8Array([0, 0]));
    assert.deepEqual([answer.status, await answer.json()], [200, { success: true }]);
  });

  test("types that lie too deep are not read, and hurt nobody", async () => {
    const id = await made();
    const update = written((doc) => {
      let map = doc.getMap("deep");
      for (let n = 0; n < 1_000; n++) {
        const next = new Y.Map();
        map.set("d", next);
        map = next;
      }
    });
    await site.node.sendYjsBinaryUpdate(id, update);
    await fails(site.node.getYjsDocument(id), 422, /100 deep/);
    assert.ok((await site.node.getYjsDocumentAsBinaryUpdate(id)).byteLength > 10_000);
  });
});
