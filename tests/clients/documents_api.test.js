// Documents by the app's API and its webhooks, beside stock clients of Liveblocks and `y-websocket` that edit them.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { getYjsProviderForRoom } from "@liveblocks/yjs";
import { Webhook } from "standardwebhooks";
import WebSocket from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import { eventually, LiveList, LiveObject, Site } from "./harness/liveblocks.js";

const name = ((number) => (kind = "doc") => `${kind}-${number++}`)(1);
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TOKEN = "dwt_0123456789abcdef0123456789abcdef";

let site;
let receiver;
const open = [];
const told = [];
before(async () => {
  receiver = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    told.push(new Webhook(SECRET).verify(body, request.headers));
    response.end();
  }).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  site = await Site.start({
    api: { token: TOKEN },
    callbacks: { secret: SECRET },
    "realtime.yjs": { rooms: ["doc-*"] },
    "realtime.documents": { webhook_throttle: "1h", max_nodes: 1000 },
    "realtime.documents.webhooks": [{ url: `http://127.0.0.1:${receiver.address().port}/`, channels: ["doc-*"] }],
  });
});
after(async () => {
  open.forEach((provider) => provider.destroy());
  await site.stop();
  receiver.closeAllConnections();
  receiver.close();
  // The libraries leave timers behind that would keep this process: it ends when all is said.
  setTimeout(() => process.exit(), 3_000).unref();
});

/** The answer of the API, and its status. */
async function api(path, body, headers = {}) {
  const answer = await fetch(`${site.url}/_doorway/api/v1${path}`, {
    method: body ? "POST" : "GET",
    body: body && JSON.stringify(body),
    headers: { authorization: `Bearer ${TOKEN}`, ...(body && { "content-type": "application/json" }), ...headers },
  });
  return { status: answer.status, ...(await answer.json()) };
}

const patch = (channel, ...operations) => api("/tree", { channel, patch: operations });
const base64 = (bytes) => Buffer.from(bytes).toString("base64");

/** A document by `y-websocket`. */
function socket(room) {
  const doc = new Y.Doc();
  const provider = new WebsocketProvider(`ws://127.0.0.1:${site.port}/api/ws/yjs`, room, doc, { WebSocketPolyfill: WebSocket, disableBc: true });
  open.push(provider);
  return doc;
}

describe("a tree", () => {
  test("is read as its editors have it, and patched before their eyes", async () => {
    const room = name();
    const ann = await site.stored(room, { o: new LiveObject({ n: 1, deep: { a: [1] } }), l: new LiveList(["a"]) });
    const tree = { o: { n: 1, deep: { a: [1] } }, l: ["a"] };
    await eventually("stored", async () => isDeepStrictEqual((await api(`/channels/${room}/tree`)).tree, tree));
    assert.deepEqual(await api(`/channels/${room}/tree`), { status: 200, channel: room, tree });
    const done = await patch(
      room,
      { op: "test", path: "/o/n", value: 1 },
      { op: "replace", path: "/o/n", value: 2 },
      { op: "add", path: "/l/-", value: { kind: "b" } },
      { op: "remove", path: "/l/0" },
    );
    assert.deepEqual(done, { status: 200 });
    await eventually("Ann sees it", () => isDeepStrictEqual(ann.json, { o: { n: 2, deep: { a: [1] } }, l: [{ kind: "b" }] }));
    // What was added is alive: she edits within it.
    ann.root.get("l").get(0).set("kind", "c");
    await eventually("the API sees it", async () => (await api(`/channels/${room}/tree`)).tree.l[0].kind === "c");
  });

  test("begins with a patch where there is none, and is all or nothing", async () => {
    const room = name();
    assert.equal((await api(`/channels/${room}/tree`)).status, 404);
    assert.equal((await patch(room, { op: "add", path: "/a", value: 1 })).status, 200);
    const failed = await patch(room, { op: "replace", path: "/a", value: 2 }, { op: "remove", path: "/none" });
    assert.equal(failed.status, 400);
    assert.match(failed.detail, /the patch fails at operation 1: /);
    const big = await patch(room, { op: "add", path: "/a", value: 3 }, { op: "add", path: "/l", value: Array.from({ length: 2000 }, (_, n) => n) });
    assert.equal(big.status, 400);
    assert.match(big.detail, /operation 1: .*limit/);
    assert.deepEqual((await api(`/channels/${room}/tree`)).tree, { a: 1 });
    await site.again();
    assert.deepEqual((await api(`/channels/${room}/tree`)).tree, { a: 1 }, "it is on disk");
  });

  test("is patched once however often it is asked with one key", async () => {
    const room = name();
    const body = { channel: room, patch: [{ op: "add", path: "/l", value: [] }] };
    const more = { channel: room, patch: [{ op: "add", path: "/l/-", value: "x" }] };
    assert.equal((await api("/tree", body)).status, 200);
    for (let n = 0; n < 3; n++) assert.equal((await api("/tree", more, { "idempotency-key": "once" })).status, 200);
    assert.deepEqual((await api(`/channels/${room}/tree`)).tree, { l: ["x"] });
    // The same words about another channel are another request.
    assert.equal((await api("/tree", { ...more, channel: name() }, { "idempotency-key": "once" })).status, 422);
  });

  test("what is wrong with a request is said, each fault at its place", async () => {
    for (const [body, place, what] of [
      [{ patch: [] }, "#/channel", /is needed/],
      [{ channel: "a" }, "#/patch", /is needed/],
      [{ channel: "a", patch: [{ op: "eat", path: "/a" }] }, "#/patch/0", /RFC 6902/],
      [{ channel: "a", patch: [], more: 1 }, "#/more", /./],
    ]) {
      const { status, errors } = await api("/tree", body);
      assert.equal(status, 400);
      const found = errors.find(({ pointer }) => pointer === place);
      assert.match(found?.detail ?? JSON.stringify(errors), what);
    }
    const { status, errors } = await api("/yjs", { channel: "a", update: "?", document: "b", coding: "v1" });
    assert.deepEqual([status, errors.map(({ pointer }) => pointer).sort()], [400, ["#/document", "#/update"]]);
  });
});

