// Webhooks of rooms, read by `WebhookHandler` of npm `@liveblocks/node` as it is.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { WebhookHandler } from "@liveblocks/node";
import * as Y from "yjs";
import { config } from "../browser/harness/doorway.js";
import { eventually, LiveObject, Site } from "./harness/liveblocks.js";

const name = ((number) => (kind = "room") => `${kind}-${number++}`)(1);
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

/** A server that the door tells: what the library made of each request, or what it said against it. */
class Receiver {
  posts = [];
  behave = (response) => response.end();

  static async start(secret = SECRET) {
    const receiver = new Receiver();
    const handler = new WebhookHandler(secret);
    receiver.server = createServer(async (request, response) => {
      let rawBody = "";
      for await (const chunk of request.setEncoding("utf8")) rawBody += chunk;
      const post = { id: request.headers["webhook-id"], at: Number(request.headers["webhook-timestamp"]), path: request.url };
      try {
        post.event = handler.verifyRequest({ headers: request.headers, rawBody });
      } catch (error) {
        post.wrong = error.message;
      }
      receiver.posts.push(post);
      receiver.behave(response);
    }).listen(0, "127.0.0.1");
    await once(receiver.server, "listening");
    receiver.url = `http://127.0.0.1:${receiver.server.address().port}`;
    return receiver;
  }

  events(type, room) {
    return this.posts.map(({ event }) => event).filter((event) => event?.type === type && event.data.roomId === room);
  }

  /** What was told of a room in order. */
  story(room) {
    return this.posts.filter(({ event }) => event?.data.roomId === room).map(({ event }) => event.type);
  }

