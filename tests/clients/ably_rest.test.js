// npm `ably` as it is, without a connection: publishing, the past, presence, batches and what is not there; in both formats.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, FORMATS, heard, KEY, reached, Site } from "./harness/ably.js";

const name = ((number) => (kind = "rest") => `${kind}-${number++}`)(1);
const OTHER = "other.key:another-secret-of-enough-bytes";

/** All items of all pages, and how many pages they were. */
async function all(page) {
  const [items, pages] = [[], [page]];
  for (; page; page = page.hasNext() ? await page.next() : undefined) {
    items.push(...page.items);
    pages.push(page);
  }
  return { items, pages: pages.length - 1 };
}

for (const [format, own] of FORMATS) {
  describe(format, () => {
    let site;
    before(async () => {
      site = await Site.start({ ably: [{ key: KEY, max_message: "64KiB" }, { key: OTHER }] });
    });
    after(() => site.stop());
    const rest = (options) => site.rest({ ...own, ...options });

    test("the time is the server's", async () => {
      assert.ok(Math.abs((await rest().time()) - Date.now()) < 60_000);
    });

    test("what is published is heard, and kept with all that applications rely on", async () => {
      const room = name();
      const client = await site.connected(own);
      const told = await heard(client.channels.get(room));
      const channel = rest().channels.get(room);
      const data = { text: "hello", n: [1, null] };
      const { serials } = await channel.publish("hi", data);
      await channel.publish({ name: "bytes", data: Buffer.from([0, 255]), clientId: "ann", extras: { headers: { a: "b" } } });
      await channel.publish("none");
      await eventually("all", () => told.length === 3);
      assert.deepEqual(told[0].data, data);
      assert.deepEqual(Buffer.from(told[1].data), Buffer.from([0, 255]));
      assert.deepEqual([told[1].clientId, told[1].extras], ["ann", { headers: { a: "b" } }]);
      assert.deepEqual(serials, [told[0].serial]);
      const { items } = await channel.history();
      assert.deepEqual(items.map((item) => item.name), ["none", "bytes", "hi"]);
      assert.deepEqual(items[2].data, data);
      assert.deepEqual(Buffer.from(items[1].data), Buffer.from([0, 255]));
      assert.deepEqual(items.map(({ id, serial, timestamp }) => [id, serial, timestamp]), told.toReversed().map(({ id, serial, timestamp }) => [id, serial, timestamp]));
      const one = await channel.getMessage(items[2]);
      assert.deepEqual([one.serial, one.data], [items[2].serial, data]);
    });

    test("several are one: in order, and none of them where one cannot be", async () => {
      const channel = rest().channels.get(name());
      const { serials } = await channel.publish([{ data: "1" }, { data: "2" }, { data: "3" }]);
      assert.equal(new Set(serials).size, 3);
      await assert.rejects(channel.publish([{ data: "4" }, { data: "x".repeat(70_000) }]), { code: 40009 });
      await assert.rejects(channel.publish([{ id: "a", data: "5" }, { id: "b", data: "6" }]), { code: 40031 });
      const { items } = await channel.history({ direction: "forwards" });
      assert.deepEqual(items.map(({ data }) => data), ["1", "2", "3"]);
    });

    test("an id of its own makes it said once", async () => {
      const channel = rest().channels.get(name());
      const [first, second] = [await channel.publish({ id: "own", data: "1" }), await channel.publish({ id: "own", data: "1" })];
      assert.deepEqual(first.serials, second.serials);
      assert.deepEqual((await channel.history()).items.map(({ id }) => id), ["own"]);
    });

    test("the past comes in pages, from either end", async () => {
      const channel = rest().channels.get(name());
      for (let n = 0; n < 7; n++) await channel.publish("n", String(n));
      const back = await all(await channel.history({ limit: 3 }));
      assert.deepEqual([back.items.map(({ data }) => data).join(""), back.pages], ["6543210", 3]);
      const forth = await channel.history({ limit: 3, direction: "forwards" });
      assert.deepEqual((await all(forth)).items.map(({ data }) => data).join(""), "0123456");
      const second = await forth.next();
      assert.deepEqual((await second.first()).items.map(({ data }) => data).join(""), "012");
      assert.deepEqual((await second.current()).items.map(({ data }) => data).join(""), "345");
      const [oldest] = forth.items;
      const upto = await channel.history({ end: oldest.timestamp, start: oldest.timestamp, direction: "forwards" });
      assert.equal(upto.items[0].data, "0");
      await assert.rejects(channel.history({ limit: 0 }), { code: 40000 });
      await assert.rejects(channel.history({ limit: 1001 }), { code: 40000 });
    });

    test("history until attachment leaves out what came later", async () => {
      const room = name();
      const server = rest().channels.get(room);
      await server.publish("n", "before");
      const client = await site.connected(own);
      const channel = client.channels.get(room);
      await channel.attach();
      await server.publish("n", "after");
      const { items } = await channel.history({ untilAttach: true });
      assert.deepEqual(items.map(({ data }) => data), ["before"]);
    });

    test("who is there and who was can be asked for", async () => {
      const room = name();
      const client = await site.connected(own);
      const channel = client.channels.get(room);
      await channel.attach();
      for (const who of ["ann", "bob", "eve"]) await channel.presence.enterClient(who, { who });
      await channel.presence.leaveClient("eve");
      const { presence } = rest().channels.get(room);
      const members = await all(await presence.get({ limit: 1 }));
      assert.deepEqual([members.items.map(({ clientId }) => clientId).sort(), members.pages], [["ann", "bob"], 2]);
      const [bob] = (await presence.get({ clientId: "bob" })).items;
      assert.deepEqual([bob.clientId, bob.action, bob.data, bob.connectionId], ["bob", "present", { who: "bob" }, client.connection.id]);
      assert.deepEqual((await presence.get({ connectionId: "none" })).items, []);
      const past = await all(await presence.history({ limit: 3, direction: "forwards" }));
      assert.deepEqual(past.items.map(({ clientId, action }) => `${clientId} ${action}`), ["ann enter", "bob enter", "eve enter", "eve leave"]);
      assert.equal(past.pages, 2);
    });

    test("a channel says how many are in it, and the list which there are", async () => {
      const room = name("status");
      const client = await site.connected(own);
      await client.channels.get(room).attach();
      await client.channels.get(room).presence.enterClient("ann");
      const { channelId, status } = await rest().channels.get(room).status();
      assert.deepEqual([channelId, status.isActive], [room, true]);
      assert.deepEqual([status.occupancy.metrics.subscribers, status.occupancy.metrics.presenceMembers], [1, 1]);
      assert.equal((await rest().channels.get(name()).status()).status.isActive, false);
      const list = await rest().request("GET", "/channels", 6, { prefix: "status-" });
      assert.ok(list.success && list.items.some((item) => item.channelId === room));
      const ids = await rest().request("GET", "/channels", 6, { prefix: room, by: "id" });
      assert.deepEqual(ids.items, [room]);
      const none = await rest({ key: OTHER }).request("GET", "/channels", 6, {});
      assert.deepEqual(none.items, [], "another app's are its own");
    });

    test("a batch has an outcome for each channel", async () => {
      const [one, two] = [name(), name()];
      const spec = { channels: [one, ":hell", two], messages: [{ data: "1" }, { data: "2" }] };
      const result = await rest().batchPublish(spec);
      assert.deepEqual([result.successCount, result.failureCount], [2, 1]);
      assert.deepEqual(result.results.map(({ channel, error }) => [channel, error?.code]), [[one, undefined], [":hell", 40010], [two, undefined]]);
      const several = await rest().batchPublish([{ channels: one, messages: { data: "3" } }, { channels: [two], messages: [{ data: "3" }] }]);
      assert.deepEqual(several.map(({ successCount }) => successCount), [1, 1]);
      const { items } = await rest().channels.get(one).history({ direction: "forwards" });
      assert.deepEqual(items.map(({ data }) => data), ["1", "2", "3"]);
      const client = await site.connected(own);
      await client.channels.get(one).presence.enterClient("ann");
      const present = await rest().batchPresence([one, two]);
      assert.equal(present.successCount, 2);
      assert.deepEqual(present.results[0].presence.map(({ clientId }) => clientId), ["ann"]);
    });

    test("what is not here says so, and nothing hangs", async () => {
      const [client, channel] = [rest(), rest().channels.get(name())];
      assert.deepEqual((await client.stats()).items, []);
      await channel.publish("n", "x");
      const [message] = (await channel.history()).items;
      await assert.rejects(channel.updateMessage({ ...message, data: "y" }), { code: 93002 });
      await assert.rejects(channel.deleteMessage(message), { code: 93002 });
      assert.equal((await channel.getMessageVersions(message)).items.length, 1);
      await assert.rejects(channel.getMessage("nothing"), { code: 40400 });
      for (const path of ["/push/channels", "/push/deviceRegistrations", "/nothing", "/channels/a/objects"]) {
        const answer = await client.request("GET", path, 6);
        assert.deepEqual([answer.statusCode, answer.errorCode, answer.success], [404, 40400, false], path);
      }
    });

    test("who is nobody asks in vain, each with its code", async () => {
      for (const [key, code] of [["app.key:wrong", 40101], ["app.none:x", 40400], ["none.key:x", 40101]]) {
        await assert.rejects(rest({ key }).stats(), { code, statusCode: 401 }, key);
      }
      await assert.rejects(rest({ token: "no-token" }).stats(), ({ code }) => [40143, 40171].includes(code));
    });

    test("apps do not meet", async () => {
      const room = name();
      await rest({ key: OTHER }).channels.get(room).publish("n", "theirs");
      assert.deepEqual((await rest().channels.get(room).history()).items, []);
      assert.deepEqual((await rest({ key: OTHER }).channels.get(room).history()).items.map(({ data }) => data), ["theirs"]);
      await assert.rejects(rest().channels.get(`other:${room}`).history(), { code: 40010 });
    });
  });
}

