// Channels of Ably as a stream of events: a stock `EventSource`, `fetch` for lines, and npm `ably` which publishes.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { EventSource } from "eventsource";
import { Relay } from "../browser/harness/relay.js";
import { eventually, KEY, Site } from "./harness/ably.js";

const [NAME, SECRET] = KEY.split(":");
const LESS = "app.less:a-third-secret-of-enough-bytes";
const name = ((number) => (kind = "stream") => `${kind}-${number++}`)(1);

/** A token as the app's own server signs it. */
function jwt(capability, { ttl = 60, ...claims } = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const all = { iat: now, exp: now + ttl, "x-ably-capability": JSON.stringify(capability), ...claims };
  const text = `${part({ alg: "HS256", typ: "JWT", kid: NAME })}.${part(all)}`;
  return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}

const open = [];
after(() => open.forEach((source) => source.close()));

const query = (params) => new URLSearchParams(Object.entries({ v: "1.2", ...params }).filter(([, value]) => value !== undefined));

/** A stock `EventSource`, and what it heard. */
async function listening(origin, path, params, { waits = true } = {}) {
  const source = new EventSource(`${origin}${path}?${query({ key: KEY, ...params })}`);
  open.push(source);
  source.heard = [];
  source.told = [];
  source.errors = [];
  source.onmessage = (event) => source.heard.push({ id: event.lastEventId, data: event.data });
  for (const kind of ["presence", "heartbeat"]) source.addEventListener(kind, (event) => source.told.push({ kind, data: event.data }));
  source.addEventListener("error", (event) => source.errors.push(event.data ? JSON.parse(event.data).code : event.code));
  if (waits) await eventually("an open stream", () => source.readyState === EventSource.OPEN);
  return source;
}

/** The text of a stream by `fetch`, as it grows. */
async function lines(origin, path, params, headers = {}) {
  const stream = { text: "", isOver: false };
  const abort = new AbortController();
  stream.close = () => abort.abort();
  open.push(stream);
  stream.response = await fetch(`${origin}${path}?${query(params)}`, { headers, signal: abort.signal });
  stream.done = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of stream.response.body) stream.text += decoder.decode(chunk, { stream: true });
  })().catch(() => {}).finally(() => (stream.isOver = true));
  return stream;
}

