// Several doors behind a load balancer, and Ably's stock client: a connection that is lost goes on at whatever door its client
// comes to next, and what binds a client binds it at all of them.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { config, Doorway } from "../browser/harness/doorway.js";
import { Ably, cut, eventually, FORMATS, heard, KEY, reached, Site, watched } from "./harness/ably.js";
import { Redis } from "./harness/redis.js";
import { eachConnection } from "./harness/round_robin.js";

const DOORS = 3;
const ROUNDS = 6;

let redis, doors, balancer;
const clients = [];

before(async () => {
  redis = await Redis.start();
  const settings = config({
    app: { url: "off" },
    listen: { http: "127.0.0.1:0" },
    "realtime.redis": { url: redis.url },
    "realtime.ably": [{ key: KEY }, { key: "slow.key:another-secret-of-enough-bytes", message_rate: 1 }],
    "realtime.channel": [{ match: "*quiet*", publish_rate: 1 }],
  });
  doors = await Promise.all(Array.from({ length: DOORS }, () => Doorway.start(settings)));
  balancer = await eachConnection(() => doors.map((door) => door.port("http")));
});
after(async () => {
  for (const client of clients) client.close();
  balancer?.stop();
  balancer?.cut();
  for (const door of doors ?? []) await door.stop();
  await redis?.stop();
});

// Once more at once where the first attempt fails.
const options = (port, more) => Site.prototype.options.call({ port, tls: false }, { disconnectedRetryTimeout: 200, ...more });
const rest = (number, more) => new Ably.Rest(options(doors[number % DOORS].port("http"), more));
const name = ((number) => (kind = "room") => `${kind}-${number++}`)(1);

async function connected(port, more) {
  const client = new Ably.Realtime(options(port, more));
  clients.push(client);
  await reached(client.connection, "connected");
  return client;
}

async function lost(client) {
  const gone = new Promise((resolve) => client.connection.once("disconnected", resolve));
  cut(client);
  await gone;
}

for (const [format, own] of FORMATS) {
  describe(format, () => {
    test("a connection goes on at the next door: the same id, nothing missed, nothing twice, presence never left", async () => {
      const ann = await connected(balancer.port, { ...own, clientId: "ann" });
      const bob = await connected(doors[0].port("http"), { ...own, clientId: "bob" });
      const room = name();
      const channel = ann.channels.get(room);
      const told = await heard(channel);
      await channel.presence.enter("here");
      const seen = await watched(bob.channels.get(room));
      const { id } = ann.connection;
      let said = 0;
      const say = () => bob.channels.get(room).publish("n", `${++said}`);
      await say();
      for (let round = 0; round < ROUNDS; round++) {
        await lost(ann);
        await Promise.all([say(), say()]);
        await reached(ann.connection, "connected");
        assert.deepEqual([ann.connection.id, ann.connection.errorReason], [id, null], `round ${round}`);
        await say();
        await eventually("the last", () => told.at(-1)?.data === `${said}`);
        await channel.presence.update(`round ${round}`);
        await eventually("the update", () => seen.some(({ data }) => data === `round ${round}`));
      }
      assert.deepEqual(told.map(({ data }) => data), Array.from({ length: said }, (_, number) => `${number + 1}`));
      assert.equal(seen.filter(({ action }) => action === "leave").length, 0);
      ann.close();
      await eventually("she left", () => seen.some(({ action }) => action === "leave"));
      assert.deepEqual((await bob.channels.get(room).presence.get()).map(({ clientId }) => clientId), []);
    });

    test("what was published while the link was cut is said once", async () => {
      const ann = await connected(balancer.port, own);
      const bob = await connected(doors[1].port("http"), own);
      const room = name();
      const told = await heard(bob.channels.get(room));
      await ann.channels.get(room).attach();
      const sent = [];
      for (let round = 0; round < ROUNDS; round++) {
        sent.push(ann.channels.get(room).publish("n", `before ${round}`));
        const gone = new Promise((resolve) => ann.connection.once("disconnected", resolve));
        cut(ann);
        sent.push(ann.channels.get(room).publish("n", `after ${round}`));
        await gone;
        await reached(ann.connection, "connected");
      }
      await Promise.all(sent);
      const expected = Array.from({ length: ROUNDS }, (_, round) => [`before ${round}`, `after ${round}`]).flat();
      await eventually("all", () => told.length >= expected.length);
      assert.deepEqual(told.map(({ data }) => data), expected);
    });

    test("a connection that is recovered at another door is the same one, and its first client begins anew", async () => {
      const ann = await connected(doors[0].port("http"), { ...own, clientId: "ann" });
      await ann.channels.get(name()).attach();
      const recover = ann.connection.createRecoveryKey();
      const { id } = ann.connection;
      const again = await connected(doors[1].port("http"), { ...own, clientId: "ann", recover });
      assert.equal(again.connection.id, id);
      await eventually("another id", () => ann.connection.state === "connected" && ann.connection.id !== id);
      const taken = again.connection.createRecoveryKey();
      const thief = await connected(doors[2].port("http"), { ...own, clientId: "bob", recover: taken });
      assert.deepEqual([thief.connection.errorReason?.code, thief.connection.id !== id], [40102, true]);
      await lost(again);
      await reached(again.connection, "connected");
      assert.equal(again.connection.id, id, "nothing was taken from her");
      const nobody = await connected(doors[2].port("http"), { ...own, recover: JSON.stringify({ connectionKey: "nobody!AAAAAAAAAAAAAAAAAAAAAA", msgSerial: 3, channelSerials: {} }) });
      assert.equal(nobody.connection.errorReason?.code, 80018);
    });

    test("by REST something is said for a connection of another door", async () => {
      const ann = await connected(doors[0].port("http"), { ...own, clientId: "ann" });
      const bob = await connected(doors[1].port("http"), own);
      const room = name();
      const his = await heard(bob.channels.get(room));
      const channel = rest(2, own).channels.get(room);
      await channel.publish({ name: "n", data: "hers", connectionKey: ann.connection.key });
      await channel.publish("n", "anybody's");
      await eventually("both", () => his.length === 2);
      assert.deepEqual(his.map(({ data, clientId, connectionId }) => [data, clientId, connectionId]), [["hers", "ann", ann.connection.id], ["anybody's", undefined, undefined]]);
      await assert.rejects(channel.publish({ name: "n", data: "x", connectionKey: "nobody!AAAAAAAAAAAAAAAAAAAAAA" }), { code: 40006 });
    });

    for (const [what, key, room] of [
      ["a token publishes as often as a connection may, over all doors", "slow.key:another-secret-of-enough-bytes", name("fast")],
      ["a channel's own rate binds a token over all doors", KEY, name("quiet")],
    ]) {
      test(what, async () => {
        const { token } = await rest(0, { ...own, key }).auth.requestToken({ clientId: `ann-${format}` });
        const began = Date.now();
        const codes = await Promise.all(
          Array.from({ length: 15 }, (_, number) => rest(number, { ...own, token }).channels.get(room).publish("n", "x").then(() => 0, ({ code }) => code)),
        );
        const seconds = (Date.now() - began) / 1000;
        const done = codes.filter((code) => code === 0).length;
        assert.deepEqual([...new Set(codes)].sort(), [0, 42911]);
        assert.ok(done <= 1 + Math.ceil(seconds), `${done} in ${seconds} s: each door would have let one through`);
      });
    }
  });
}