describe("by hand", () => {
  let site;
  const auth = { authorization: `Basic ${btoa(KEY)}` };
  before(async () => {
    site = await Site.start({ realtime: { origins: ["https://page.test"] } });
  });
  after(() => site.stop());
  const ask = (path, options = {}) => fetch(`http://127.0.0.1:${site.port}${path}`, options);

  test("an error has its code in the headers, and exactly this type", async () => {
    const answer = await ask("/channels/a/messages?limit=x", { headers: { ...auth, "x-ably-version": "6" } });
    assert.equal(answer.status, 400);
    assert.deepEqual(["content-type", "x-ably-errorcode"].map((header) => answer.headers.get(header)), ["application/json", "40000"]);
    const { error } = await answer.json();
    assert.deepEqual([error.code, error.statusCode, error.href], [40000, 400, "https://help.ably.io/error/40000"]);
  });

  test("an envelope holds what browsers cannot read", async () => {
    const answer = await ask("/channels/a/messages?envelope=json&limit=1", { headers: { ...auth, "x-ably-version": "6" } });
    const { statusCode, headers, response } = await answer.json();
    assert.deepEqual([answer.status, statusCode, response], [200, 200, []]);
    assert.match(headers.link, /^<\.\/messages\?limit=1>; rel="first"/);
    const error = await (await ask("/channels/:a/messages?envelope=json", { headers: { ...auth, "x-ably-version": "6" } })).json();
    assert.deepEqual([error.statusCode, error.response.error.code], [400, 40010]);
  });

  test("below the hub's path too, with a port pasted behind it", async () => {
    for (const path of ["/api/ws:443/time", "/api/ws/time"]) {
      const [time] = await (await ask(path, { headers: { "x-ably-version": "6" } })).json();
      assert.ok(time > 1e12, path);
    }
  });

  test("curl with a key publishes", async () => {
    const answer = await ask("/channels/by-hand/messages", {
      method: "POST",
      headers: { ...auth, "content-type": "application/json" },
      body: JSON.stringify({ name: "n", data: "x" }),
    });
    assert.equal(answer.status, 201);
    const body = await answer.json();
    assert.deepEqual([body.channel, typeof body.messageId, body.serials.length], ["by-hand", "string", 1]);
    assert.equal((await site.rest().channels.get("by-hand").history()).items[0].data, "x");
  });

  test("pages of allowed origins ask, those of others do not", async () => {
    const preflight = (origin) =>
      ask("/channels/a/messages", {
        method: "OPTIONS",
        headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization,x-ably-version" },
      });
    const allowed = await preflight("https://page.test");
    assert.equal(allowed.headers.get("access-control-allow-origin"), "https://page.test");
    assert.match(allowed.headers.get("access-control-allow-headers"), /x-ably-version/);
    assert.match(allowed.headers.get("access-control-allow-methods"), /PATCH/);
    assert.equal((await preflight("https://other.test")).status, 403);
    const answer = await ask("/time", { headers: { origin: "https://page.test", "x-ably-version": "6" } });
    assert.match(answer.headers.get("access-control-expose-headers"), /x-ably-errorcode/i);
    assert.equal(answer.headers.get("access-control-allow-credentials"), "true");
  });

  test("a page of the site is the app's", async () => {
    for (const path of ["/messages", "/time", "/channels/a/messages"]) {
      const answer = await ask(path);
      assert.equal(answer.headers.get("x-ably-errorcode"), null, path);
    }
  });
});

