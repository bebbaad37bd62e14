// Webhooks, checked with the stock library's own `webhook()`.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { APP, eventually, heard, Site, subscribed } from "./harness/pusher.js";

/** What a receiver was sent: each request's id, whether its signature was right, and its events. */
class Receiver {
  posts = [];
  behave = (response) => response.end();

  take(server, request, response, rawBody) {
    const webhook = server.webhook({ headers: request.headers, rawBody });
    this.posts.push({ id: request.headers["webhook-id"], isValid: webhook.isValid(), events: webhook.getEvents(), time: webhook.getTime() });
    this.behave(response);
  }

  get events() {
    return this.posts.flatMap(({ events }) => events);
  }

  find(name, channel) {
    return this.events.filter((event) => event.name === name && event.channel === channel);
  }
}

describe("a route of the app", () => {
  let site;
  const receiver = new Receiver();
  before(async () => {
    site = await Site.start({
      apps: [{ ...APP, subscription_counts: true, webhook_quiet: "300ms" }],
      "realtime.pusher.webhooks": [{ url: "/api/pusher/webhook" }],
      channels: [{ match: "presence-*", presence_grace: "0s" }],
    });
    site.routes["/api/pusher/webhook"] = (request, response, body) => receiver.take(site.server(), request, response, body);
  });
  after(() => site.stop());

  test("hears that a channel is occupied and, when it is quiet, vacated", async () => {
    const client = await site.connected();
    await subscribed(client, "hooked");
    await eventually("occupied", () => receiver.find("channel_occupied", "hooked").length);
    client.unsubscribe("hooked");
    await eventually("vacated", () => receiver.find("channel_vacated", "hooked").length);
    assert.ok(receiver.posts.every(({ isValid }) => isValid), "each is signed");
    assert.ok(Math.abs(receiver.posts[0].time - Date.now()) < 60_000);
  });

  test("hears nothing of a page that is reloaded", async () => {
    const before = await site.connected(site.as({ id: "ann" }));
    await subscribed(before, "presence-reload");
    await eventually("she came", () => receiver.find("member_added", "presence-reload").length);
    before.disconnect();
    const next = await site.connected(site.as({ id: "ann" }));
    await subscribed(next, "presence-reload");
    // Whatever there was to tell of the reload would come before this.
    next.unsubscribe("presence-reload");
    await eventually("she went", () => receiver.find("member_removed", "presence-reload").length);
    await eventually("vacated", () => receiver.find("channel_vacated", "presence-reload").length);
    for (const name of ["channel_occupied", "channel_vacated", "member_added", "member_removed"]) {
      assert.equal(receiver.find(name, "presence-reload").length, 1, name);
    }
    assert.equal(receiver.find("member_added", "presence-reload")[0].user_id, "ann");
  });

  test("hears client events, with who sent them", async () => {
    const client = await site.connected(site.as({ id: "bob" }));
    const channel = await subscribed(client, "presence-events");
    channel.trigger("client-typed", { key: "x" });
    await eventually("it", () => receiver.find("client_event", "presence-events").length);
    assert.deepEqual(receiver.find("client_event", "presence-events"), [
      { name: "client_event", channel: "presence-events", event: "client-typed", data: '{"key":"x"}', socket_id: client.connection.socket_id, user_id: "bob" },
    ]);
  });

  test("hears of cache misses and subscription counts", async () => {
    const client = await site.connected();
    await heard(client.subscribe("cache-hooked"), "pusher:cache_miss");
    await eventually("the miss", () => receiver.find("cache_miss", "cache-hooked").length);
    await eventually("the count", () => receiver.find("subscription_count", "cache-hooked").some(({ subscription_count }) => subscription_count === 1));
  });
});

test("a receiver elsewhere that fails, hangs and recovers loses nothing; doubles have the same id", async () => {
  const receiver = new Receiver();
  let server;
  const elsewhere = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    receiver.take(server, request, response, body);
  }).listen(0, "127.0.0.1");
  await once(elsewhere, "listening");
  const site = await Site.start({
    apps: [{ ...APP, webhook_quiet: "0s" }],
    "realtime.pusher.webhooks": [{ url: `http://127.0.0.1:${elsewhere.address().port}/hook`, events: ["channel_occupied"], channels: ["told-*"] }],
  });
  try {
    server = site.server();
    let asked = 0;
    receiver.behave = (response) => {
      asked++;
      if (asked === 1) response.writeHead(500).end();
      else if (asked === 2) response.destroy();
      else if (asked === 3) return; // it hangs
      else response.end();
    };
    const client = await site.connected();
    for (let n = 0; n < 5; n++) await subscribed(client, `told-${n}`);
    await subscribed(client, "not-told");
    await eventually("all of them", () => asked >= 4 && new Set(receiver.posts.slice(3).flatMap(({ events }) => events.map(({ channel }) => channel))).size === 5, 60_000);
    const [first] = receiver.posts;
    assert.deepEqual(receiver.posts.slice(1, 4).map(({ id }) => id), [first.id, first.id, first.id]);
    const once = new Map(receiver.posts.map((post) => [post.id, post.events]));
    const told = [...once.values()].flat();
    assert.deepEqual(told.map(({ channel }) => channel), ["told-0", "told-1", "told-2", "told-3", "told-4"]);
    assert.ok(told.every(({ name }) => name === "channel_occupied"));
  } finally {
    await site.stop();
    elsewhere.close();
    elsewhere.closeAllConnections();
  }
});
