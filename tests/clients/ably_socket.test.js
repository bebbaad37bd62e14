// npm `ably` as it is, in Node: connections, channels, messages, presence, and what survives a lost link; in both formats.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Distance } from "./harness/distance.js";
import { cut, eventually, FORMATS, heard, KEY, reached, Site, watched } from "./harness/ably.js";

const name = ((number) => (kind = "room") => `${kind}-${number++}`)(1);

for (const [what, listen, options] of [
  ["ws at the root", undefined, () => ({})],
  ["wss at the root", { http: [], https: "127.0.0.1:0" }, () => ({})],
  ["ws below the hub's path", undefined, (site) => ({ endpoint: `127.0.0.1:${site.port}/api/ws`, port: 80 })],
]) {
  test(`a stock client connects by ${what}, publishes and hears`, async () => {
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    const site = await Site.start({ listen });
    try {
      const [ann, bob] = [await site.connected(options(site)), await site.connected(options(site))];
      assert.notEqual(ann.connection.id, bob.connection.id);
      const told = await heard(bob.channels.get("chat"));
      await ann.channels.get("chat").publish("hi", { text: "hello", n: [1, null] });
      await eventually("the message", () => told.length === 1);
      assert.deepEqual([told[0].name, told[0].data, told[0].connectionId], ["hi", { text: "hello", n: [1, null] }, ann.connection.id]);
    } finally {
      await site.stop();
    }
  });
}