describe("a document of Yjs", () => {
  test("is read as JSON and as an update, and updated before the eyes of both kinds of editors", async () => {
    const room = name();
    const bob = socket(room);
    bob.getText("t").insert(0, "hello");
    bob.getMap("m").set("k", 1);
    await eventually("stored", async () => (await api(`/channels/${room}/yjs`)).types?.t === "hello");
    const ann = await site.editor(room).connected();
    const provider = getYjsProviderForRoom(ann.room);
    open.push(provider);
    await eventually("Ann has it", () => provider.getYDoc().getText("t").toString() === "hello");
    const read = await api(`/channels/${room}/yjs`);
    assert.deepEqual([read.document, read.types], [null, { t: "hello", m: { k: 1 } }]);
    const own = new Y.Doc();
    Y.applyUpdate(own, Buffer.from(read.update, "base64"));
    assert.equal(own.getText("t").toString(), "hello");
    own.getText("t").insert(5, " world");
    assert.deepEqual(await api("/yjs", { channel: room, update: base64(Y.encodeStateAsUpdate(own)) }), { status: 200 });
    const all = [bob, provider.getYDoc()];
    await eventually("both see it", () => all.every((doc) => doc.getText("t").toString() === "hello world"));
    own.getText("t").insert(0, "2: ");
    await api("/yjs", { channel: room, update: base64(Y.encodeStateAsUpdateV2(own)), coding: "v2" });
    await eventually("both see it", () => all.every((doc) => doc.getText("t").toString() === "2: hello world"));
  });

  test("a subdocument has a name; none is none; garbage is refused", async () => {
    const [room, guid] = [name(), "0b1c2d3e-4f50-4172-8394-a5b6c7d8e9f0"];
    const doc = new Y.Doc();
    doc.getText("t").insert(0, "sub");
    assert.equal((await api("/yjs", { channel: room, document: guid, update: base64(Y.encodeStateAsUpdate(doc)) })).status, 200);
    assert.deepEqual((await api(`/channels/${room}/yjs?document=${guid}`)).types, { t: "sub" });
    assert.equal((await api(`/channels/${room}/yjs`)).status, 404);
    const garbage = await api("/yjs", { channel: room, update: base64([9, 9, 9, 9]) });
    assert.equal(garbage.status, 400);
    assert.equal((await api(`/channels/${room}/yjs?document=${guid}`)).types.t, "sub");
  });
});

describe("webhooks", () => {
  const of = (channel) => told.filter(({ data }) => data.channel === channel);

  test("tell of changes by anybody, of the tree and of Yjs, and of deletion; of other channels nothing", async () => {
    const [room, other] = [name(), name("other")];
    await patch(room, { op: "add", path: "/a", value: 1 });
    await eventually("the tree", () => of(room).length === 1);
    const bob = socket(room);
    bob.getText("t").insert(0, "x");
    await eventually("Yjs", () => of(room).length === 2);
    assert.deepEqual(of(room).map(({ type, data }) => [type, data]), [
      ["document.changed", { channel: room, document: "tree" }],
      ["document.changed", { channel: room, document: "yjs" }],
    ]);
    assert.ok(Math.abs(Date.parse(of(room)[0].timestamp) - Date.now()) < 60_000);
    await patch(other, { op: "add", path: "/a", value: 1 });
    await site.node.deleteRoom(room);
    await eventually("deleted", () => of(room).some(({ type }) => type === "document.deleted"));
    assert.deepEqual(of(other), []);
  });

  test("tell a change that waits before the door stops", async () => {
    const room = name();
    await patch(room, { op: "add", path: "/a", value: 1 });
    await eventually("the first", () => of(room).length === 1);
    await patch(room, { op: "replace", path: "/a", value: 2 });
    await site.again();
    await eventually("the last", () => of(room).length === 2);
  });
});
