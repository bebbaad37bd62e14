// npm `ably` with keys and the tokens that they make: asked for, made by the app, wrapped, revoked, and what each of them allows.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { SignJWT } from "jose";
import { eventually, FORMATS, KEY, reached, Site } from "./harness/ably.js";

const LESS = "app.less:a-third-secret-of-enough-bytes";
const ROOMS = { "room:*": ["publish", "subscribe"], lobby: ["*"] };
const SECRET = "0123456789abcdef0123456789abcdef";

const bytes = (key) => new TextEncoder().encode(key.slice(key.indexOf(":") + 1));

/** A JWT as an app's own server makes it. */
function jwt(claims = {}, { key = KEY, kid = key.slice(0, key.indexOf(":")), seconds = 60 } = {}) {
  const now = Math.floor(Date.now() / 1000);
  const signed = new SignJWT(claims).setProtectedHeader({ alg: "HS256", typ: "JWT", kid });
  return signed.setIssuedAt(now).setExpirationTime(now + seconds).sign(bytes(key));
}

for (const [format, own] of FORMATS) {
  describe(format, () => {
    let site;
    before(async () => {
      site = await Site.start({
        ably: [{ key: KEY }, { key: LESS, capability: JSON.stringify(ROOMS) }, { key: "app.off:x-secret-of-enough-bytes", enabled: false }],
      });
    });
    after(() => site.stop());
    const rest = (options) => site.rest({ ...own, ...options });
    const request = (params, key = KEY) => rest({ key }).auth.requestToken(params);

    test("a token is what its request says", async () => {
      const plain = await request(null);
      assert.deepEqual([plain.expires - plain.issued, JSON.parse(plain.capability), plain.clientId], [3_600_000, { "*": ["*"] }, undefined]);
      const full = await request({ ttl: 5000, clientId: "ann", capability: { a: ["subscribe", "publish"] } });
      assert.deepEqual([full.expires - full.issued, full.capability, full.clientId], [5000, '{"a":["publish","subscribe"]}', "ann"]);
      assert.notEqual(plain.token, (await request(null)).token);
    });

    for (const [what, wanted, granted] of [
      ["of what the key allows", undefined, ROOMS],
      ["a part of it", { "room:1": ["subscribe", "presence"] }, { "room:1": ["subscribe"] }],
      ["all of what is there, for *", { "*": ["*"] }, ROOMS],
      ["whatever the key has there", { lobby: ["history"], other: ["publish"] }, { lobby: ["history"] }],
    ]) {
      test(`a capability is granted: ${what}`, async () => {
        assert.deepEqual(JSON.parse((await request({ capability: wanted }, LESS)).capability), granted);
      });
    }

    for (const [what, params, expected] of [
      ["nothing of it is the key's", { capability: { other: ["publish"] } }, { code: 40160, statusCode: 401 }],
      ["there is no such operation", { capability: { a: ["publish_"] } }, { code: 40000, statusCode: 400 }],
      ["* stands with others", { capability: { a: ["*", "publish"] } }, { code: 40000, statusCode: 400 }],
      ["a list is empty", { capability: { a: [] } }, { code: 40000, statusCode: 400 }],
      ["its time is another", { timestamp: Date.now() - 30 * 60_000 }, { code: 40104, statusCode: 401 }],
      ["its mac is wrong", { mac: "12345" }, { code: 40101, statusCode: 401 }],
      ["it lives too long", { ttl: 365 * 24 * 3_600_000 }, { code: 40003, statusCode: 400 }],
      ["it never lives", { ttl: -1 }, { code: 40003, statusCode: 400 }],
    ]) {
      test(`no token where ${what}`, () => assert.rejects(request(params, LESS), expected));
    }

    test("a nonce is good once", async () => {
      const params = { nonce: `nonce-${format}-0123456789` };
      await request(params);
      await assert.rejects(request(params), { code: 40105 });
    });

    test("a request that one signs another may send, numbers as text", async () => {
      const signed = await rest().auth.createTokenRequest({ clientId: "ann", ttl: 60_000 });
      const texts = Object.fromEntries(Object.entries(signed).map(([name, value]) => [name, String(value)]));
      const client = site.client({ ...own, authCallback: (_, done) => done(null, texts) });
      await reached(client.connection, "connected");
      assert.equal(client.auth.clientId, "ann");
    });

    test("a token of the app's own making says who it is and what it may do", async () => {
      const token = await jwt({ "x-ably-clientId": "ann", "x-ably-capability": JSON.stringify({ "room:*": ["*"] }) });
      const client = await site.connected({ ...own, token });
      assert.equal(client.auth.clientId, "ann");
      await client.channels.get("room:1").publish("n", "x");
      await assert.rejects(client.channels.get("other").attach(), { code: 40160, statusCode: 401 });
      await assert.rejects(client.channels.get("room").publish("n", "x"), { code: 40160 });
      const server = rest({ token });
      await server.channels.get("room:1").publish({ name: "n", data: "y" });
      const [last] = (await server.channels.get("room:1").history()).items;
      assert.deepEqual([last.data, last.clientId], ["y", "ann"]);
      await assert.rejects(server.channels.get("room:1").publish({ data: "y", clientId: "bob" }), { code: 40012 });
      await assert.rejects(server.channels.get("other").history(), { code: 40160 });
      await assert.rejects(server.auth.revokeTokens([{ type: "clientId", value: "ann" }]), { code: 40162 });
    });

    test("a token in another's wrapping is as good as itself", async () => {
      const { token } = await request({ clientId: "ann" });
      const wrapped = await jwt({ "x-ably-token": token }, { key: "x:the-app-signs-it-for-itself-alone", kid: "own" });
      const client = await site.connected({ ...own, token: wrapped });
      assert.equal(client.auth.clientId, "ann");
    });

    for (const [what, options, expected] of [
      ["of an app that is not there", { kid: "none.key" }, { code: 40400, statusCode: 404 }],
      ["of a key that is not there", { kid: "app.none" }, { code: 40400, statusCode: 401 }],
      ["signed by another", { key: "app.key:wrong" }, { code: 40144, statusCode: 401 }],
      ["of a key that is disabled", { key: "app.off:x-secret-of-enough-bytes" }, { code: 40131, statusCode: 401 }],
    ]) {
      test(`no token is good ${what}`, async () => {
        const token = await jwt({}, options);
        const answer = await fetch(`http://127.0.0.1:${site.port}/stats`, {
          headers: { authorization: `Bearer ${btoa(token)}`, "x-ably-version": "6" },
        });
        assert.deepEqual([answer.status, (await answer.json()).error.code], [expected.statusCode, expected.code]);
      });
    }

    test("a token that runs out is renewed, and the connection stays what it is", async () => {
      let count = 0;
      const authCallback = async (params, done) => {
        count += 1;
        done(null, await rest().auth.createTokenRequest({ ...params, ttl: 2500 }));
      };
      const client = site.client({ ...own, authCallback });
      await reached(client.connection, "connected");
      const { id } = client.connection;
      await eventually("another", () => count >= 2 && client.connection.state === "connected");
      assert.equal(client.connection.id, id);
    });

    test("tokens that are revoked are refused, and their connections end", async () => {
      const details = await request({ clientId: "eve" });
      const renewed = [];
      const authCallback = (_, done) => {
        if (renewed.push(1) === 1) done(null, details);
        else done(new Error("no more"), null);
      };
      const client = site.client({ ...own, authCallback });
      const reasons = [];
      client.connection.on(({ reason }) => reason && reasons.push(reason.code));
      await reached(client.connection, "connected");
      const other = await site.connected({ ...own, clientId: "eve" });
      const result = await rest().auth.revokeTokens([{ type: "clientId", value: "eve" }, { type: "nonsense", value: "x" }]);
      assert.deepEqual([result.successCount, result.failureCount], [1, 1]);
      assert.ok(result.results[0].issuedBefore <= result.results[0].appliesAt);
      assert.equal(result.results[1].error.code, 40000);
      await eventually("it was told", () => reasons.includes(40141));
      await assert.rejects(rest({ token: details.token }).stats());
      assert.equal(other.connection.state, "connected", "who has the key itself is not meant");
      const again = await request({ clientId: "eve" });
      assert.deepEqual((await rest({ token: again.token }).stats()).items, []);
    });

    test("a client says nothing of another in its credentials", async () => {
      const { token } = await request({ clientId: "ann" });
      const client = site.client({ ...own, authCallback: (_, done) => done(null, token), clientId: "bob" });
      await reached(client.connection, "failed");
      assert.equal(client.connection.errorReason.code, 40102);
    });
  });
}

