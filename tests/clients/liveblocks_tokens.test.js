// Tokens for the app's users, asked for by npm `@liveblocks/node` as it is, and what they open to stock clients.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { Liveblocks } from "@liveblocks/node";
import WebSocket from "ws";
import * as Y from "yjs";
import { eventually, LiveObject, SECRET, Site } from "./harness/liveblocks.js";

const name = ((number) => () => `room-${number++}`)(1);
const SECOND = "sk_an_older_secret_of_bytes";

let site;
before(async () => {
  site = await Site.start({ documents: {}, "realtime.liveblocks.more_secrets": [{ secret: SECOND }] });
});
after(() => site.stop());

const body = ({ status, body }) => ({ status, ...JSON.parse(body) });
const claims = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));

/** An access token's answer. */
async function access(permissions, options, node = site.node) {
  const session = node.prepareSession("ann", options);
  for (const [pattern, scopes] of Object.entries(permissions)) session.allow(pattern, scopes);
  return body(await session.authorize());
}

const identified = async (identity, options) => body(await site.node.identifyUser(identity, options));

/** A client that comes with what `ask` answers. */
const client = (room, ask, options) => site.editor(room, options, { auth: ask });

/** A room that one with the public key has filled. */
async function filled(room = name()) {
  await site.stored(room, { o: new LiveObject({ x: 1 }) });
  await eventually("stored", async () => (await site.node.getStorageDocument(room, "json")).o?.x === 1);
  return room;
}

/** That a client is told that it may not be in the room, and gives up. */
async function shut(editor, reason = /no access/) {
  await eventually("shut", () => editor.closes.length > 0);
  assert.equal(editor.closes[0][0], 4001);
  assert.match(editor.closes[0][1], reason);
}

/** Whether a client that comes may change the room, by its own word. */
async function mayWrite(editor) {
  await editor.connected();
  await eventually("itself", () => editor.room.getSelf() !== null);
  return editor.room.getSelf().canWrite;
}

const raw = (path, body, key = SECRET) =>
  fetch(site.url + path, { method: "POST", body: JSON.stringify(body), headers: { authorization: `Bearer ${key}` } });