describe("a stream of events", () => {
  let site, origin, rest;
  before(async () => {
    site = await Site.start({
      ably: [{ key: KEY }, { key: LESS, capability: '{"read:*":["subscribe"],"say":["publish"]}' }],
      "realtime.channel": [{ match: "apps-*", subscribe: "app" }],
    });
    origin = `http://127.0.0.1:${site.port}`;
    rest = site.rest();
  });
  after(() => site.stop());

  for (const path of ["/sse", "/event-stream", "/api/ws/sse", "/api/ws:443/event-stream"]) {
    test(`${path}: each message in its envelope`, async () => {
      const room = name();
      const source = await listening(origin, path, { channels: room });
      const { serials } = await rest.channels.get(room).publish([{ name: "n", data: { a: 1 }, clientId: "ann" }]);
      await eventually("it", () => source.heard.length === 1);
      const { timestamp, ...message } = JSON.parse(source.heard[0].data);
      const [kept] = (await rest.channels.get(room).history()).items;
      assert.deepEqual(message, { channel: room, id: kept.id, name: "n", data: '{"a":1}', encoding: "json", clientId: "ann", action: 0, serial: serials[0] });
      assert.equal(timestamp, kept.timestamp);
      assert.ok(source.heard[0].id);
    });
  }

  for (const [what, data, encoding, text] of [
    ["text of several lines", "a\nb\r\nc", undefined, "a\nb\r\nc"],
    ["an object", { "é": [1] }, "json", '{"é":[1]}'],
    ["bytes", Buffer.from([0, 255]), "base64", "AP8="],
    ["nothing", undefined, undefined, undefined],
  ]) {
    test(`${what}, in an envelope and without`, async () => {
      const room = name();
      const enveloped = await listening(origin, "/sse", { channel: room });
      const bare = await listening(origin, "/sse", { channel: room, enveloped: "false" });
      await rest.channels.get(room).publish("n", data);
      await eventually("both", () => enveloped.heard.length === 1 && bare.heard.length === 1);
      const message = JSON.parse(enveloped.heard[0].data);
      assert.deepEqual([message.data, message.encoding], [text, encoding]);
      // A line of an event ends by any of three ends: they are one.
      assert.equal(bare.heard[0].data, (text ?? "").replace("\r\n", "\n"));
    });
  }

  test("a stream that is cut goes on where it was, each message once", async () => {
    const relay = await Relay.to(site.port);
    const [one, two] = [name(), name()];
    for (const channels of [one, `${one},${two}`]) {
      const source = await listening(relay.origin.replace("localhost", "127.0.0.1"), "/sse", { channels });
      const both = channels.includes(",");
      const say = async (text) => {
        await rest.channels.get(one).publish("n", text);
        if (both) await rest.channels.get(two).publish("n", text);
      };
      const texts = () => source.heard.map(({ data }) => JSON.parse(data).data);
      const has = (text) => texts().filter((known) => known === text).length === (both ? 2 : 1);
      await say("before");
      await eventually("the first", () => has("before"));
      relay.cut();
      await eventually("the loss", () => source.readyState === EventSource.CONNECTING);
      await say("meanwhile");
      relay.mend();
      await eventually("it back", () => has("meanwhile"));
      await say("after");
      const all = (both ? ["before", "before", "meanwhile", "meanwhile", "after", "after"] : ["before", "meanwhile", "after"]);
      await eventually("the last", () => texts().length >= all.length);
      assert.deepEqual(texts(), all);
      source.close();
    }
    relay.stop();
  });

  test("lastEvent goes on behind an event, in each of several channels", async () => {
    const [one, two] = [name(), name()];
    const source = await listening(origin, "/sse", { channels: `${one},${two}` });
    for (const [room, text] of [[one, "1"], [two, "2"], [one, "3"], [two, "4"], [one, "5"]]) await rest.channels.get(room).publish("n", text);
    await eventually("all", () => source.heard.length === 5);
    for (const [index, rest] of [[0, ["2", "3", "4", "5"]], [2, ["4", "5"]], [3, ["5"]]]) {
      const again = await listening(origin, "/sse", { channels: `${one},${two}`, lastEvent: source.heard[index].id });
      await eventually("the rest", () => again.heard.length >= rest.length);
      assert.deepEqual(again.heard.map(({ data }) => JSON.parse(data).data).sort(), rest, `behind ${index}`);
      assert.deepEqual(again.errors, []);
    }
    for (const lastEvent of ["no-id", "7-7,7-7", "1,2,3"]) {
      const lost = await listening(origin, "/sse", { channels: `${one},${two}`, lastEvent });
      await eventually("word of it", () => lost.errors.includes(80018));
      await rest.channels.get(one).publish("n", lastEvent);
      await eventually("what is new", () => lost.heard.length === 1);
      assert.equal(JSON.parse(lost.heard[0].data).data, lastEvent, "and nothing of before");
      lost.close();
    }
  });

  test("rewind begins with what was said before", async () => {
    const room = name();
    for (const text of ["1", "2", "3"]) await rest.channels.get(room).publish("n", text);
    const source = await listening(origin, "/sse", { channels: room, rewind: "2" });
    await eventually("two", () => source.heard.length === 2);
    assert.deepEqual(source.heard.map(({ data }) => JSON.parse(data).data), ["2", "3"]);
    const written = await listening(origin, "/sse", { channels: `[?rewind=1]${room}` });
    await eventually("one", () => written.heard.length === 1);
    assert.deepEqual([JSON.parse(written.heard[0].data).channel, JSON.parse(written.heard[0].data).data], [`[?rewind=1]${room}`, "3"]);
    const bad = await lines(origin, "/sse", { channels: room, key: KEY, rewind: "soon" });
    assert.equal(bad.response.status, 400);
  });

  test("a separator of its own lets names have commas", async () => {
    const room = `${name()},x`;
    const source = await listening(origin, "/sse", { channels: `${room}|other`, separator: "|" });
    await rest.channels.get(room).publish("n", "x");
    await eventually("it", () => source.heard.length === 1);
    assert.equal(JSON.parse(source.heard[0].data).channel, room);
  });

  test("who comes and goes is told as presence", async () => {
    const room = name();
    const source = await listening(origin, "/sse", { channels: room });
    const ann = await site.connected({ clientId: "ann" });
    await ann.channels.get(room).presence.enter("here");
    await ann.channels.get(room).presence.leave();
    await eventually("both", () => source.told.length === 2);
    const told = source.told.map(({ kind, data }) => [kind, JSON.parse(data)]);
    assert.deepEqual(told.map(([kind, { action, clientId, channel }]) => [kind, action, clientId, channel]), [["presence", 2, "ann", room], ["presence", 3, "ann", room]]);
    assert.equal(told[0][1].data, "here");
  });

  test("without text/event-stream it is a line each", async () => {
    const room = name();
    const stream = await lines(origin, "/event-stream", { channels: room, key: KEY });
    const bare = await lines(origin, "/event-stream", { channels: room, key: KEY, enveloped: "false" });
    assert.deepEqual([stream.response.status, stream.response.headers.get("content-type")], [200, "application/json"]);
    await rest.channels.get(room).publish("n", "a\nb");
    await eventually("both", () => stream.text.endsWith("\n") && bare.text.endsWith("\n"));
    const [line, ...more] = stream.text.trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual([line.event, line.data.data, line.data.channel, more], ["message", "a\nb", room, []]);
    const { id, ...known } = JSON.parse(bare.text);
    assert.deepEqual([known, id], [{ event: "message", data: "a\nb" }, line.id]);
    stream.close();
    bare.close();
  });

  test("silence is told of: by a comment, an event, or an empty line", async () => {
    const [channels, key] = [name(), KEY];
    const comment = await lines(origin, "/sse", { channels, key });
    const line = await lines(origin, "/event-stream", { channels, key });
    const source = await listening(origin, "/sse", { channels, heartbeats: "true" });
    await eventually("all three", () => comment.text.includes(":keepalive\n\n") && line.text === "\n" && source.told.length > 0);
    assert.deepEqual([source.told[0], source.heard], [{ kind: "heartbeat", data: "" }, []]);
    comment.close();
    line.close();
  });

  for (const [what, params, headers, status, code] of [
    ["no channel", { key: KEY }, { "x-ably-version": "2" }, 400, 40000],
    ["a channel without a name", { key: KEY, channels: "a,,b" }, {}, 400, 40010],
    ["one channel twice", { key: KEY, channels: "a,[?rewind=1]a" }, {}, 400, 40000],
    ["too many channels", { key: KEY, channels: Array.from({ length: 51 }, (_, index) => `c${index}`).join() }, {}, 400, 40000],
    ["a wrong key", { key: `${NAME}:wrong`, channels: "a" }, {}, 401, 40101],
    ["an unknown key", { key: "app.none:wrong", channels: "a" }, {}, 401, 40400],
    ["a token that is none", { accessToken: "x", channels: "a" }, {}, 401, 40143],
    ["a channel that the key has not", { key: LESS, channels: "read:1,other" }, {}, 401, 40160],
    ["a channel that the key only speaks in", { key: LESS, channels: "say" }, {}, 401, 40160],
    ["a mode that hears nothing", { key: KEY, channels: "[?modes=publish]a" }, {}, 401, 40160],
  ]) {
    test(`${what} is said by status and code, and nobody comes again`, async () => {
      const answer = await lines(origin, "/sse", params, headers);
      await answer.done;
      assert.deepEqual([answer.response.status, JSON.parse(answer.text).error.code], [status, code], answer.text);
      assert.equal(answer.response.headers.get("x-ably-errorcode"), String(code));
      if (!params.channels) return;
      const source = await listening(origin, "/sse", { key: undefined, ...params }, { waits: false });
      await eventually("its end", () => source.readyState === EventSource.CLOSED);
    });
  }

  test("a channel of the app's is the key's, and no token's", async () => {
    const token = jwt({ "*": ["*"] });
    const refused = await lines(origin, "/sse", { channels: `free-1,apps-1`, accessToken: token });
    await refused.done;
    assert.deepEqual([refused.response.status, JSON.parse(refused.text).error.code], [401, 40160]);
    const source = await listening(origin, "/sse", { channels: "apps-1" });
    await rest.channels.get("apps-1").publish("n", "x");
    await eventually("it", () => source.heard.length === 1);
  });

  for (const [way, shown] of [["accessToken", (token) => [{ accessToken: token }]], ["access_token", (token) => [{ access_token: token }]], ["a header", (token) => [{}, { authorization: `Bearer ${token}` }]]]) {
    test(`a token by ${way} is good until it ends, which is told`, async () => {
      const [params, headers] = shown(jwt({ "*": ["subscribe"] }, { ttl: 3 }));
      const room = name();
      const stream = await lines(origin, "/sse", { channels: room, ...params }, headers);
      assert.equal(stream.response.status, 200);
      await rest.channels.get(room).publish("n", "x");
      await stream.done;
      const error = /^event: error\ndata: (.*)$/m.exec(stream.text);
      assert.ok(stream.text.includes('"data":"x"') && error, stream.text);
      const { code, statusCode, href } = JSON.parse(error[1]);
      assert.deepEqual([code, statusCode, href], [40142, 401, "https://help.ably.io/error/40142"]);
    });
  }

  test("the key in a header does without a version", async () => {
    const response = await fetch(`${origin}/sse?channels=a`, { headers: { authorization: `Basic ${Buffer.from(KEY).toString("base64")}` } });
    assert.equal(response.status, 200);
    await response.body.cancel();
  });

  test("what clients of other protocols say is heard", async () => {
    const source = await listening(origin, "/sse", { channels: "default" });
    const socket = new (await import("ws")).default(`ws://127.0.0.1:${site.port}/api/ws`);
    await once(socket, "open");
    socket.send("hello");
    await eventually("it", () => source.heard.length === 1);
    const { data, channel, connectionId } = JSON.parse(source.heard[0].data);
    assert.deepEqual([data, channel, typeof connectionId], ["hello", "default", "string"]);
    socket.close();
  });

  test("pages of this site alone may listen", async () => {
    const ask = (from) => fetch(`${origin}/sse?channels=a&key=${KEY}`, { headers: { origin: from } });
    const [here, elsewhere] = [await ask(origin), await ask("https://elsewhere.example")];
    assert.deepEqual([here.status, elsewhere.status], [200, 403]);
    await here.body.cancel();
  });

  test("neither key nor token is in the log", async () => {
    assert.ok(site.door.child.lines.length > 0);
    assert.doesNotMatch(site.door.child.lines.join("\n"), /eyJ|-secret-of-/);
  });
});

