// How many are in a channel, by kind: npm `ably` told in the channel, and by REST.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import WebSocket from "ws";
import { eventually, FORMATS, heard, KEY, Site } from "./harness/ably.js";

const QUIET = "app.quiet:another-secret-of-enough-bytes";
const HEARS = "app.hears:a-third-secret-of-enough-bytes";
const name = ((number) => (kind = "hall") => `${kind}-${number++}`)(1);
const ALL = { params: { occupancy: "metrics" } };

/** The metrics, those that are not given being 0. */
const metrics = (given) => ({
  ...{ connections: 0, publishers: 0, subscribers: 0, presenceConnections: 0, presenceMembers: 0, presenceSubscribers: 0 },
  ...{ objectPublishers: 0, objectSubscribers: 0, ...given },
});

for (const [format, own] of FORMATS) {
  describe(format, { timeout: 120_000 }, () => {
    let site;
    before(async () => {
      site = await Site.start({
        ably: [
          { key: KEY, presence_grace: "0s" },
          { key: QUIET, capability: '{"*":["subscribe","publish","presence"]}' },
          { key: HEARS, capability: '{"*":["subscribe","channel-metadata"]}' },
        ],
        "realtime.channel": [{ match: "plain-*" }, { match: "said-by-app-*", publish: "app" }],
      });
    });
    after(() => site.stop());
    const connected = (options) => site.connected({ ...own, ...options });
    const status = async (room) => (await site.rest(own).channels.get(room).status()).status;

    /** A channel of a new client that is told how many are there, and what it was told. */
    async function told(room, options = ALL, client = {}) {
      const channel = (await connected(client)).channels.get(room, options);
      return { channel, all: await heard(channel, "[meta]occupancy") };
    }

    const is = (all, wanted) =>
      eventually(`${JSON.stringify(wanted)}, not ${JSON.stringify(all.at(-1)?.data)}`, () => {
        try {
          assert.deepEqual(all.at(-1)?.data, { metrics: wanted });
        } catch {
          return false;
        }
        return true;
      });

    test("it is told at once, and when it changes, by kind", async () => {
      const room = name();
      const { channel, all } = await told(room);
      assert.deepEqual(channel.params, { occupancy: "metrics" });
      const alone = { connections: 1, publishers: 1, subscribers: 1, presenceConnections: 1, presenceSubscribers: 1 };
      await eventually("the first", () => all.length > 0);
      assert.deepEqual([all[0].name, all[0].data], ["[meta]occupancy", { metrics: metrics(alone) }]);
      assert.ok(all[0].id && Math.abs(all[0].timestamp - Date.now()) < 60_000);
      const ann = await connected({ clientId: "ann" });
      await ann.channels.get(room).presence.enter();
      const two = { connections: 2, publishers: 2, subscribers: 2, presenceConnections: 2, presenceSubscribers: 2, presenceMembers: 1 };
      await is(all, metrics(two));
      const speaker = await connected();
      await speaker.channels.get(room, { modes: ["PUBLISH"] }).attach();
      await is(all, metrics({ ...two, connections: 3, publishers: 3 }));
      const listener = await connected({ key: HEARS });
      await listener.channels.get(room).attach();
      const four = { ...two, connections: 4, publishers: 3, subscribers: 3, presenceSubscribers: 3 };
      await is(all, metrics(four));
      assert.deepEqual(await status(room), { isActive: true, occupancy: { metrics: metrics(four) } });
      speaker.close();
      listener.close();
      ann.close();
      await is(all, metrics(alone));
      await channel.publish("n", "x");
      assert.deepEqual((await channel.history()).items.map((item) => item.name), ["n"], "it is no message of the channel");
    });

    test("one count alone is told when that changes", async () => {
      const room = name();
      const { channel, all } = await told(room, { params: { occupancy: "metrics.subscribers" } });
      assert.deepEqual(channel.params, { occupancy: "metrics.subscribers" });
      const whole = await told(room);
      await is(all, { subscribers: 2 });
      const speaker = await connected();
      await speaker.channels.get(room, { modes: ["PUBLISH"] }).attach();
      await eventually("the other told", () => whole.all.at(-1)?.data.metrics.publishers === 3);
      await (await connected()).channels.get(room).attach();
      await is(all, { subscribers: 3 });
      assert.deepEqual(all.map(({ data }) => data.metrics.subscribers), [1, 2, 3]);
    });

    test("it may be asked for in the channel's name", async () => {
      const room = name();
      const { channel, all } = await told(`[?occupancy=metrics.connections]${room}`, {});
      assert.deepEqual(channel.params, { occupancy: "metrics.connections" });
      await (await connected()).channels.get(room).attach();
      await is(all, { connections: 2 });
    });

    test("it may be asked for later, and no more", async () => {
      const room = name();
      const { channel, all } = await told(room, {});
      assert.deepEqual([channel.params, all], [{}, []]);
      await channel.setOptions(ALL);
      await is(all, metrics({ connections: 1, publishers: 1, subscribers: 1, presenceConnections: 1, presenceSubscribers: 1 }));
      await channel.setOptions({ params: {} });
      assert.deepEqual(channel.params, {});
      const before = all.length;
      const other = await told(room);
      await eventually("the other told", () => other.all.at(-1)?.data.metrics.connections === 2);
      await channel.publish("last", "x");
      assert.equal(all.length, before);
    });

    for (const [what, options, client] of [
      ["without channel-metadata", ALL, { key: QUIET }],
      ["by a name that is none", { params: { occupancy: "everything" } }, {}],
      ["where it does not subscribe", { ...ALL, modes: ["PUBLISH"] }, {}],
    ]) {
      test(`${what} it is not in force`, async () => {
        const channel = (await connected(client)).channels.get(name(), options);
        await channel.attach();
        assert.equal(channel.params?.occupancy, undefined);
      });
    }

    test("many who come at once are told of together", async () => {
      const room = name("plain");
      const { all } = await told(room);
      const sockets = Array.from({ length: 50 }, () => new WebSocket(`ws://127.0.0.1:${site.port}/api/ws/${room}`));
      await Promise.all(sockets.map((socket) => once(socket, "open")));
      await eventually("all", () => all.at(-1)?.data.metrics.connections === 51);
      assert.ok(all.length < 25, `told ${all.length} times`);
      sockets.forEach((socket) => socket.terminate());
      await eventually("none of them", () => all.at(-1)?.data.metrics.connections === 1);
    });

    test("where only the app may publish, clients are no publishers", async () => {
      const room = name("said-by-app");
      const { all } = await told(room);
      const socket = new WebSocket(`ws://127.0.0.1:${site.port}/api/ws/${room}`);
      await once(socket, "open");
      await eventually("it", () => all.at(-1)?.data.metrics.connections === 2);
      assert.equal(all.at(-1).data.metrics.publishers, 1, "whoever has the key is the app");
      socket.terminate();
    });
  });
}
