// pusher-js as it is, where no WebSocket gets through: xhr_streaming and xhr_polling.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { APP, collect, eventually, heard, Site, subscribed } from "./harness/pusher.js";

// Each has a door of its own, and mostly waits: for beats, and for a client to be missed.
describe("fallbacks", { concurrency: true }, () => {
  for (const transport of ["xhr_streaming", "xhr_polling"]) {
    for (const [kind, listen] of [["http", undefined], ["https", { http: [], https: "127.0.0.1:0" }]]) {
      describe(`${transport} over ${kind}`, { concurrency: 1 }, () => {
        let site;
        const options = { enabledTransports: [transport] };
        before(async () => {
          process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
          site = await Site.start({ listen, channels: [{ match: "presence-*", presence_grace: "0s" }], apps: [{ ...APP, activity_timeout: "1s" }] });
        });
        after(() => site.stop());

        test("it connects, hears the server in order and sends to others", async () => {
          const client = await site.connected(options);
          const channel = await subscribed(client, "private-room");
          const told = collect(channel, "n");
          for (let n = 0; n < 20; n++) await site.server().trigger("private-room", "n", n);
          await eventually("all of it", () => told.length === 20);
          assert.deepEqual(told, [...told.keys()]);
          const other = await subscribed(await site.connected({ enabledTransports: ["ws", "wss"] }), "private-room");
          const said = heard(other, "client-said");
          channel.trigger("client-said", { by: "ünicode \" \\ \n" });
          assert.deepEqual(await said, { by: "ünicode \" \\ \n" });
        });

        test("presence: it is there, and gone when it disconnects", async () => {
          const watcher = await subscribed(await site.connected({ enabledTransports: ["ws", "wss"], ...site.as({ id: "watcher" }) }), "presence-fallback");
          const added = heard(watcher, "pusher:member_added");
          const client = await site.connected({ ...options, ...site.as({ id: "guest" }) });
          const room = await subscribed(client, "presence-fallback");
          assert.equal((await added).id, "guest");
          assert.equal(room.members.count, 2);
          const removed = heard(watcher, "pusher:member_removed");
          client.disconnect();
          assert.equal((await removed).id, "guest");
        });

        test("a silent client stays connected", async () => {
          const client = await site.connected(options);
          const changes = collect(client.connection, "state_change");
          const messages = collect(client.connection, "message");
          await eventually("two pings", () => messages.filter(({ event }) => event === "pusher:ping").length >= 2);
          assert.deepEqual(changes, []);
        });

        test("a key of nobody is refused with 4001, for good", async () => {
          // Below the hub's path the dialect answers for every key.
          const below = site.client({ ...options, httpPath: "/api/ws" }, "nobody");
          const { error } = await heard(below.connection, "error");
          assert.equal(error.data.code, 4001);
          await eventually("the end", () => below.connection.state === "disconnected");
        });

        test("it works below the hub's path too", async () => {
          const client = await site.connected({ ...options, httpPath: "/api/ws" });
          await subscribed(client, "below");
        });
      });
    }
  }
});

/** A link that is slow each way: what comes is passed on `delay` ms later, in order. */
async function relay(port, delay) {
  const sockets = new Set();
  const pass = (from, to) => {
    sockets.add(from);
    from.on("data", (data) => setTimeout(() => to.writable && to.write(data), delay));
    from.on("end", () => setTimeout(() => to.end(), delay));
    from.on("error", () => to.destroy());
    from.on("close", () => setTimeout(() => to.destroy(), delay));
  };
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    pass(near, far);
    pass(far, near);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = () => (server.close(), sockets.forEach((socket) => socket.destroy()));
  return { port: server.address().port, stop };
}

