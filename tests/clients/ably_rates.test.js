// What is published by REST is all or nothing, whoever speaks in it; and who has a token publishes no oftener than a connection.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { eventually, FORMATS, heard, KEY, Site } from "./harness/ably.js";

const name = ((number) => (kind = "rate") => `${kind}-${number++}`)(1);

for (const [format, own] of FORMATS) {
  describe(format, () => {
    let site;
    before(async () => {
      site = await Site.start({
        ably: [{ key: KEY, message_rate: 1 }, { key: "fast.key:another-secret-of-enough-bytes" }],
        "realtime.channel": [{ match: "*short-*", max_message: "300B" }, { match: "*slow-*", publish_rate: 1 }],
      });
    });
    after(() => site.stop());

    /** REST by a token of `clientId`. */
    async function as(clientId, key = KEY) {
      const { token } = await site.rest({ ...own, key }).auth.requestToken({ clientId });
      return site.rest({ ...own, token });
    }

    /** The codes of so many publishes at once, 0 for one that was done. */
    const codes = (channel, count) =>
      Promise.all(Array.from({ length: count }, () => channel.publish("n", "x").then(() => 0, (error) => error.code)));

    const several = (...texts) => texts.map((data, index) => ({ name: "n", data, clientId: ["ann", "bob", "cat"][index] }));

    for (const by of ["REST", "a socket"]) {
      test(`several people in one publish by ${by}: all of it in its order, or nothing`, async () => {
        // Of the second app: it is bound to nothing here.
        const key = "fast.key:another-secret-of-enough-bytes";
        const speaker = by === "REST" ? site.rest({ ...own, key }) : await site.connected({ ...own, key });
        const room = name("short");
        const told = await heard((await site.connected({ ...own, key })).channels.get(room));
        await assert.rejects(speaker.channels.get(room).publish(several("fits", "does not fit".repeat(50), "fits")), { code: 40009 });
        const { serials } = await speaker.channels.get(room).publish(several("1", "2", "3"));
        await eventually("all three", () => told.length >= 3);
        assert.deepEqual(told.map(({ data, clientId }) => [data, clientId]), [["1", "ann"], ["2", "bob"], ["3", "cat"]]);
        assert.deepEqual(told.map(({ serial }) => serial), serials);
      });
    }

    test("a token publishes as often as a connection may, over all of its requests", async () => {
      const [ann, again, bob, room] = [await as("ann"), await as("ann"), await as("bob"), name()];
      const both = (await Promise.all([codes(ann.channels.get(room), 10), codes(again.channels.get(room), 10)])).flat();
      assert.deepEqual([...new Set(both)].sort(), [0, 42911]);
      await bob.channels.get(room).publish("n", "another's");
      await eventually("its turn again", () => ann.channels.get(room).publish("n", "x").then(() => true));
      const refused = await assert.rejects(async () => {
        for (;;) await again.channels.get(room).publish("n", "x");
      }, { code: 42911, statusCode: 429 });
      assert.equal(refused, undefined);
    });

    test("who has the key is the app, and is not bound", async () => {
      assert.deepEqual(new Set(await codes(site.rest(own).channels.get(name("slow")), 20)), new Set([0]));
    });

    test("a channel's own rate binds each of its tokens", async () => {
      const ann = await as("ann", "fast.key:another-secret-of-enough-bytes");
      const [slow, other] = [name("slow"), name()];
      const told = await codes(ann.channels.get(slow), 20);
      assert.deepEqual([...new Set(told)].sort(), [0, 42911]);
      assert.deepEqual(new Set(await codes(ann.channels.get(other), 10)), new Set([0]));
    });
  });
}