test("clients without WebSockets come by comet", async () => {
  const site = await Site.start();
  try {
    const client = site.client({ transports: ["comet"], transportParams: {}, clientId: "ann" });
    await reached(client.connection, "connected");
    assert.match(client.connection.connectionManager.activeProtocol.getTransport().recvUri, /\/comet\//);
    const { key } = client.connection;
    const channel = client.channels.get("comet");
    const told = await heard(channel);
    const other = await site.connected();
    await other.channels.get("comet").publish("n", "theirs");
    await channel.publish("n", { mine: 1 });
    await eventually("both", () => told.length === 2);
    assert.deepEqual(told.map(({ data }) => data), ["theirs", { mine: 1 }]);
    await channel.presence.enter("here");
    assert.equal((await other.channels.get("comet").presence.get())[0].clientId, "ann");
    assert.ok((await client.connection.ping()) >= 0);
    client.close();
    await eventually("she left", async () => (await other.channels.get("comet").presence.get()).length === 0);
    // Whoever has a connection's key has the connection.
    assert.ok(site.door.child.lines.some((line) => line.includes('"path":"/comet/…/')));
    assert.ok(!site.door.child.lines.some((line) => line.includes(key)), "no key in the log");
  } finally {
    await site.stop();
  }
});

test("one poll after another, as browsers do", async () => {
  const site = await Site.start();
  const ask = async (path, body) => {
    const answer = await fetch(`http://127.0.0.1:${site.port}/comet/${path}`, body && { method: "POST", body: JSON.stringify(body) });
    return { status: answer.status, said: await answer.json() };
  };
  try {
    const { said: [connected] } = await ask(`connect?key=${KEY}&stream=false&heartbeats=true&v=6&format=json`);
    assert.equal(connected.action, 4);
    const key = connected.connectionDetails.connectionKey;
    const hears = ask(`${key}/recv`);
    await ask(`${key}/send`, [{ action: 10, channel: "polled" }]);
    const { said: [attached] } = await hears;
    assert.deepEqual([attached.action, attached.channel], [11, "polled"]);
    const next = ask(`${key}/recv`);
    await site.rest().channels.get("polled").publish("n", "x");
    const { said: [message] } = await next;
    assert.deepEqual([message.action, message.messages[0].data], [15, "x"]);
    assert.deepEqual((await ask(`${key}/close`)).said, []);
    const last = await ask(`${key}/recv`);
    assert.ok(last.said.error?.code === 80003 || last.said.at?.(-1)?.action === 8, JSON.stringify(last));
    await eventually("it is gone", async () => (await ask(`${key}/recv`)).said.error?.code === 80003);
    const refused = await ask("connect?key=app.key:wrong&stream=false&v=6");
    assert.deepEqual([refused.status, refused.said.error.code], [401, 40101]);
  } finally {
    await site.stop();
  }
});