describe("over a slow link", { concurrency: 1 }, () => {
  let site, slow;
  before(async () => {
    site = await Site.start();
    slow = await relay(site.port, 50);
  });
  after(async () => {
    await site.stop();
    slow.stop();
  });

  for (const transport of ["xhr_streaming", "xhr_polling"]) {
    test(`${transport}: nothing is lost where the client goes from one response to the next`, async () => {
      const client = await site.connected({ enabledTransports: [transport], httpPort: slow.port });
      const channel = await subscribed(client, `sizes-${transport}`);
      const changes = collect(client.connection, "state_change");
      const told = collect(channel, "n");
      const sizes = [1, 17, 300, 1_000, 1_500, 2_000];
      const texts = ["x", "\u{1F600}", "ü\"\\\n", "語"];
      // Many responses of the 262,144 units after which the client goes on to the next.
      const count = 1_200;
      const text = (n) => [...texts[n % texts.length].repeat(sizes[n % sizes.length])].slice(0, sizes[n % sizes.length]).join("");
      for (let n = 0; n < count; n += 10) {
        const batch = Array.from({ length: 10 }, (_, i) => ({ channel: channel.name, name: "n", data: { n: n + i, text: text(n + i) } }));
        await site.server().triggerBatch(batch);
        // Never so far ahead that it counts as slow.
        await eventually("it keeps up", () => n - told.length < 100 || changes.length > 0);
      }
      await eventually("all of it", () => told.length >= count || changes.length > 0);
      assert.deepEqual(changes, [], "the connection stands");
      assert.deepEqual(told.map(({ n }) => n), [...Array(count).keys()], "each once and in order");
      assert.ok(told.every((event) => event.text === text(event.n)), "as it was said");
    });

    test(`${transport}: a burst of 1,000 events arrives`, async () => {
      const client = await site.connected({ enabledTransports: [transport], httpPort: slow.port });
      const channel = await subscribed(client, `burst-${transport}`);
      const changes = collect(client.connection, "state_change");
      const told = collect(channel, "n");
      const batches = Array.from({ length: 100 }, (_, b) => Array.from({ length: 10 }, (_, i) => ({ channel: channel.name, name: "n", data: b * 10 + i })));
      await Promise.all(batches.map((batch) => site.server().triggerBatch(batch)));
      await eventually("all of it", () => told.length >= 1_000 || changes.length > 0);
      assert.deepEqual(changes, [], "the connection stands");
      assert.deepEqual(told.toSorted((a, b) => a - b), [...Array(1_000).keys()]);
    });
  }
});

describe("on the wire", () => {
  let site;
  before(async () => {
    site = await Site.start();
  });
  after(() => site.stop());
  const ask = (path, options = {}) => fetch(`${site.origin}${path}`, { method: "POST", ...options });
  const base = `/pusher/app/${APP.key}/1/session1`;

  test("what is wrong gets a status", async () => {
    assert.equal((await ask(`${base}/xhr_send`, { body: "[]" })).status, 404, "no session");
    assert.equal((await ask(`${base}/xhr`, { method: "GET" })).status, 405);
    assert.equal((await ask(`${base}/xhr?protocol=7`, { headers: { origin: "https://evil.test" } })).status, 403);
    const opened = await ask(`${base}/xhr?protocol=7`);
    assert.equal(await opened.text(), "o\n");
    assert.match(opened.headers.get("cache-control"), /no-store/);
    assert.equal((await ask(`${base}/xhr_send`, { body: "nonsense" })).status, 400);
    assert.equal((await ask(`${base}/xhr_send`, { body: '{"not":"a list"}' })).status, 400);
    assert.equal((await ask(`${base}/xhr_send`, { body: `["${"x".repeat(2_000_000)}"]` })).status, 413);
    assert.equal((await ask(`${base}/xhr_send`, { body: '["{\\"event\\":\\"pusher:ping\\"}"]' })).status, 204);
    let text = "";
    while (!text.includes("pusher:pong")) text += await (await ask(`${base}/xhr?protocol=7`)).text();
    assert.match(text, /^a\["\{\\"event\\":\\"pusher:connection_established/);
  });

  test("a stream says nothing after the line that passes 262,144 UTF-16 units, and the next one goes on", async () => {
    const mine = `/pusher/app/${APP.key}/1/marked`;
    const open = async () => (await ask(`${mine}/xhr_streaming?protocol=7`)).body.pipeThrough(new TextDecoderStream()).getReader();
    const first = await open();
    let text = "";
    const more = async (reader) => {
      const { done, value } = await reader.read();
      assert.ok(!done, "it is not ended");
      text += value;
    };
    while (!text.includes("connection_established")) await more(first);
    await ask(`${mine}/xhr_send`, { body: JSON.stringify([JSON.stringify({ event: "pusher:subscribe", data: { channel: "marked" } })]) });
    while (!text.includes("subscription_succeeded")) await more(first);
    // What is beyond the Basic Multilingual Plane counts twice, and is four bytes long.
    const emoji = "\u{1F600}".repeat(1_000);
    for (let n = 0; n < 200; n++) await site.server().trigger("marked", "n", `${n}:${emoji}`);
    while (text.length <= 262_144 || !text.endsWith("\n")) await more(first);
    assert.ok(text.lastIndexOf("\n", text.length - 2) < 262_144, "no line begins after the mark");
    const held = first.read();
    const second = await open();
    while (!text.includes("199:")) await more(second);
    assert.equal((await held).done, true, "its place is taken: nothing more, and the end");
    assert.deepEqual([...text.matchAll(/(\d+):\u{1F600}/gu)].map(([, n]) => Number(n)), [...Array(200).keys()]);
    await second.cancel();
  });

  test("a session that was refused opens and closes at once", async () => {
    assert.equal(await (await ask(`/pusher/app/${APP.key}/1/x/xhr?protocol=1`)).text(), 'o\nc[4007,"This version of the protocol is not supported: 5 to 7 are"]\n');
  });
});