for (const [format, own] of FORMATS) {
  describe(format, () => {
    let site;
    before(async () => {
      site = await Site.start({ ably: [{ key: KEY, presence_grace: "1s" }, { key: "other.key:another-secret-of-enough-bytes" }] });
    });
    after(() => site.stop());
    const connected = (options) => site.connected({ ...own, ...options });

    test("a connection has an id, a key and its limits, and answers a ping", async () => {
      const client = await connected({ clientId: "ann" });
      assert.match(client.connection.id, /^[A-Za-z0-9]{8,}$/);
      assert.ok(client.connection.key.startsWith(client.connection.id));
      assert.equal(client.auth.clientId, "ann");
      assert.ok((await client.connection.ping()) >= 0);
    });

    for (const [what, data] of [
      ["text", "text"],
      ["an empty text", ""],
      ["an object", { a: [1, { b: null }], "é": "ß" }],
      ["a list", [1, "two"]],
      ["nothing", undefined],
      ["bytes", Buffer.from([0, 255, 128, 10])],
    ]) {
      test(`${what} comes as it was`, async () => {
        const [one, two] = [await connected(), await connected({ useBinaryProtocol: !own.useBinaryProtocol })];
        const room = name();
        const [same, other] = [await heard(one.channels.get(room)), await heard(two.channels.get(room))];
        await one.channels.get(room).publish("n", data);
        await eventually("both", () => same.length === 1 && other.length === 1);
        for (const [message] of [same, other]) {
          if (Buffer.isBuffer(data)) assert.deepEqual(Buffer.from(message.data), data);
          else assert.deepEqual(message.data, data);
          assert.equal(message.name, "n");
        }
        assert.equal(same[0].id, other[0].id);
        assert.equal(same[0].serial, other[0].serial);
        assert.ok(Math.abs(same[0].timestamp - Date.now()) < 60_000);
      });
    }

    test("several messages are one publish: in order, each with a serial", async () => {
      const client = await connected();
      const channel = client.channels.get(name());
      const told = await heard(channel);
      const result = await channel.publish([{ name: "a", data: "1" }, { name: "b", data: "2" }, { name: "c", data: "3" }]);
      await eventually("all", () => told.length === 3);
      assert.deepEqual(told.map(({ data }) => data), ["1", "2", "3"]);
      assert.deepEqual(result.serials, told.map(({ serial }) => serial));
      assert.deepEqual([...result.serials].sort(), result.serials);
    });

    test("extras travel, and an encrypted payload stays sealed", async () => {
      const client = await connected();
      const cipher = { key: Buffer.alloc(32, 7).toString("base64") };
      const room = name();
      const sealed = client.channels.get(room, { cipher });
      const told = await heard(sealed);
      await sealed.publish({ name: "n", data: { secret: 1 }, extras: { headers: { a: "b" } } });
      await eventually("it", () => told.length === 1);
      assert.deepEqual([told[0].data, told[0].extras], [{ secret: 1 }, { headers: { a: "b" } }]);
      const other = await connected();
      const unread = await heard(other.channels.get(room, { params: { rewind: "1" } }));
      await eventually("the same, unread", () => unread.length === 1);
      assert.match(unread[0].encoding, /cipher\+aes-256-cbc/);
    });

    test("a message with an id of its own is said once", async () => {
      const client = await connected();
      const channel = client.channels.get(name());
      const told = await heard(channel);
      const [first, second] = [await channel.publish({ id: "own", data: "1" }), await channel.publish({ id: "own", data: "1" })];
      await channel.publish("last", "x");
      await eventually("the last", () => told.at(-1)?.name === "last");
      assert.deepEqual(told.map(({ id }) => id).slice(0, -1), ["own"]);
      assert.deepEqual(first.serials, second.serials);
    });

    test("without echo a client does not hear itself", async () => {
      const [quiet, other] = [await connected({ echoMessages: false }), await connected()];
      const room = name();
      const [own_, others] = [await heard(quiet.channels.get(room)), await heard(other.channels.get(room))];
      await quiet.channels.get(room).publish("n", "mine");
      await eventually("the other", () => others.length === 1);
      await other.channels.get(room).publish("n", "theirs");
      await eventually("theirs", () => own_.length > 0);
      assert.deepEqual(own_.map(({ data }) => data), ["theirs"]);
    });

    test("a client that is somebody says nothing as another", async () => {
      const ann = await connected({ clientId: "ann" });
      const channel = ann.channels.get(name());
      const told = await heard(channel);
      await assert.rejects(channel.publish({ name: "n", data: "x", clientId: "bob" }), { code: 40012 });
      await channel.publish({ name: "n", data: "x", clientId: "ann" });
      await eventually("it", () => told.length === 1);
      assert.equal(told[0].clientId, "ann");
      const key = await connected();
      await key.channels.get(channel.name).publish({ name: "n", data: "y", clientId: "bob" });
      await eventually("as bob", () => told.length === 2);
      assert.equal(told[1].clientId, "bob");
    });

    test("on behalf of another connection, by its private key", async () => {
      const [ann, server] = [await connected({ clientId: "ann" }), await connected()];
      const channel = ann.channels.get(name());
      const told = await heard(channel);
      await server.channels.get(channel.name).publish({ name: "n", data: "x", connectionKey: ann.connection.key });
      await eventually("it", () => told.length === 1);
      assert.deepEqual([told[0].clientId, told[0].connectionId], ["ann", ann.connection.id]);
      await assert.rejects(server.channels.get(channel.name).publish({ data: "x", connectionKey: "nobody!x" }), { code: 40006 });
    });

    for (const [what, bad] of [["begins with a colon", ":hell"], ["is in brackets that say nothing", "[meta]x"], ["has a newline", "a\nb"]]) {
      test(`a channel whose name ${what} fails, and the connection stays`, async () => {
        const client = await connected();
        await assert.rejects(client.channels.get(bad).publish("n", "x"), { code: 40010 });
        await assert.rejects(client.channels.get(bad).attach(), { code: 40010 });
        assert.equal(client.connection.state, "connected");
      });
    }

    test("more than a message may have is refused with 40009", async () => {
      const client = await connected();
      await assert.rejects(client.channels.get(name()).publish("n", "x".repeat(70_000)), { code: 40009 });
    });

    test("modes are granted as asked for, and hold", async () => {
      const client = await connected({ clientId: "ann" });
      const room = name();
      const quiet = client.channels.get(room, { modes: ["PUBLISH", "PRESENCE"] });
      await quiet.attach();
      assert.deepEqual([...quiet.modes].sort(), ["presence", "publish"]);
      const told = [];
      quiet.subscribe((message) => told.push(message)).catch(() => {});
      const other = await connected();
      await other.channels.get(room).publish("n", "x");
      await quiet.presence.enter("here");
      assert.deepEqual(told, []);
      const deaf = other.channels.get(room, { modes: ["SUBSCRIBE"] });
      await deaf.setOptions({ modes: ["SUBSCRIBE"] });
      await deaf.attach();
      await assert.rejects(deaf.publish("n", "x"), { code: 40160 });
    });

    test("a channel that is called by another name on one connection is the same, and who is in it stays", async () => {
      const room = name();
      const [ann, bob] = [await connected({ clientId: "ann" }), await connected({ clientId: "bob" })];
      const seen = await watched(bob.channels.get(room));
      await bob.channels.get(room).publish("n", "1");
      await ann.channels.get(room).presence.enter("here");
      await eventually("ann is in", () => seen.some(({ action, clientId }) => action === "enter" && clientId === "ann"));
      const told = await heard(ann.channels.get(`[?rewind=1]${room}`));
      await eventually("rewound", () => told.length === 1);
      await bob.channels.get(room).publish("n", "2");
      await eventually("goes on", () => told.length === 2);
      assert.deepEqual(told.map(({ data }) => data), ["1", "2"]);
      assert.deepEqual((await bob.channels.get(room).presence.get()).map(({ clientId }) => clientId), ["ann"]);
      assert.ok(seen.every(({ action }) => action !== "leave"));
    });

    test("rewind gives what was said last", async () => {
      const client = await connected();
      const room = name();
      for (const n of [1, 2, 3]) await client.channels.get(room).publish("n", String(n));
      const late = await connected();
      const channel = late.channels.get(room, { params: { rewind: "2" } });
      const told = await heard(channel);
      await eventually("two", () => told.length === 2);
      assert.deepEqual(told.map(({ data }) => data), ["2", "3"]);
      assert.equal(channel.params.rewind, "2");
      const named = await heard(late.channels.get(`[?rewind=1]${room}-x`));
      await client.channels.get(`${room}-x`).publish("n", "new");
      await eventually("by its own name", () => named.length === 1);
    });

    test("presence: who enters is there for all, with data", async () => {
      const [ann, bob] = [await connected({ clientId: "ann" }), await connected({ clientId: "bob" })];
      const room = name();
      const seen = await watched(bob.channels.get(room));
      await ann.channels.get(room).presence.enter({ mood: "good" });
      await eventually("she came", () => seen.length === 1);
      assert.deepEqual([seen[0].action, seen[0].clientId, seen[0].data, seen[0].connectionId], ["enter", "ann", { mood: "good" }, ann.connection.id]);
      await ann.channels.get(room).presence.update("later");
      await eventually("she changed", () => seen.length === 2);
      assert.deepEqual([seen[1].action, seen[1].data], ["update", "later"]);
      const late = await connected();
      assert.deepEqual((await late.channels.get(room).presence.get()).map(({ clientId, data }) => [clientId, data]), [["ann", "later"]]);
      await ann.channels.get(room).presence.leave("bye");
      await eventually("she left", () => seen.length === 3);
      assert.deepEqual([seen[2].action, seen[2].data], ["leave", "bye"]);
      await eventually("for who came late too", async () => (await late.channels.get(room).presence.get()).length === 0);
      await assert.rejects((await connected()).channels.get(room).presence.enter("x"), (error) => [91000, 40012].includes(error.code));
    });

    test("one connection is many members, and all of 250 are seen", async () => {
      const server = await connected();
      const room = name();
      const channel = server.channels.get(room);
      await Promise.all(Array.from({ length: 250 }, (_, n) => channel.presence.enterClient(`user-${n}`, String(n))));
      const late = await connected();
      const there = await late.channels.get(room).presence.get();
      assert.equal(there.length, 250);
      assert.equal(new Set(there.map(({ clientId }) => clientId)).size, 250);
    });

    test("who closes has left at once; who detaches too", async () => {
      const [ann, bob, watcher] = [await connected({ clientId: "ann" }), await connected({ clientId: "bob" }), await connected()];
      const room = name();
      const seen = await watched(watcher.channels.get(room));
      await ann.channels.get(room).presence.enter();
      await bob.channels.get(room).presence.enter();
      ann.close();
      await eventually("ann left", () => seen.some(({ action, clientId }) => action === "leave" && clientId === "ann"));
      await bob.channels.get(room).detach();
      await eventually("bob left", () => seen.some(({ action, clientId }) => action === "leave" && clientId === "bob"));
    });

    test("a link that is cut is resumed: the same id, nothing missed, nothing twice, presence never left", async () => {
      const [ann, bob] = [await connected({ clientId: "ann" }), await connected({ clientId: "bob" })];
      const room = name();
      const channel = ann.channels.get(room);
      const told = await heard(channel);
      await channel.presence.enter("here");
      const seen = await watched(bob.channels.get(room));
      const { id, key } = ann.connection;
      await bob.channels.get(room).publish("n", "1");
      await eventually("the first", () => told.length === 1);
      const gone = new Promise((resolve) => ann.connection.once("disconnected", resolve));
      cut(ann);
      await gone;
      await Promise.all([2, 3, 4].map((n) => bob.channels.get(room).publish("n", String(n))));
      await reached(ann.connection, "connected");
      await bob.channels.get(room).publish("n", "5");
      await eventually("the last", () => told.at(-1)?.data === "5");
      assert.deepEqual(told.map(({ data }) => data), ["1", "2", "3", "4", "5"]);
      assert.equal(ann.connection.id, id);
      assert.notEqual(ann.connection.key, key);
      assert.equal(ann.connection.errorReason, null);
      const left = () => seen.filter(({ action }) => action === "leave").length;
      await channel.presence.update("still");
      await eventually("the update", () => seen.some(({ data }) => data === "still"));
      assert.equal(left(), 0);
    });

    test("what was published while the link was cut is said once", async () => {
      const [ann, bob] = [await connected(), await connected()];
      const room = name();
      const told = await heard(bob.channels.get(room));
      await ann.channels.get(room).attach();
      const sent = [];
      for (let round = 0; round < 5; round++) {
        sent.push(ann.channels.get(room).publish("n", `before ${round}`));
        const gone = new Promise((resolve) => ann.connection.once("disconnected", resolve));
        cut(ann);
        sent.push(ann.channels.get(room).publish("n", `after ${round}`));
        await gone;
        await reached(ann.connection, "connected");
      }
      await Promise.all(sent);
      const expected = [0, 1, 2, 3, 4].flatMap((round) => [`before ${round}`, `after ${round}`]);
      await eventually("all", () => told.length >= expected.length);
      assert.deepEqual(told.map(({ data }) => data), expected);
    });

    test("a connection that is recovered elsewhere is the same one, and its first client begins anew", async () => {
      const ann = await connected({ clientId: "ann" });
      const room = name();
      await ann.channels.get(room).attach();
      const recover = ann.connection.createRecoveryKey();
      const { id } = ann.connection;
      const again = await connected({ clientId: "ann", recover });
      assert.equal(again.connection.id, id);
      await eventually("another id", () => ann.connection.state === "connected" && ann.connection.id !== id);
      const lost = await connected({ recover: JSON.stringify({ connectionKey: "nobody!x", msgSerial: 3, channelSerials: {} }) });
      assert.equal(lost.connection.errorReason?.code, 80018);
    });

    test("members whose link is lost leave when their grace is over", async () => {
      const way = await Distance.to(site.port, 0);
      const ann = await connected({ clientId: "ann", port: way.port, transportParams: { remainPresentFor: 1000 } });
      const watcher = await connected();
      const room = name();
      const seen = await watched(watcher.channels.get(room));
      await ann.channels.get(room).presence.enter("here");
      await eventually("she is there", () => seen.length === 1);
      way.stop();
      await eventually("she left", () => seen.some(({ action }) => action === "leave"));
      assert.equal(seen.at(-1).data, "here");
    });

    for (const [what, options, code] of [
      ["a wrong secret", { key: "app.key:wrong" }, 40101],
      ["an app that is not there", { key: "nobody.key:secret-of-some-length" }, undefined],
      ["a token that is none", { token: "nonsense" }, undefined],
    ]) {
      test(`${what} fails for good, and says why`, async () => {
        const client = site.client({ ...own, ...options });
        await reached(client.connection, "failed");
        if (code) assert.equal(client.connection.errorReason.code, code);
        assert.match(String(client.connection.errorReason.code), /^40/);
      });
    }

    test("another app has channels of its own", async () => {
      const [one, other] = [await connected(), await connected({ key: "other.key:another-secret-of-enough-bytes" })];
      const room = name();
      const [told, others] = [await heard(one.channels.get(room)), await heard(other.channels.get(room))];
      await one.channels.get(room).publish("n", "one");
      await other.channels.get(room).publish("n", "other");
      await eventually("each its own", () => told.length === 1 && others.length === 1);
      assert.deepEqual([told[0].data, others[0].data], ["one", "other"]);
    });
  });
}