describe("access tokens", () => {
  test("say who somebody is, and what it may do", async () => {
    const info = { name: "Ann", age: 7 };
    const { status, token } = await access({ "a*": ["*:write"], b: ["*:read", "storage:none"] }, { userInfo: info });
    const { k, uid, ui, perms, iat, exp } = claims(token);
    assert.deepEqual([status, k, uid, ui], [200, "acc", "ann", info]);
    assert.deepEqual(perms, { "a*": ["*:write"], b: ["*:read", "storage:none"] });
    assert.equal(exp - iat, 3600);
    assert.notEqual((await access({ "a*": ["*:write"] })).token, (await access({ "a*": ["*:write"] })).token);
  });

  test("let in where they match, with what others are told", async () => {
    const room = name();
    const other = await site.editor(room).connected();
    await client(room, () => access({ [`${room}*`]: ["*:write"] }, { userInfo: { name: "Ann" } })).connected();
    await eventually("seen", () => other.room.getOthers().length === 1);
    const [{ id, info, canWrite }] = other.room.getOthers();
    assert.deepEqual([id, info, canWrite], ["ann", { name: "Ann" }, true]);
  });

  test("let nobody in elsewhere", async () => {
    await shut(client(name(), () => access({ other: ["*:write"] })));
    await shut(client(name(), () => access({ "*": ["storage:write"] })), /no access/);
  });

  test("for reading change nothing, by no message", async () => {
    const room = await filled();
    const reader = await client(room, () => access({ "*": ["*:read"] })).connected();
    await reader.stored();
    assert.deepEqual(reader.json, { o: { x: 1 } });
    assert.equal(await mayWrite(reader), false);
    assert.throws(() => reader.root.set("y", 1), /read only user/);
    // As one whose client does not keep to it.
    const { token } = await access({ "*": ["*:read"] });
    const hostile = new WebSocket(`${site.url}/v8?roomId=${room}&tok=${token}&version=3.24.2`);
    const heard = [];
    hostile.on("message", (data) => heard.push(JSON.parse(data)));
    await eventually("in", () => heard.some(({ type }) => type === 104));
    hostile.send(JSON.stringify([{ type: 201, ops: [{ type: 3, opId: "9:1", id: "root", data: { y: 1 } }] }]));
    await eventually("refused", () => heard.some(({ type, opIds }) => type === 299 && opIds[0] === "9:1"));
    hostile.terminate();
    assert.deepEqual(await site.node.getStorageDocument(room, "json"), { o: { x: 1 } });
  });

  test("may keep a room's storage to others", async () => {
    const room = await filled();
    const blind = await client(room, () => access({ "*": ["*:write", "storage:none"] })).connected();
    await blind.stored();
    assert.deepEqual(blind.json, {});
    // Nor is it told of changes.
    const other = await (await site.editor(room).connected()).stored();
    other.root.get("o").set("secret", "x");
    await other.synced();
    other.room.broadcastEvent("done");
    await eventually("what comes after", () => blind.wire.some((line) => line.includes('"done"')));
    assert.deepEqual(blind.wire.filter((line) => line.startsWith("<") && line.includes("secret")), []);
  });

  test("may keep a room's document of Yjs to others too", async () => {
    const room = await filled();
    const document = new Y.Doc();
    document.getText("t").insert(0, "before");
    await site.node.sendYjsBinaryUpdate(room, Y.encodeStateAsUpdate(document));
    const { token } = await access({ "*": ["*:write", "storage:none"] });
    const blind = new WebSocket(`${site.url}/v8?roomId=${room}&tok=${token}&version=3.24.2`);
    const heard = [];
    blind.on("message", (data) => heard.push(JSON.parse(data)));
    await eventually("in", () => heard.some(({ type }) => type === 104));
    for (const v2 of [false, true]) {
      blind.send(JSON.stringify([{ type: 300, vector: "AA==", v2 }]));
      await eventually("an answer", () => heard.some(({ type, v2: told }) => type === 300 && !!told === v2));
      const { update, stateVector } = heard.find(({ type, v2: told }) => type === 300 && !!told === v2);
      const seen = new Y.Doc();
      (v2 ? Y.applyUpdateV2 : Y.applyUpdate)(seen, Buffer.from(update, "base64"));
      assert.deepEqual([seen.getText("t").toString(), stateVector], ["", "AA=="]);
    }
    const count = heard.filter(({ type }) => type === 300).length;
    document.getText("t").insert(0, "and after ");
    await site.node.sendYjsBinaryUpdate(room, Y.encodeStateAsUpdate(document));
    await site.node.broadcastEvent(room, "done");
    await eventually("what comes after", () => heard.some(({ event }) => event === "done"));
    assert.equal(heard.filter(({ type }) => type === 300).length, count);
    blind.terminate();
  });

  test("a client that has not asked for the storage hears of no change there, and of all when it has", async () => {
    const room = await filled();
    const [late, other] = [await site.editor(room).connected(), await (await site.editor(room).connected()).stored()];
    const change = async (x) => {
      other.root.get("o").set("x", x);
      await other.synced();
      other.room.broadcastEvent(`x is ${x}`);
      await eventually("what comes after", () => late.wire.some((line) => line.includes(`x is ${x}`)));
    };
    await change(2);
    assert.deepEqual(late.wire.filter((line) => line.includes('"type":201')), []);
    await late.stored();
    assert.deepEqual(late.json, { o: { x: 2 } });
    await change(3);
    assert.deepEqual(late.json, { o: { x: 3 } });
  });

  test("what is wrong with a wish for one is named", async () => {
    const good = { userId: "ann", permissions: { a: ["*:read"] } };
    for (const [wish, what] of [
      [{ ...good, userId: undefined }, /userId/],
      [{ ...good, userId: "" }, /userId/],
      [{ ...good, userId: "x".repeat(129) }, /userId/],
      [{ ...good, permissions: undefined }, /permissions/],
      [{ ...good, permissions: { a: [] } }, /permissions\.a/],
      [{ ...good, permissions: { a: ["room:eat"] } }, /room:eat/],
      [{ ...good, permissions: { "a*b": ["*:read"] } }, /permissions\.a\*b/],
      [{ ...good, permissions: Object.fromEntries([...Array(11).keys()].map((n) => [`r${n}`, ["*:read"]])) }, /10/],
      [{ ...good, userInfo: "x" }, /userInfo/],
      [{ ...good, userInfo: { x: "x".repeat(1100) } }, /userInfo/],
    ]) {
      const answer = await raw("/v2/authorize-user", wish);
      const { error, reason } = await answer.json();
      assert.deepEqual([answer.status, typeof error], [422, "string"]);
      assert.match(reason, what);
    }
    const other = new Liveblocks({ secret: "sk_another_secret_of_enough", baseUrl: site.url });
    const { status, error, message } = await access({ "*": ["*:read"] }, undefined, other);
    assert.deepEqual([status, error], [403, "FORBIDDEN"]);
    assert.match(message, /not the secret key/);
  });

  test("of an older secret count until they are over", async () => {
    const node = new Liveblocks({ secret: SECOND, baseUrl: site.url });
    await client(name(), () => access({ "*": ["*:write"] }, undefined, node)).connected();
    const signed = (claims, secret, alg = "HS256") => {
      const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const head = `${part({ alg, typ: "JWT" })}.${part(claims)}`;
      return `${head}.${secret ? createHmac("sha256", secret).update(head).digest("base64url") : ""}`;
    };
    const now = Math.floor(Date.now() / 1000);
    const said = { k: "acc", uid: "ann", perms: { "*": ["*:write"] }, iat: now, exp: now + 60 };
    const come = (token) => client(name(), async () => ({ token }));
    await come(signed(said, SECOND)).connected();
    await shut(come(signed(said, undefined, "none")), /not one of ours/);
    await shut(come(signed(said, "sk_a_stranger_of_enough_bytes")), /not one of ours/);
    const late = come(signed({ ...said, iat: now - 100, exp: now - 1 }, SECRET));
    await eventually("told that it is over", () => late.closes.some(([code]) => code === 4109));
    late.leave();
  });
});

