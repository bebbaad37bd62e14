// npm `@liveblocks/node` as it is: rooms, who is in them, events, and visitors without a connection.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { Liveblocks } from "@liveblocks/node";
import WebSocket from "ws";
import { eventually, PUBLIC, SECRET, Site } from "./harness/liveblocks.js";

const name = ((number) => (kind = "room") => `${kind}-${number++}`)(1);

let site;
before(async () => {
  site = await Site.start({ documents: {} });
});
after(() => site.stop());

/** That a call of the library fails with this status, in words that say why. */
const fails = (call, status, message) =>
  assert.rejects(call, (error) => {
    assert.equal(error.status, status, String(error));
    assert.match(error.message, message);
    return true;
  });

const made = async (id = name(), options = {}) => site.node.createRoom(id, { defaultAccesses: ["*:write"], ...options });

/** Once a room's storage is this. */
const has = (id, json) =>
  eventually("stored", async () => isDeepStrictEqual(await site.node.getStorageDocument(id, "json"), json));

/** A request as no library makes it. */
const ask = (path, { key = SECRET, method = "GET", body, headers } = {}) =>
  fetch(site.url + path, {
    method,
    body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
    headers: { ...(key && { authorization: `Bearer ${key}` }), ...headers },
  });

describe("rooms", () => {
  test("one is made, and read again", async () => {
    const before = Date.now();
    const room = await made("a room/ä", {
      metadata: { kind: "board", tags: ["a", "b"] },
      groupsAccesses: { g: ["*:read"] },
      usersAccesses: { ann: ["*:write", "storage:read"] },
    });
    assert.ok(room.createdAt.getTime() >= before - 1000 && room.createdAt.getTime() <= Date.now() + 1000);
    const { createdAt, lastConnectionAt, ...rest } = room;
    assert.equal(lastConnectionAt, undefined);
    assert.deepEqual(rest, {
      type: "room",
      id: "a room/ä",
      organizationId: "default",
      metadata: { kind: "board", tags: ["a", "b"] },
      defaultAccesses: ["*:write"],
      groupsAccesses: { g: ["*:read"] },
      usersAccesses: { ann: ["*:write", "storage:read"] },
    });
    assert.deepEqual(await site.node.getRoom("a room/ä"), room);
    await fails(made("a room/ä"), 409, /is a room "a room\/ä" already/);
    assert.deepEqual(await site.node.getOrCreateRoom("a room/ä", { defaultAccesses: [] }), room);
  });

  test("one that is not there is not found, by no call", async () => {
    const { node } = site;
    const none = { roomId: "none", currentRoomId: "none", newRoomId: "other" };
    for (const call of [
      () => node.getRoom("none"),
      () => node.updateRoom("none", {}),
      () => node.updateRoomId(none),
      () => node.prewarmRoom("none"),
      () => node.getActiveUsers("none"),
      () => node.broadcastEvent("none", {}),
      () => node.setPresence("none", { userId: "ann", data: {} }),
      () => node.getStorageDocument("none"),
      () => node.initializeStorageDocument("none", { liveblocksType: "LiveObject", data: {} }),
      () => node.deleteStorageDocument("none"),
      () => node.mutateStorage("none", () => {}),
      () => node.getYjsDocument("none"),
      () => node.sendYjsBinaryUpdate("none", new Uint8Array([0, 0])),
      () => node.getYjsDocumentAsBinaryUpdate("none"),
    ]) {
      await fails(call(), 404, /There is no room "none"/);
    }
    await node.deleteRoom("none");
  });

  test("an update says what changes, and null removes", async () => {
    const { id } = await made(name(), { metadata: { a: "1", b: "2" }, usersAccesses: { ann: ["*:write"] } });
    const updated = await site.node.updateRoom(id, {
      defaultAccesses: null,
      usersAccesses: { ann: null, bob: ["*:read"] },
      metadata: { a: null, c: "3" },
    });
    assert.deepEqual(updated.metadata, { b: "2", c: "3" });
    assert.deepEqual([updated.defaultAccesses, updated.usersAccesses], [[], { bob: ["*:read"] }]);
    assert.deepEqual(await site.node.getRoom(id), updated);
  });

  test("an upsert makes what is not there, and updates what is", async () => {
    const id = name();
    const first = await site.node.upsertRoom(id, {
      update: { metadata: { n: "updated" } },
      create: { defaultAccesses: ["*:read"], metadata: { n: "made" } },
    });
    assert.deepEqual([first.defaultAccesses, first.metadata], [["*:read"], { n: "made" }]);
    const second = await site.node.upsertRoom(id, {
      update: { metadata: { n: "updated" } },
      create: { defaultAccesses: [] },
    });
    assert.deepEqual([second.defaultAccesses, second.metadata], [["*:read"], { n: "updated" }]);
  });

  test("what is wrong is named, and makes nothing", async () => {
    const long = "x".repeat(129);
    for (const [id, options, what] of [
      [name(), { metadata: { a: 1 } }, /metadata\.a/],
      [name(), { metadata: { a: "x".repeat(4001) } }, /metadata\.a: it is longer than 4000/],
      [name(), { metadata: Object.fromEntries([...Array(51).keys()].map((n) => [`k${n}`, ""])) }, /at most 50/],
      [name(), { usersAccesses: { [long]: [] } }, /longer than 128/],
      [long, {}, /longer than 128 characters/],
      ["", {}, /empty/],
    ]) {
      await fails(made(id, options), 422, what);
      if (id && id !== long) await fails(site.node.getRoom(id), 404, /no room/);
    }
    for (const [body, what] of [
      ["{", /not JSON/],
      ["[]", /JSON object/],
      [{ id: "x", defaultAccesses: ["room:eat"] }, /room:eat/],
      [{ id: "x" }, /defaultAccesses/],
      [{ id: 7, defaultAccesses: [] }, /^id: /],
    ]) {
      const answer = await ask("/v2/rooms", { method: "POST", body });
      const { error, message, reason } = await answer.json();
      assert.deepEqual([answer.status, error, message], [422, "INVALID_REQUEST", reason]);
      assert.match(message, what);
    }
  });

  test("a list goes page by page, the newest first", async () => {
    const own = { metadata: { list: name("list") } };
    const ids = [];
    for (let n = 0; n < 45; n++) ids.unshift((await made(name("listed"), own)).id);
    const query = own;
    const first = await site.node.getRooms({ query });
    assert.equal(first.data.length, 20);
    const second = await site.node.getRooms({ query, startingAfter: first.nextCursor, limit: 100 });
    const found = [...first.data, ...second.data].map((room) => room.id);
    assert.deepEqual([found.toSorted(), second.nextCursor], [ids.toSorted(), null]);
    const times = [...first.data, ...second.data].map((room) => room.createdAt.getTime());
    assert.deepEqual(times, times.toSorted((a, b) => b - a));
    const all = [];
    for await (const room of site.node.iterRooms({ query }, { pageSize: 20 })) all.push(room.id);
    assert.deepEqual(all, found);
    await fails(site.node.getRooms({ limit: 101 }), 422, /limit/);
    await fails(site.node.getRooms({ startingAfter: "x" }), 422, /startingAfter/);
  });

  test("a list is narrowed by query, user and group", async () => {
    const kind = name("kind");
    const a = await made(`${kind}:a`, { metadata: { kind, "it's": 'a "b"' }, usersAccesses: { ann: ["*:read"] } });
    const b = await made(`${kind}:b`, { metadata: { kind, tags: ["x", "y"] }, groupsAccesses: { g: ["*:read"] } });
    const ids = async (criteria) => (await site.node.getRooms(criteria)).data.map((room) => room.id).toSorted();
    assert.deepEqual(await ids({ query: { metadata: { kind } } }), [a.id, b.id]);
    assert.deepEqual(await ids({ query: { metadata: { kind, "it's": 'a "b"' } } }), [a.id]);
    assert.deepEqual(await ids({ query: { metadata: { kind, tags: null } } }), [a.id]);
    assert.deepEqual(await ids({ query: { metadata: { kind, tags: "y" } } }), [b.id]);
    assert.deepEqual(await ids({ query: { roomId: { startsWith: `${kind}:` }, metadata: { tags: { startsWith: "x" } } } }), [b.id]);
    assert.deepEqual(await ids({ query: `roomId^"${kind}:" AND metadata["kind"]:"${kind}"` }), [a.id, b.id]);
    assert.deepEqual(await ids({ query: { metadata: { kind } }, userId: "ann" }), [a.id]);
    assert.deepEqual(await ids({ query: { metadata: { kind } }, groupIds: ["h", "g"] }), [b.id]);
    await fails(ids({ query: "kind:'x'" }), 422, /query: roomId or metadata\['key'\] is expected, at character 1/);
  });

  test("who enters makes a room, and is seen by when", async () => {
    const id = name();
    await site.editor(id).connected();
    const room = await site.node.getRoom(id);
    assert.ok(room.lastConnectionAt >= room.createdAt);
    assert.deepEqual(room.defaultAccesses, ["room:write"]);
  });

  test("a room is deleted with all that is in it, and who is there gives up", async () => {
    const id = name();
    const editor = await site.stored(id, { n: 1 });
    await has(id, { n: 1 });
    await site.node.deleteRoom(id);
    await eventually("told", () => editor.closes.some(([code]) => code === 4001));
    await fails(site.node.getRoom(id), 404, /no room/);
    await made(id);
    assert.deepEqual(await site.node.getStorageDocument(id, "json"), {});
    assert.equal(editor.closes.length, 1);
  });

  test("who is slow to close is in a room no longer that was deleted", async () => {
    const id = name();
    const socket = new WebSocket(`ws://127.0.0.1:${site.port}/v8?roomId=${id}&pubkey=${PUBLIC}&version=3.24.2`);
    await once(socket, "open");
    await eventually("there", async () => (await site.node.getActiveUsers(id)).data.length === 1);
    // It hears nothing more, so it does not answer that it is closed.
    socket.pause();
    await site.node.deleteRoom(id);
    await made(id);
    assert.deepEqual((await site.node.getActiveUsers(id)).data, []);
    socket.terminate();
  });

  test("a room goes by another name, with all that is in it", async () => {
    const [id, other, taken] = [name(), name("other"), name("taken")];
    await made(taken);
    const editor = await site.stored(id, { n: 1 });
    await has(id, { n: 1 });
    await fails(site.node.updateRoomId({ currentRoomId: id, newRoomId: taken }), 409, /already/);
    const room = await site.node.updateRoomId({ currentRoomId: id, newRoomId: other });
    assert.equal(room.id, other);
    await eventually("told", () => editor.closes.some(([code, reason]) => code === 4006 && reason === other));
    await fails(site.node.getRoom(id), 404, /no room/);
    assert.deepEqual(await site.node.getStorageDocument(other, "json"), { n: 1 });
    const next = await site.stored(other);
    assert.deepEqual(next.json, { n: 1 });
    await eventually("itself", () => next.room.getSelf() !== null);
    assert.ok(next.room.getSelf().connectionId > 0, "no number is given twice");
    const page = await site.node.getRooms({ query: { roomId: other } });
    assert.deepEqual(page.data.map((room) => room.id), [other]);
  });

  test("records survive a restart", async () => {
    const room = await made(name(), { metadata: { a: "1" } });
    await site.again({ killed: true });
    assert.deepEqual(await site.node.getRoom(room.id), room);
    const page = await site.node.getRooms({ query: { roomId: room.id } });
    assert.deepEqual(page.data, [room]);
  });
});

