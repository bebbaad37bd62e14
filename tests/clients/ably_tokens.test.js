// Who comes with a token of the app's: what it may do, for how long, and what of it changes while it is connected.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { SignJWT } from "jose";
import { eventually, FORMATS, heard, KEY, reached, Site } from "./harness/ably.js";

const [NAME, SECRET] = [KEY.split(":")[0], new TextEncoder().encode(KEY.split(":")[1])];

/** A token as an app's server makes it, good for `seconds`. */
function token(capability, { seconds = 3600, clientId, kid = NAME, secret = SECRET } = {}) {
  const now = Date.now() / 1000;
  return new SignJWT({
    ...{ iat: Math.floor(now), exp: now + seconds, "x-ably-capability": JSON.stringify(capability) },
    ...(clientId ? { "x-ably-clientId": clientId } : {}),
  })
    .setProtectedHeader({ alg: "HS256", kid })
    .sign(secret);
}

const by = (make) => ({ authCallback: (_, done) => make().then((token) => done(null, token), (error) => done(error)) });

for (const [format, own] of FORMATS) {
  describe(format, () => {
    let site;
    before(async () => void (site = await Site.start()));
    after(() => site.stop());
    const client = (make) => site.client({ ...own, ...by(make) });
    const connected = async (make) => {
      const made = client(make);
      await reached(made.connection, "connected");
      return made;
    };

    test("a token says who it is and what it may do", async () => {
      const ann = await connected(() => token({ "room:*": ["subscribe", "presence"], "wall": ["publish"] }, { clientId: "ann" }));
      assert.equal(ann.auth.clientId, "ann");
      const room = ann.channels.get("room:1");
      await room.attach();
      assert.deepEqual([...room.modes].sort(), ["presence", "presence_subscribe", "subscribe"]);
      await assert.rejects(room.publish("n", "x"), { code: 40160 });
      await assert.rejects(ann.channels.get("other").attach(), { code: 40160 });
      await ann.channels.get("wall").publish("n", "x");
      await room.presence.enter("here");
      await assert.rejects(ann.channels.get("wall").presence.enter("x"));
    });

    test("any client's token may speak as any, nobody's as nobody", async () => {
      const any = await connected(() => token({ "*": ["*"] }, { clientId: "*" }));
      const told = await heard(any.channels.get("any"));
      await any.channels.get("any").publish({ name: "n", clientId: "bob" });
      await eventually("as bob", () => told[0]?.clientId === "bob");
      const nobody = await connected(() => token({ "*": ["*"] }));
      await assert.rejects(nobody.channels.get("any").publish({ name: "n", clientId: "bob" }), { code: 40012 });
    });

    test("a token that is about to end is asked for anew, on the same connection", async () => {
      let made = 0;
      const ann = await connected(() => token({ "*": ["*"] }, { seconds: ++made === 1 ? 31 : 3600, clientId: "ann" }));
      const { id } = ann.connection;
      const states = [];
      ann.connection.on((change) => states.push(change.current));
      await eventually("another token", () => made === 2);
      await ann.channels.get("x").publish("n", "still here");
      assert.deepEqual([ann.connection.id, states.filter((state) => state !== "connected")], [id, []]);
    });

    test("a token that has ended is replaced, and the connection is the same", async () => {
      let made = 0;
      const ann = await connected(() => token({ "*": ["*"] }, { seconds: ++made === 1 ? 1.5 : 3600, clientId: "ann" }));
      const { id } = ann.connection;
      const told = await heard(ann.channels.get("ends"));
      await ann.channels.get("ends").presence.enter("here");
      await eventually("another token", () => made >= 2 && ann.connection.state === "connected");
      assert.equal(ann.connection.id, id);
      await ann.channels.get("ends").publish("n", "x");
      await eventually("it", () => told.length === 1);
    });

    test("less capability fails the channels that are lost, more is had at once", async () => {
      const ann = await connected(() => token({ a: ["subscribe"], b: ["subscribe"] }));
      const [a, b] = [ann.channels.get("a"), ann.channels.get("b")];
      await Promise.all([a.attach(), b.attach()]);
      await ann.auth.authorize(null, by(() => token({ a: ["subscribe", "publish"] })));
      await reached(b, "failed");
      assert.equal(b.errorReason.code, 40160);
      assert.equal(ann.connection.state, "connected");
      await a.publish("n", "x");
    });

    test("a token for another client does not take a connection over", async () => {
      const ann = await connected(() => token({ "*": ["*"] }, { clientId: "ann" }));
      await assert.rejects(ann.auth.authorize(null, by(() => token({ "*": ["*"] }, { clientId: "bob" }))));
    });

    for (const [what, options, code] of [
      ["signed by another secret", { secret: new TextEncoder().encode("another-secret-of-enough-bytes") }, 40144],
      ["of a key that is not there", { kid: "app.other" }, undefined],
      ["of an app that is not there", { kid: "nobody.key" }, 40400],
    ]) {
      test(`a token ${what} lets nobody in`, async () => {
        const ann = client(() => token({ "*": ["*"] }, options));
        await eventually("a refusal", () => ann.connection.errorReason);
        assert.notEqual(ann.connection.state, "connected");
        if (code) assert.equal(ann.connection.errorReason.code, code);
      });
    }
  });
}