test("one token of the site's own is good for this protocol too", async () => {
  const site = await Site.start({ "realtime.tokens": { secret: SECRET } });
  try {
    const token = await new SignJWT({ sub: "ann", subscribe: ["room-*"], publish: ["room-1"] })
      .setProtectedHeader({ alg: "HS256" })
      .setExpirationTime("1h")
      .sign(new TextEncoder().encode(SECRET));
    const client = await site.connected({ token });
    assert.equal(client.auth.clientId, "ann");
    await client.channels.get("room-1").publish("n", "x");
    await client.channels.get("room-2").attach();
    await assert.rejects(client.channels.get("other").attach(), { code: 40160 });
  } finally {
    await site.stop();
  }
});

test("the app is asked about requests of who has a token, not of who has a key", async () => {
  const asked = [];
  const app = createServer(async (request, response) => {
    const { type, data } = JSON.parse(Buffer.concat(await request.toArray()));
    asked.push(type);
    const isClosed = type === "subscribe" && data.channel === "closed";
    const answer = isClosed || data.text === "bad" ? { allow: false, reason: "no" } : data.text === "loud" ? { replace: { text: "quiet" } } : {};
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  });
  await once(app.listen(0, "127.0.0.1"), "listening");
  const events = ["connect", "subscribe", "message"];
  const site = await Site.start({ app: { url: `http://127.0.0.1:${app.address().port}` }, callbacks: { events } });
  try {
    const [key, ann] = [site.rest(), site.rest({ token: await jwt({ "x-ably-clientId": "ann" }) })];
    await ann.channels.get("open").publish("n", "loud");
    await assert.rejects(ann.channels.get("open").publish([{ data: "fine" }, { data: "bad" }]), { code: 40160 });
    await assert.rejects(ann.channels.get("closed").history(), { code: 40160 });
    await assert.rejects(ann.channels.get("closed").presence.get(), { code: 40160 });
    assert.deepEqual([...new Set(asked)].sort(), [...events].sort());
    const before = asked.length;
    await key.channels.get("closed").publish("n", "bad");
    const { items } = await key.channels.get("open").history();
    assert.deepEqual(items.map(({ data, clientId }) => [data, clientId]), [["quiet", "ann"]]);
    assert.equal(asked.length, before);
  } finally {
    await site.stop();
    app.close();
    app.closeAllConnections();
  }
});