describe("who is there", () => {
  test("is told, with numbers", async () => {
    const id = name();
    const editor = await site.editor(id).connected();
    await eventually("itself", () => editor.room.getSelf() !== null);
    const { data } = await site.node.getActiveUsers(id);
    assert.deepEqual(data, [{ type: "user", connectionId: editor.room.getSelf().connectionId, id: null }]);
    assert.deepEqual(await (await ask(`/v2/rooms/${id}/active_users`)).json(), { data });
    editor.leave();
    await eventually("nobody", async () => (await site.node.getActiveUsers(id)).data.length === 0);
  });

  test("hears what the app says, as of nobody", async () => {
    const id = name();
    const editor = await site.editor(id).connected();
    const heard = [];
    editor.room.events.customEvent.subscribe(({ event, connectionId, user }) => heard.push([event, connectionId, user]));
    for (const event of [{ type: "x", n: [1] }, "text", null, 7]) await site.node.broadcastEvent(id, event);
    await ask(`/v2/rooms/${id}/broadcast_event`, { method: "POST", body: { last: true } });
    await eventually("all", () => heard.length === 5);
    assert.deepEqual(heard, [{ type: "x", n: [1] }, "text", null, 7, { last: true }].map((event) => [event, -1, null]));
    const answer = await ask(`/v2/rooms/${id}/broadcast-event`, { method: "POST", body: "{" });
    assert.equal(answer.status, 422);
  });
});