describe("the app", () => {
  let site, app;
  const asked = [];
  before(async () => {
    app = createServer(async (request, response) => {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const { type, data } = JSON.parse(Buffer.concat(chunks));
      asked.push({ type, ...data });
      const answer =
        type === "subscribe" && data.channel === "closed" ? { allow: false, reason: "not you" }
        : type === "message" && data.text === "bad" ? { allow: false, reason: "no such words" }
        : type === "message" && data.text === "loud" ? { replace: { text: "quiet" } }
        : {};
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(answer));
    }).listen(0, "127.0.0.1");
    await once(app, "listening");
    site = await Site.start({ app: { url: `http://127.0.0.1:${app.address().port}` }, callbacks: { events: ["connect", "subscribe", "message", "disconnect"] }, "realtime.channel": [{ match: "open", mutable: true }, { match: "closed" }] });
  });
  after(async () => {
    await site.stop();
    app.close();
    app.closeAllConnections();
  });

  test("is asked about clients with a token, and never hears it", async () => {
    const ann = site.client(by(() => token({ "*": ["*"] }, { clientId: "ann" })));
    await reached(ann.connection, "connected");
    const told = await heard(ann.channels.get("open"));
    await ann.channels.get("open").publish([{ name: "a", data: "loud" }, { name: "b", data: "as it is" }]);
    await eventually("both", () => told.length === 2);
    assert.deepEqual(told.map(({ data }) => data), ["quiet", "as it is"]);
    await assert.rejects(ann.channels.get("open").publish([{ data: "fine" }, { data: "bad" }]), { code: 40160 });
    await assert.rejects(ann.channels.get("closed").attach(), { code: 40160 });
    // Nor may that be edited in which may not be said.
    await assert.rejects(ann.channels.get("open").updateMessage({ serial: told[1].serial, data: "bad" }), { code: 40160 });
    await ann.channels.get("open").appendMessage({ serial: told[1].serial, data: "loud" });
    await ann.channels.get("open").annotations.publish(told[1].serial, { type: "r:distinct.v1", name: "ok" });
    await eventually("changed", () => told.length === 4);
    assert.deepEqual([told[2].data, told[2].action], ["quiet", "message.append"]);
    const changes = asked.filter(({ change }) => change).map(({ change, text, name, kind }) => [change, text, name, kind]);
    assert.deepEqual(changes, [["update", "bad", undefined, undefined], ["append", "loud", undefined, undefined], ["annotate", "", "ok", "r:distinct.v1"]]);
    assert.equal(new Set(asked.filter(({ change }) => change).map(({ of }) => of)).size, 1);
    ann.close();
    await eventually("the end", () => asked.some(({ type }) => type === "disconnect"));
    const kinds = asked.map(({ type }) => type);
    assert.deepEqual([kinds[0], kinds.at(-1)], ["connect", "disconnect"]);
    assert.equal(asked[0].client.user, "ann");
    assert.equal(told.length, 4, "all of a publish or nothing of it");
    assert.doesNotMatch(JSON.stringify(asked), /access_token|eyJ/);
    assert.doesNotMatch(site.door.child.lines.join("\n"), /eyJ|a-secret-of/);
  });

  test("is not asked about who has its key", async () => {
    const before = asked.length;
    const server = await site.connected();
    await server.channels.get("closed").attach();
    await server.channels.get("closed").publish("n", "bad");
    assert.deepEqual(asked.slice(before).filter(({ type }) => type !== "disconnect"), []);
  });
});

test("at a restart of the door clients are told to come back, and begin anew", async () => {
  const site = await Site.start();
  const ann = await site.connected();
  const gone = new Promise((resolve) => ann.connection.once("disconnected", ({ reason }) => resolve(reason)));
  const stopping = site.door.stop();
  const reason = await gone;
  assert.equal(reason?.code, 80003);
  ann.close();
  await stopping;
});
