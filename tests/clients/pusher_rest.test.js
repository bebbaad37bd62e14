// The server library `pusher` as it is: events, batches, users, and what is in the channels.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { once } from "node:events";
import WebSocket from "ws";
import nacl from "tweetnacl";
import { APP, collect, eventually, heard, Site, subscribed } from "./harness/pusher.js";

describe("one site", () => {
  let site;
  let server;
  before(async () => {
    site = await Site.start({ apps: [{ ...APP, subscription_counts: true }], channels: [{ match: "presence-*", presence_grace: "0s" }] });
    server = site.server();
  });
  after(() => site.stop());

  const json = async (answer) => (await answer).json();

  for (const [what, data] of [
    ["an object", { a: [1, "two", null], ü: "✓" }],
    ["text", "just text"],
    ["text that looks like JSON", "[1,2]"],
    ["a number", 7],
    ["nothing", null],
  ]) {
    test(`an event with ${what} reaches a stock client as it was`, async () => {
      const channel = await subscribed(await site.connected(), "rest-public");
      const told = heard(channel, "my-event");
      assert.deepEqual(await json(server.trigger("rest-public", "my-event", data)), {});
      const expected = data === "[1,2]" ? [1, 2] : data;
      assert.deepEqual(await told, expected);
    });
  }

  test("an event goes to a hundred channels, and to each subscriber of each", async () => {
    const client = await site.connected();
    const names = Array.from({ length: 100 }, (_, n) => `many-${n}`);
    const [first, last] = [await subscribed(client, names[0]), await subscribed(client, names[99])];
    const told = Promise.all([heard(first, "e"), heard(last, "e")]);
    await server.trigger(names, "e", 1);
    assert.deepEqual(await told, [1, 1]);
    const more = server.post({ path: "/events", body: { name: "e", data: "1", channels: [...names, "one-more"] } });
    await assert.rejects(more, { status: 400 });
  });

  test("socket_id leaves one connection out", async () => {
    const [ann, bob] = [await site.connected(), await site.connected()];
    const [a, b] = [await subscribed(ann, "rest-but"), await subscribed(bob, "rest-but")];
    const own = collect(a, "e");
    const told = heard(b, "e");
    await server.trigger("rest-but", "e", 1, { socket_id: ann.connection.socket_id });
    await told;
    const both = heard(a, "last");
    await server.trigger("rest-but", "last", 1);
    await both;
    assert.deepEqual(own, []);
  });

  test("info answers how many there are", async () => {
    await subscribed(await site.connected(site.as({ id: "ann" })), "presence-info");
    await subscribed(await site.connected(site.as({ id: "ann" })), "presence-info");
    const answer = await json(server.trigger(["presence-info", "nobody-here"], "e", 1, { info: "user_count,subscription_count" }));
    assert.deepEqual(answer, {
      channels: { "presence-info": { user_count: 1, subscription_count: 2 }, "nobody-here": { subscription_count: 0 } },
    });
  });

  test("a batch of ten goes out, one of eleven does not", async () => {
    const channel = await subscribed(await site.connected(), "rest-batch");
    const told = collect(channel, "n");
    const batch = (size) => Array.from({ length: size }, (_, n) => ({ channel: "rest-batch", name: "n", data: { n } }));
    assert.deepEqual(await json(server.triggerBatch(batch(10))), {});
    await eventually("all ten", () => told.length === 10);
    assert.deepEqual(told.map(({ n }) => n), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await assert.rejects(server.triggerBatch(batch(11)), { status: 400 });
    const asked = await json(server.triggerBatch([{ channel: "rest-batch", name: "n", data: 1, info: "subscription_count" }]));
    assert.deepEqual(asked, { batch: [{ subscription_count: 1 }] });
  });

  test("channels, one channel, and its users", async () => {
    await subscribed(await site.connected(site.as({ id: "ann" })), "presence-list");
    await subscribed(await site.connected(site.as({ id: "bob" })), "presence-list");
    await subscribed(await site.connected(), "list-public");
    const all = await json(server.get({ path: "/channels" }));
    assert.ok("list-public" in all.channels && "presence-list" in all.channels);
    const filtered = await json(server.get({ path: "/channels", params: { filter_by_prefix: "presence-list", info: "user_count" } }));
    assert.deepEqual(filtered, { channels: { "presence-list": { user_count: 2 } } });
    const one = await json(server.get({ path: "/channels/presence-list", params: { info: "user_count,subscription_count" } }));
    assert.deepEqual(one, { occupied: true, user_count: 2, subscription_count: 2 });
    assert.deepEqual(await json(server.get({ path: "/channels/never-seen" })), { occupied: false });
    const { users } = await json(server.get({ path: "/channels/presence-list/users" }));
    assert.deepEqual(users.map(({ id }) => id).sort(), ["ann", "bob"]);
    await assert.rejects(server.get({ path: "/channels", params: { info: "user_count" } }), { status: 400 });
    await assert.rejects(server.get({ path: "/channels/list-public/users" }), { status: 400 });
  });

  test("a cache channel tells its last event to whoever comes, and not what clients say", async () => {
    await server.trigger("private-cache-news", "headline", { text: "old" });
    await server.trigger("private-cache-news", "headline", { text: "new" });
    const client = await site.connected();
    const channel = client.subscribe("private-cache-news");
    assert.deepEqual(await heard(channel, "headline"), { text: "new" });
    const other = await subscribed(await site.connected(), "private-cache-news");
    const said = heard(channel, "client-aside");
    other.trigger("client-aside", 1);
    await said;
    const late = (await site.connected()).subscribe("private-cache-news");
    assert.deepEqual(await heard(late, "headline"), { text: "new" });
    const { cache } = await json(server.get({ path: "/channels/private-cache-news", params: { info: "cache" } }));
    assert.equal(cache.data, '{"text":"new"}');
    assert.ok(cache.ttl > 0 && cache.ttl <= 1800);
  });

  test("an encrypted event passes sealed and is opened by the stock client", async () => {
    const client = await site.connected({ nacl });
    const channel = await subscribed(client, "private-encrypted-safe");
    const raw = collect(client.connection, "message");
    const told = heard(channel, "secret");
    await server.trigger("private-encrypted-safe", "secret", { gold: 7 });
    assert.deepEqual(await told, { gold: 7 });
    const sealed = raw.find(({ event }) => event === "secret").data;
    assert.deepEqual(Object.keys(sealed).sort(), ["ciphertext", "nonce"]);
  });

  test("an event for a user reaches all their connections and nobody else", async () => {
    const clients = [];
    for (const id of ["una", "una", "tom"]) {
      const client = await site.connected(site.as({ id }));
      client.signin();
      await eventually("the user's channel", () => client.user.serverToUserChannel?.subscribed);
      clients.push(client);
    }
    const strays = collect(clients[2].user, "for-you");
    const told = Promise.all(clients.slice(0, 2).map((client) => heard(client.user, "for-you")));
    await server.sendToUser("una", "for-you", { n: 1 });
    assert.deepEqual(await told, [{ n: 1 }, { n: 1 }]);
    const again = heard(clients[0].user, "for-you");
    await server.post({ path: "/users/una/events", body: { name: "for-you", data: '{"n":2}' } });
    assert.deepEqual(await again, { n: 2 });
    assert.deepEqual(strays, []);
  });

  test("a user's connections are terminated, with 4009, for good", async () => {
    const clients = [];
    for (const id of ["zoe", "zoe", "yan"]) {
      const client = await site.connected(site.as({ id }));
      client.signin();
      await heard(client, "pusher:signin_success");
      clients.push(client);
    }
    const errors = Promise.all(clients.slice(0, 2).map((client) => heard(client.connection, "error")));
    assert.deepEqual(await json(server.terminateUserConnections("zoe")), {});
    assert.deepEqual((await errors).map(({ data }) => data.code), [4009, 4009]);
    await eventually("the end", () => clients[0].connection.state === "disconnected");
    assert.equal(clients[2].connection.state, "connected");
  });

  test("subscription counts are told to those who are there", async () => {
    const first = await subscribed(await site.connected(), "counted");
    const counts = collect(first, "pusher:subscription_count");
    await subscribed(await site.connected(), "counted");
    await eventually("two", () => counts.some(({ subscription_count }) => subscription_count === 2));
    assert.equal(first.subscriptionCount, 2);
  });

  test("below the hub's path the signature is that of /apps/…", async () => {
    const below = site.server(APP, { host: "127.0.0.1", port: String(site.port) });
    // As `host: "example.com/api/ws"` does: the path is signed without what stands before it.
    const query = below.createSignedQueryString({ method: "GET", path: "/apps/1/channels", params: {} });
    assert.equal((await fetch(`${site.origin}/api/ws/apps/1/channels?${query}`)).status, 200);
    assert.equal((await fetch(`${site.origin}/apps/1/channels?${query}`)).status, 200);
  });

  test("forURL finds the app too", async () => {
    const Server = server.constructor;
    const found = Server.forURL(`http://${APP.key}:${APP.secret}@127.0.0.1:${site.port}/apps/${APP.id}`);
    assert.equal((await found.trigger("anything", "e", 1)).status, 200);
  });

  const signed = (method, path, body, change = {}) => {
    const params = { auth_key: APP.key, auth_timestamp: Math.floor(Date.now() / 1000), auth_version: "1.0", ...change.params };
    if (body !== undefined) params.body_md5 = createHash("md5").update(change.md5 ?? body).digest("hex");
    const text = Object.keys(params).sort().map((key) => `${key}=${params[key]}`).join("&");
    const signature = change.signature ?? server.config.token.sign(`${method}\n${path}\n${text}`);
    return fetch(`${site.origin}${change.path ?? path}?${text}&auth_signature=${signature}`, { method, body });
  };
  const event = JSON.stringify({ name: "e", data: "1", channels: ["a"] });

  for (const [what, change, status] of [
    ["nothing wrong", {}, 200],
    ["another secret's signature", { signature: "0".repeat(64) }, 401],
    ["half a signature", { signature: "abc" }, 401],
    ["a time that is too old", { params: { auth_timestamp: Math.floor(Date.now() / 1000) - 700 } }, 401],
    ["a time that is no number", { params: { auth_timestamp: "now" } }, 400],
    ["a key of nobody", { params: { auth_key: "nobody" } }, 401],
    ["another version", { params: { auth_version: "2.0" } }, 400],
    ["another body's MD5", { md5: "other" }, 401],
    ["another path than was signed", { path: "/apps/1/batch_events" }, 401],
    ["an app of nobody", { path: "/apps/77/events" }, 404],
  ]) {
    test(`a request with ${what} is answered with ${status}`, async () => {
      assert.equal((await signed("POST", "/apps/1/events", event, change)).status, status);
    });
  }

  for (const [what, body, status] of [
    ["that is no JSON", "{", 400],
    ["without a name", JSON.stringify({ data: "1", channels: ["a"] }), 400],
    ["without a channel", JSON.stringify({ name: "e", data: "1", channels: [] }), 400],
    ["for a name that no channel has", JSON.stringify({ name: "e", data: "1", channels: ["a b"] }), 400],
    ["for a name that is too long", JSON.stringify({ name: "e", data: "1", channels: ["x".repeat(201)] }), 400],
    ["whose name is too long", JSON.stringify({ name: "x".repeat(201), data: "1", channel: "a" }), 400],
    ["that would speak for the server", JSON.stringify({ name: "pusher:error", data: "1", channel: "a" }), 400],
    ["with a socket_id that is none", JSON.stringify({ name: "e", data: "1", channel: "a", socket_id: "x" }), 400],
    ["with info that nobody knows", JSON.stringify({ name: "e", data: "1", channel: "a", info: "weather" }), 400],
    ["of 10 KB exactly", JSON.stringify({ name: "e", data: "x".repeat(10240), channel: "a" }), 200],
    ["of one byte more", JSON.stringify({ name: "e", data: "x".repeat(10241), channel: "a" }), 413],
    ["that is far too long", JSON.stringify({ name: "e", data: "x".repeat(1_000_000), channel: "a" }), 413],
    ["for an encrypted channel and another", JSON.stringify({ name: "e", data: "1", channels: ["private-encrypted-a", "b"] }), 400],
  ]) {
    test(`an event ${what} is answered with ${status}`, async () => {
      const answer = await signed("POST", "/apps/1/events", body);
      assert.equal(answer.status, status);
      if (status >= 400) assert.match(answer.headers.get("content-type"), /^text\/plain/);
    });
  }

  test("what is not there is 404, and the app's own pages stay its own", async () => {
    assert.equal((await signed("GET", "/apps/1/nonsense")).status, 404);
    assert.equal((await signed("DELETE", "/apps/1/channels")).status, 404);
    assert.equal(await (await fetch(`${site.origin}/apps/mine/page`)).text(), "app");
  });

  test("an event on a channel reaches plain sockets and event streams there", async () => {
    const plain = new WebSocket(`${site.origin.replace("http", "ws")}/api/ws/mixed`);
    await once(plain, "open");
    const stream = await fetch(`${site.origin}/api/ws/mixed`, { headers: { accept: "text/event-stream" } });
    const message = once(plain, "message");
    await server.trigger("mixed", "greeting", { hello: "all" });
    assert.deepEqual(JSON.parse((await message)[0]), { type: "broadcast", name: "greeting", data: { hello: "all" } });
    const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("greeting")) text += (await reader.read()).value;
    await reader.cancel();
    plain.close();
  });
});