describe("a visitor without a connection", () => {
  const others = (editor) => editor.room.getOthers().map(({ id, info, presence }) => ({ id, info, presence }));

  test("is seen by those who are there and those who come, for its time", async () => {
    const id = name();
    const first = await site.editor(id).connected();
    await site.node.setPresence(id, { userId: "agent", data: { at: 1 }, userInfo: { name: "Agent" }, ttl: 3000 });
    const seen = (at) => [{ id: "agent", info: { name: "Agent" }, presence: { at } }];
    await eventually("seen", () => others(first).length === 1);
    assert.deepEqual(others(first), seen(1));
    await site.node.setPresence(id, { userId: "agent", data: { at: 2 }, userInfo: { name: "Agent" }, ttl: 3000 });
    await eventually("seen anew", () => others(first)[0].presence.at === 2);
    const second = await site.editor(id).connected();
    await eventually("seen by the newcomer", () => others(second).length === 2);
    assert.deepEqual(others(second).filter((other) => other.id === "agent"), seen(2));
    const { data } = await site.node.getActiveUsers(id);
    assert.deepEqual(data.map((user) => user.id).toSorted(), ["agent", null, null].toSorted());
    await site.node.setPresence(id, { userId: "agent", data: { at: 3 }, userInfo: { name: "Agent" }, ttl: 2 });
    await eventually("gone", () => others(first).length === 1 && others(second).length === 1, 20_000);
    await eventually("gone for the app", async () => (await site.node.getActiveUsers(id)).data.length === 2);
  });

  test("is told of anew where it is told of otherwise", async () => {
    const id = name();
    const editor = await site.editor(id).connected();
    for (const info of [{ name: "A" }, { name: "B" }]) {
      await site.node.setPresence(id, { userId: "agent", data: { info }, userInfo: info });
      await eventually("seen", () => others(editor)[0]?.info?.name === info.name);
      assert.equal(others(editor).length, 1);
    }
    await site.node.deleteRoom(id);
    await made(id);
    assert.deepEqual((await site.node.getActiveUsers(id)).data, []);
  });

  test("has a name, something to show, and a time", async () => {
    const { id } = await made();
    for (const [presence, what] of [
      [{ data: {} }, /userId/],
      [{ userId: "", data: {} }, /userId/],
      [{ userId: "a" }, /data/],
      [{ userId: "a", data: [] }, /data/],
      [{ userId: "a", data: { x: "x".repeat(70_000) } }, /data: it is longer/],
      [{ userId: "a", data: {}, ttl: 1 }, /ttl/],
      [{ userId: "a", data: {}, ttl: 3600 }, /ttl/],
      [{ userId: "a", data: {}, userInfo: 7 }, /userInfo/],
    ]) {
      await fails(site.node.setPresence(id, presence), 422, what);
    }
  });
});