  async told(type, room, times = 1) {
    await eventually(`${type} of ${room}`, () => this.events(type, room).length >= times);
    return this.events(type, room);
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** Runs `body` with a receiver and a door that tells it. */
async function told(hook, liveblocks, body) {
  const receiver = await Receiver.start(hook.secret);
  const site = await Site.start({
    liveblocks,
    callbacks: { secret: SECRET },
    "realtime.liveblocks.webhooks": [{ url: `${receiver.url}/hook`, ...hook }],
  });
  try {
    await body(site, receiver);
  } finally {
    await site.stop();
    receiver.stop();
  }
}

/** A client with the token of a user. */
const as = (site, userId, userInfo) => ({
  auth: async (room) => {
    const session = site.node.prepareSession(userId, { userInfo });
    session.allow(room, session.FULL_ACCESS);
    const { body } = await session.authorize();
    return JSON.parse(body);
  },
});

/** A client's number in its room. */
async function own(editor) {
  await eventually("itself", () => editor.room.getSelf() !== null);
  return editor.room.getSelf().connectionId;
}

const near = (text) => assert.ok(Math.abs(Date.parse(text) - Date.now()) < 60_000, text);

test("who enters and leaves is told, each connection by itself", () =>
  told({}, {}, async (site, receiver) => {
    const room = name();
    const info = { name: "Änn", tags: ["a"] };
    const ann = await site.editor(room, {}, as(site, "ann", info)).connected();
    const [entered] = await receiver.told("userEntered", room);
    const { enteredAt, ...data } = entered.data;
    near(enteredAt);
    const connectionId = await own(ann);
    assert.deepEqual(data, { projectId: "default", roomId: room, connectionId, userId: "ann", userInfo: info, numActiveUsers: 1 });
    const second = await site.editor(room, {}, as(site, "ann", info)).connected();
    await receiver.told("userEntered", room, 2);
    const nobody = await site.editor(room).connected();
    const all = await receiver.told("userEntered", room, 3);
    assert.deepEqual(all.map(({ data }) => [data.connectionId, data.userId, data.numActiveUsers]), [
      [connectionId, "ann", 1],
      [await own(second), "ann", 2],
      [await own(nobody), null, 3],
    ]);
    assert.equal(all[2].data.userInfo, null);
    ann.leave();
    const [left] = await receiver.told("userLeft", room);
    const { leftAt, ...gone } = left.data;
    near(leftAt);
    assert.deepEqual(gone, { projectId: "default", roomId: room, connectionId, userId: "ann", userInfo: info, numActiveUsers: 2 });
    nobody.cut();
    const lost = (await receiver.told("userLeft", room, 2))[1];
    assert.deepEqual([lost.data.userId, lost.data.numActiveUsers], [null, 1]);
    assert.ok(receiver.posts.every(({ wrong, path }) => !wrong && path === "/hook"), JSON.stringify(receiver.posts));
  }));

test("a visitor without a connection is told of, and nobody of other dialects", () =>
  told({}, {}, async (site, receiver) => {
    const room = name();
    await site.node.createRoom(room, { defaultAccesses: ["*:write"] });
    await site.node.setPresence(room, { userId: "bot", data: { x: 1 }, userInfo: { name: "Bot" }, ttl: 2 });
    const [entered] = await receiver.told("userEntered", room);
    assert.deepEqual([entered.data.userId, entered.data.userInfo], ["bot", { name: "Bot" }]);
    const [left] = await receiver.told("userLeft", room);
    assert.deepEqual([left.data.userId, left.data.numActiveUsers], ["bot", 0]);
    assert.deepEqual(receiver.story(room), ["roomCreated", "userEntered", "userLeft"]);
  }));

test("rooms are told of when they are made and deleted, by whom it may be", () =>
  told({ events: ["roomCreated", "roomDeleted"] }, {}, async (site, receiver) => {
    const [made, entered] = [name(), name()];
    await site.node.createRoom(made, { defaultAccesses: [] });
    await site.node.getOrCreateRoom(made, { defaultAccesses: [] });
    await site.node.updateRoom(made, { metadata: { a: "b" } });
    await (await site.editor(entered).connected()).stored();
    const [created] = await receiver.told("roomCreated", entered);
    assert.deepEqual(Object.keys(created.data).sort(), ["createdAt", "projectId", "roomId"]);
    near(created.data.createdAt);
    await site.node.deleteRoom(made);
    await site.node.deleteRoom(made);
    await site.node.deleteRoom(entered);
    const [deleted] = await receiver.told("roomDeleted", entered);
    near(deleted.data.deletedAt);
    // Whoever comes next makes it anew.
    await site.node.createRoom(made, { defaultAccesses: [] });
    await receiver.told("roomCreated", made, 2);
    assert.deepEqual(receiver.story(made), ["roomCreated", "roomDeleted", "roomCreated"]);
    assert.deepEqual(receiver.story(entered), ["roomCreated", "roomDeleted"], "only what was asked for");
  }));

test("changes are told at once, then once in a while, and the last is not lost", () =>
  told({}, { webhook_throttle: "1h" }, async (site, receiver) => {
    const room = name();
    const ann = await site.stored(room, { o: new LiveObject({ n: 0 }) });
    await receiver.told("storageUpdated", room);
    for (let n = 1; n <= 5; n++) {
      ann.root.get("o").set("n", n);
      await ann.synced();
    }
    const document = new Y.Doc();
    document.getText("t").insert(0, "a");
    await site.node.sendYjsBinaryUpdate(room, Y.encodeStateAsUpdate(document));
    const [changed] = await receiver.told("ydocUpdated", room);
    assert.deepEqual(Object.keys(changed.data).sort(), ["projectId", "roomId", "updatedAt"]);
    document.getText("t").insert(0, "b");
    await site.node.sendYjsBinaryUpdate(room, Y.encodeStateAsUpdate(document));
    await eventually("all of it", async () => (await site.node.getStorageDocument(room, "json")).o.n === 5);
    assert.equal(receiver.events("storageUpdated", room).length, 1);
    assert.equal(receiver.events("ydocUpdated", room).length, 1);
    // The door stops: what waits is told before, and that all have left.
    await site.again();
    const [first, last] = await receiver.told("storageUpdated", room, 2);
    assert.ok(Date.parse(last.data.updatedAt) > Date.parse(first.data.updatedAt));
    await receiver.told("ydocUpdated", room, 2);
    await receiver.told("userLeft", room);
    // Who comes back has another number.
    await receiver.told("userEntered", room, 2);
    const [one, two] = receiver.events("userEntered", room);
    assert.notEqual(one.data.connectionId, two.data.connectionId);
  }));

test("a change that waits is told when its time has come", () =>
  told({ events: ["storageUpdated"] }, { webhook_throttle: "300ms" }, async (site, receiver) => {
    const room = name();
    const ann = await site.stored(room, { o: new LiveObject({ n: 0 }) });
    await receiver.told("storageUpdated", room);
    ann.root.get("o").set("n", 1);
    await receiver.told("storageUpdated", room, 2);
    ann.root.get("o").set("n", 2);
    await receiver.told("storageUpdated", room, 3);
  }));

test("a receiver that fails is told again under the same id; its own secret signs", () =>
  told({ secret: OTHER, events: ["userEntered"] }, {}, async (site, receiver) => {
    let asked = 0;
    receiver.behave = (response) => {
      asked++;
      if (asked === 1) response.writeHead(500).end();
      else if (asked === 2) response.destroy();
      else response.end();
    };
    const room = name();
    await site.editor(room).connected();
    await receiver.told("userEntered", room, 3);
    await site.editor(room).connected();
    await eventually("the next", () => receiver.events("userEntered", room).some(({ data }) => data.numActiveUsers === 2));
    const ids = receiver.posts.map(({ id }) => id);
    assert.equal(new Set(ids.slice(0, 3)).size, 1);
    assert.equal(new Set(ids).size, 2);
    assert.ok(receiver.posts.every(({ wrong }) => !wrong), JSON.stringify(receiver.posts));
  }));

test("a hook that comes with a reload hears who is there already", async () => {
  const receiver = await Receiver.start();
  const site = await Site.start({ callbacks: { secret: SECRET } });
  try {
    const room = name();
    await site.editor(room, {}, as(site, "ann")).connected();
    const after = site.door.heard;
    site.door.rewrite(config({ ...site.settings, "realtime.liveblocks.webhooks": [{ url: receiver.url }] }));
    site.door.signal("SIGHUP");
    await site.door.said("the reload", (log) => log.message === "reloaded", { after });
    await site.editor(room, {}, as(site, "bob")).connected();
    await receiver.told("userEntered", room, 2);
    const users = receiver.events("userEntered", room).map(({ data }) => data.userId);
    assert.deepEqual(new Set(users), new Set(["ann", "bob"]));
  } finally {
    await site.stop();
    receiver.stop();
  }
});