test("the app is asked about a stream, may refuse it or end it, and keeps its own pages", async () => {
  const asked = [];
  const app = createServer(async (request, response) => {
    if (request.method === "GET") return response.end(`a page: ${request.url}`);
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { type, data } = JSON.parse(Buffer.concat(chunks));
    asked.push({ type, ...data });
    response.setHeader("content-type", "application/json");
    const isRefused = (type === "subscribe" && data.channel === "closed") || data.client?.user === "mallory";
    response.end(JSON.stringify(isRefused ? { allow: false, reason: "not you" } : {}));
  }).listen(0, "127.0.0.1");
  await once(app, "listening");
  const url = `http://127.0.0.1:${app.address().port}`;
  const site = await Site.start({ app: { url }, callbacks: { events: ["connect", "subscribe", "disconnect"] } });
  const origin = `http://127.0.0.1:${site.port}`;
  try {
    for (const page of ["/sse", "/sse?channels=a", "/event-stream?key=x"]) {
      assert.equal(await (await fetch(`${origin}${page}`)).text(), `a page: ${page}`);
    }
    const token = (clientId) => jwt({ "*": ["*"] }, { "x-ably-clientId": clientId });
    for (const [clientId, channels] of [["ann", "open,closed"], ["mallory", "open"]]) {
      const refused = await lines(origin, "/sse", { channels, accessToken: token(clientId) });
      await refused.done;
      const { code, message } = JSON.parse(refused.text).error;
      assert.deepEqual([refused.response.status, code, message], clientId === "ann" ? [401, 40160, "not you"] : [403, 40300, "not you"]);
    }
    const source = await listening(origin, "/sse", { key: undefined, channels: "open", accessToken: token("ann") });
    await site.rest().channels.get("open").publish("n", "x");
    await eventually("it", () => source.heard.length === 1);
    source.close();
    await eventually("the end", () => asked.filter(({ type }) => type === "disconnect").length >= 2);
    assert.ok(asked.some(({ type, client }) => type === "connect" && client.user === "ann"));
    assert.doesNotMatch(JSON.stringify(asked), /eyJ|oken=|-secret-of-/);
  } finally {
    await site.stop();
    app.close();
    app.closeAllConnections();
  }
});

test("at a restart of the door a stream ends without an error, and comes back by itself", async () => {
  const site = await Site.start();
  const source = await listening(`http://127.0.0.1:${site.port}`, "/sse", { channels: "a" });
  const stopping = site.door.stop();
  await eventually("its end", () => source.readyState === EventSource.CONNECTING);
  assert.deepEqual(source.errors.filter(Boolean), []);
  source.close();
  await stopping;
});