describe("keys and what is not there", () => {
  test("another key is refused", async () => {
    const other = new Liveblocks({ secret: "sk_another_secret_of_enough", baseUrl: site.url });
    await fails(other.getRooms(), 403, /This is not the secret key/);
    const answer = await ask("/v2/rooms", { key: PUBLIC });
    const { error, message } = await answer.json();
    assert.deepEqual([answer.status, error], [403, "FORBIDDEN"]);
    assert.match(message, /A secret key is needed/);
  });

  test("without a key, the path is the app's", async () => {
    const nothing = await ask("/a/page/of/the/app", { key: undefined });
    for (const key of ["", "eyJhbGciOiJub25lIn0.eyJrIjoiYWNjIiwidWlkIjoiYSJ9.", "abc"]) {
      const answer = await ask("/v2/rooms", { key });
      assert.deepEqual([answer.status, answer.headers.get("access-control-allow-origin")], [nothing.status, null]);
      assert.notEqual((await answer.json().catch(() => ({}))).error, "NOT_AVAILABLE");
    }
  });

  test("comments and the like say that they are not offered", async () => {
    const { id } = await made();
    const { node } = site;
    for (const call of [
      () => node.getThreads({ roomId: id }),
      () => node.createThread({ roomId: id, data: { comment: { userId: "a", body: { version: 1, content: [] } } } }),
      () => node.getInboxNotifications({ userId: "a" }),
      () => node.getAiCopilots(),
      () => node.getFeeds({ roomId: id }),
      () => node.getVersionHistory(id),
      () => node.getGroups(),
      () => node.getRoomSubscriptionSettings({ roomId: id, userId: "a" }),
    ]) {
      await fails(call(), 404, /is not offered by this server/);
    }
    for (const path of [`/v2/c/rooms/${id}/threads`, "/v2/c/inbox-notifications", "/v2/c/whatever"]) {
      const answer = await ask(path, { key: PUBLIC });
      assert.deepEqual([answer.status, (await answer.json()).error], [404, "NOT_AVAILABLE"]);
      assert.match(answer.headers.get("x-lb-warn"), /not offered/);
    }
  });

  test("the app's server finds it at Doorway's own listener too, with the key all the same", async () => {
    const { id } = await made();
    const inside = `http://${site.door.addresses.admin}/_doorway/api/v1`;
    const node = new Liveblocks({ secret: SECRET, baseUrl: inside });
    const { status, body } = await node.prepareSession("ann").allow(id, ["*:write"]).authorize();
    assert.deepEqual([status, Object.keys(JSON.parse(body))], [200, ["token"]]);
    assert.equal((await node.getRoom(id)).id, id);
    await node.mutateStorage(id, ({ root }) => root.set("x", 1));
    await has(id, { x: 1 });
    await fails(new Liveblocks({ secret: "sk_another_secret_of_enough", baseUrl: inside }).getRoom(id), 403, /not the secret key/);
  });

  test("requests are counted by the status of their answers", async () => {
    await site.node.getRooms();
    const metrics = await (await site.door.admin("/metrics")).text();
    assert.match(metrics, /liveblocks_requests_total\{status="200"\} [1-9]/);
  });
});
