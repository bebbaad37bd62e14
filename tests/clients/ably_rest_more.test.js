// npm `ably` as it is, without a socket: kinds of data, who speaks, what a capability bounds, and what is wrong.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { eventually, FORMATS, heard, KEY, Site } from "./harness/ably.js";
import { app } from "./harness/socketio.js";

const name = ((number) => (kind = "rest") => `${kind}-${number++}`)(1);
const [KEY_NAME, SECRET] = KEY.split(":");
const LIMITED = "app.limited:another-secret-of-enough-bytes";

/** The code and status that a promise is rejected with. */
async function refused(promise) {
  const error = await promise.then((value) => assert.fail(`not refused: ${JSON.stringify(value)}`), (error) => error);
  return [error.code, error.statusCode];
}

/** Asks without the client, and takes the answer apart. */
async function ask(site, path, { method = "GET", body, headers = {}, key = KEY } = {}) {
  const authorization = key && { Authorization: `Basic ${Buffer.from(key).toString("base64")}` };
  const response = await fetch(`http://127.0.0.1:${site.port}${path}`, {
    method, body: body && JSON.stringify(body),
    headers: { "X-Ably-Version": "6", "Content-Type": "application/json", ...authorization, ...headers },
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text && JSON.parse(text) };
}

/** A token as the app's own server signs it. */
function jwt(claims, { kid = KEY_NAME, secret = SECRET, ttl = 60 } = {}) {
  const iat = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT", kid })}.${part({ iat, exp: iat + ttl, ...claims })}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

for (const [format, own] of FORMATS) {
  describe(format, () => {
    let site;
    before(async () => {
      const capability = '{"open:*":["publish"],"read":["history","subscribe"]}';
      site = await Site.start({ ably: [{ key: KEY }, { key: LIMITED, capability }] });
    });
    after(() => site.stop());
    const rest = (options) => site.rest({ ...own, ...options });

    for (const [what, data] of [
      ["text", "text"], ["an object", { a: [1, null], "é": "ß" }], ["a list", [1, "two"]], ["nothing", undefined],
      ["bytes", Buffer.from([0, 255, 128, 10])],
    ]) {
      test(`${what} is published and read back`, async () => {
        const channel = rest().channels.get(name());
        const result = await channel.publish("n", data);
        const { items } = await channel.history();
        assert.deepEqual([items.length, items[0].name, items[0].data ?? undefined], [1, "n", data]);
        assert.deepEqual(result.serials, [items[0].serial]);
        assert.ok(items[0].id && items[0].timestamp && items[0].action === "message.create");
      });
    }

    test("several are published as one, in their order", async () => {
      const channel = rest().channels.get(name());
      const { serials } = await channel.publish([{ name: "a" }, { name: "b", clientId: "bob" }, { name: "c" }]);
      const page = await channel.history({ direction: "forwards" });
      assert.deepEqual(page.items.map((item) => item.name), ["a", "b", "c"]);
      assert.deepEqual(page.items.map((item) => item.serial), serials);
      assert.deepEqual([...serials].sort(), serials);
      assert.equal(page.items[1].clientId, "bob");
    });

    test("presence is read, and what became of it", async () => {
      const [client, room] = [await site.connected({ ...own, clientId: "ann" }), name()];
      await client.channels.get(room).presence.enter({ mood: "good" });
      const presence = rest().channels.get(room).presence;
      const { items } = await presence.get();
      assert.deepEqual(items.map((member) => [member.clientId, member.data, member.action]), [["ann", { mood: "good" }, "present"]]);
      assert.equal(items[0].connectionId, client.connection.id);
      assert.equal((await presence.get({ clientId: "bob" })).items.length, 0);
      await client.channels.get(room).presence.update("tired");
      await client.channels.get(room).presence.leave();
      const past = (await presence.history({ direction: "forwards" })).items;
      assert.deepEqual(past.map((member) => member.action), ["enter", "update", "leave"]);
    });

    test("channels are listed, by pages", async () => {
      const [client, kind] = [await site.connected(own), name("list")];
      for (const index of [1, 2, 3]) await client.channels.get(`${kind}:${index}`).attach();
      const list = (params) => rest().request("get", "/channels", 2, { prefix: kind, ...params });
      const whole = await list({});
      assert.deepEqual(whole.items.map((item) => item.channelId), [1, 2, 3].map((index) => `${kind}:${index}`));
      const page = await list({ by: "id", limit: 2 });
      assert.deepEqual(page.items, [`${kind}:1`, `${kind}:2`]);
      assert.deepEqual((await page.next()).items, [`${kind}:3`]);
    });

    test("a capability bounds what is done", async () => {
      const limited = rest({ key: LIMITED });
      await limited.channels.get("open:1").publish("n", "x");
      assert.deepEqual(await refused(limited.channels.get("closed").publish("n", "x")), [40160, 401]);
      assert.deepEqual(await refused(limited.channels.get("open:1").history()), [40160, 401]);
      assert.deepEqual((await limited.channels.get("read").history()).items, []);
      assert.deepEqual((await limited.channels.get("read").presence.get()).items, []);
      assert.deepEqual(await refused(limited.channels.get("read").status()), [40160, 401]);
    });

    test("what is wrong is said by its code", async () => {
      const channel = rest().channels.get(name());
      assert.deepEqual(await refused(rest().channels.get(":hell").publish("n", "x")), [40010, 400]);
      assert.deepEqual(await refused(channel.publish("n", "x".repeat(70_000))), [40009, 400]);
      assert.deepEqual(await refused(channel.publish({ data: "x", clientId: "*" })), [40012, 400]);
      assert.deepEqual(await refused(channel.publish({ data: "x", connectionKey: "none!x" })), [40006, 400]);
      assert.deepEqual(await refused(channel.history({ start: 2, end: 1 })), [40000, 400]);
      const { statusCode, errorCode } = await rest().request("get", "/nothing/here", 2);
      assert.deepEqual([statusCode, errorCode], [404, 40400]);
      for (const [key, code] of [["app.key:wrong", 40101], ["app.none:wrong", 40400], ["none.key:wrong", 40101]]) {
        assert.deepEqual(await refused(rest({ key }).channels.get("x").publish("n", "x")), [code, 401], key);
      }
    });

    test("a message is said on behalf of a connection, by its key", async () => {
      const [client, room] = [await site.connected({ ...own, clientId: "ann" }), name()];
      const told = await heard(client.channels.get(room));
      await rest().channels.get(room).publish({ data: "x", connectionKey: client.connection.key });
      await eventually("it", () => told.length === 1);
      assert.deepEqual([told[0].clientId, told[0].connectionId], ["ann", client.connection.id]);
    });

    test("a bad token is refused for what it is", async () => {
      // Not by the client: it would ask for another token, again and again.
      const code = async (token) => {
        const headers = { "X-Ably-Version": "6", Authorization: `Bearer ${Buffer.from(token).toString("base64")}` };
        const response = await fetch(`http://127.0.0.1:${site.port}/channels/x/messages`, { headers });
        return [(await response.json()).error.code, response.status];
      };
      assert.deepEqual(await code(jwt({}, { secret: "wrong" })), [40144, 401]);
      assert.deepEqual(await code(jwt({}, { ttl: -60 })), [40142, 401]);
      assert.deepEqual(await code(jwt({}, { kid: "none.key" })), [40400, 404]);
      assert.deepEqual(await code("app.anOldTokenOfTheVendors"), [40143, 401]);
    });

    test("only the key itself revokes", async () => {
      const details = await rest().auth.requestToken();
      const direct = await rest({ token: details.token }).request("post", "/keys/app.key/revokeTokens", 2, {}, { targets: ["clientId:x"] });
      assert.deepEqual([direct.statusCode, direct.errorCode], [401, 40162]);
      const bad = await rest().auth.revokeTokens([{ type: "clientId", value: "x" }, { type: "user", value: "x" }]);
      assert.deepEqual([bad.successCount, bad.failureCount, bad.results[1].error.code], [1, 1, 40000]);
    });
  });
}

describe("by hand", () => {
  let site;
  before(async () => {
    site = await Site.start();
  });
  after(() => site.stop());

  test("who cannot read headers has them in an envelope", async () => {
    for (const index of [1, 2]) await ask(site, "/channels/env/messages", { method: "POST", body: { name: `m${index}` } });
    const { status, body } = await ask(site, "/channels/env/messages?limit=1&envelope=json");
    assert.deepEqual([status, body.statusCode, body.response.length], [200, 200, 1]);
    assert.match(body.headers.link, /<\.\/messages\?limit=1&cursor=[^>]*>; rel="next"/);
    const failed = await ask(site, "/channels/:x/messages?envelope=json");
    assert.deepEqual([failed.status, failed.body.statusCode, failed.body.response.error.code], [200, 400, 40010]);
  });

  test("data that is no text is refused", async () => {
    for (const data of [{ a: 1 }, 7, [1], true]) {
      const { status, body } = await ask(site, "/channels/x/messages", { method: "POST", body: { data } });
      assert.deepEqual([status, body.error.code], [400, 40013], JSON.stringify(data));
    }
    const { body } = await ask(site, "/channels/x/messages", { method: "POST", body: { data: "%", encoding: "base64" } });
    assert.equal(body.error.code, 40013);
  });

  test("the app's server finds it at Doorway's own listener too, with a key all the same", async () => {
    const listener = await site.connected();
    const told = await heard(listener.channels.get("inside"));
    const port = site.door.port("admin");
    await site.rest({ port }).channels.get("inside").publish("said", "hello");
    await eventually("it", () => told.length);
    assert.deepEqual(told.map(({ name, data }) => [name, data]), [["said", "hello"]]);
    const other = site.rest({ port, key: "app.key:another-secret-of-enough-bytes" });
    assert.deepEqual(await refused(other.channels.get("inside").publish("said", "no")), [40101, 401]);
  });

  test("no key is in the log", async () => {
    await ask(site, `/channels/x/messages?key=${KEY}`, { key: null });
    const secret = KEY.split(":")[1];
    assert.ok(!JSON.stringify(site.door.child.lines ?? site.door.child.output ?? "").includes(secret));
  });
});

test("of one request the app is asked once, however many channels it names", async () => {
  const asked = [];
  const backend = await app(async ({ type }) => {
    asked.push(type);
    return {};
  });
  const site = await Site.start({ app: { url: backend.url }, callbacks: { events: ["connect"] } });
  try {
    const { token } = await site.rest().auth.requestToken({ clientId: "ann" });
    const present = await site.rest({ token }).batchPresence(["one", "two", "three"]);
    assert.equal(present.successCount, 3);
    assert.deepEqual(asked, ["connect"]);
  } finally {
    await site.stop();
    backend.stop();
  }
});