describe("ID tokens", () => {
  test("say who somebody is, and its groups", async () => {
    const { status, token } = await identified({ userId: "ann", groupIds: ["g"] }, { userInfo: { name: "Ann" } });
    const { k, uid, gids, ui } = claims(token);
    assert.deepEqual([status, k, uid, gids, ui], [200, "id", "ann", ["g"], { name: "Ann" }]);
    assert.equal(claims((await identified("bob")).token).uid, "bob");
    for (const groupIds of ["g", [7], [""]]) {
      const answer = await raw("/v2/identify-user", { userId: "ann", groupIds });
      assert.deepEqual([answer.status, /groupIds/.test((await answer.json()).reason)], [422, true]);
    }
  });

  test("open what a room's record says, user before group before all", async () => {
    const room = name();
    await site.node.createRoom(room, {
      defaultAccesses: [],
      groupsAccesses: { readers: ["*:read"] },
      usersAccesses: { ann: ["*:write"] },
    });
    const ann = client(room, () => identified({ userId: "ann", groupIds: ["readers"] }));
    assert.equal(await mayWrite(ann), true);
    const bob = client(room, () => identified({ userId: "bob", groupIds: ["readers"] }));
    assert.equal(await mayWrite(bob), false);
    await shut(client(room, () => identified("eve")));
    await site.node.updateRoom(room, { defaultAccesses: ["*:read"] });
    await client(room, () => identified("eve")).connected();
  });

  test("open no room that is not there", async () => {
    await shut(client(name(), () => identified("ann")));
  });
});

describe("the public key", () => {
  test("opens what the record leaves to everybody", async () => {
    const [open, readable, shutRoom] = [name(), name(), name()];
    await site.node.createRoom(open, { defaultAccesses: ["*:write"] });
    await site.node.createRoom(readable, { defaultAccesses: ["*:read"] });
    await site.node.createRoom(shutRoom, { defaultAccesses: [] });
    assert.equal(await mayWrite(site.editor(open)), true);
    assert.equal(await mayWrite(site.editor(readable)), false);
    await shut(site.editor(shutRoom));
    await shut(site.editor(name(), {}, { publicApiKey: "pk_other" }), /not the public key/);
  });

  test("opens rooms without a record as the config says, also later", async () => {
    const reading = await Site.start({ documents: {}, liveblocks: { public_access: "read" } });
    try {
      assert.equal(await mayWrite(reading.editor("a")), false);
      assert.deepEqual((await reading.node.getRoom("a")).defaultAccesses, ["room:read"]);
    } finally {
      await reading.stop();
    }
  });
});

describe("organizations", () => {
  test("have rooms of their own", async () => {
    const room = name();
    const made = await site.node.createRoom(room, { defaultAccesses: ["*:write"], organizationId: "acme" });
    assert.equal(made.organizationId, "acme");
    await client(room, () => access({ "*": ["*:write"] }, { organizationId: "acme" })).connected();
    await shut(client(room, () => access({ "*": ["*:write"] })));
    await shut(client(room, () => identified("ann")));
    await shut(site.editor(room));
    const { data } = await site.node.getRooms({ organizationId: "acme" });
    assert.deepEqual(data.map(({ id }) => id), [room]);
  });
});
