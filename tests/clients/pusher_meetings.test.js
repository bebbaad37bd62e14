// One channel, every kind of client: what Pusher's server library and its clients say reaches plain sockets, event
// streams and Socket.IO clients in the channel of that name, and theirs reaches Pusher's.
import assert from "node:assert/strict";
import { once } from "node:events";
import { get } from "node:http";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { collect, eventually, Site, subscribed } from "./harness/pusher.js";
import { helper } from "./harness/socketio.js";

/** Reads the event stream of a channel: each message as it stands, and how to hang up. */
async function stream(url) {
  const request = get(url, { headers: { accept: "text/event-stream" } });
  const [response] = await once(request, "response");
  assert.equal(response.statusCode, 200);
  const messages = [];
  let rest = "";
  response.setEncoding("utf8").on("data", (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) messages.push(JSON.parse(line.slice(5)));
  });
  response.on("error", () => {});
  return { messages, close: () => request.destroy() };
}

describe("in the channel public-chat", () => {
  let site, pusher, other, plain, plainHeard, events, socket, socketHeard;
  const NAME = "public-chat";
  const SAID = ["shout", "pusher:error", "pusher_internal:member_added", "after"];
  const broadcasts = (messages) => messages.filter(({ type }) => type === "broadcast");

  before(async () => {
    site = await Site.start({
      "realtime.socketio": [{}],
      // Where the app is asked, a channel is open to clients who come by themselves only if it is named.
      channels: [{ match: NAME }],
      callbacks: { path: "/api/socket-io", events: ["connect", "message"], channels: [] },
    });
    // The app's helper for Socket.IO: who connects is in the room, and what is said is said to the others in it.
    const { Server } = await helper();
    const rooms = new Server();
    rooms.on("connection", (socket) => {
      socket.join(NAME);
      for (const name of SAID) socket.on(name, (data) => socket.to(NAME).emit(name, data));
    });
    site.routes["/api/socket-io"] = async (request, response, body) => {
      const answer = await rooms.answer(JSON.parse(body), new Headers(request.headers));
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(answer));
    };
    pusher = await subscribed(await site.connected(), NAME);
    other = await subscribed(await site.connected(), NAME);
    plain = new WebSocket(`${site.origin.replace("http", "ws")}/api/ws/${NAME}`);
    plainHeard = [];
    plain.on("message", (text) => plainHeard.push(JSON.parse(text)));
    await once(plain, "open");
    events = await stream(`${site.origin}/api/ws/${NAME}`);
    socket = io(site.origin, { transports: ["websocket"], forceNew: true });
    socketHeard = [];
    socket.onAny((...said) => socketHeard.push(said));
    await new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject));
  });
  after(async () => {
    socket?.disconnect();
    plain?.terminate();
    events?.close();
    await site?.stop();
  });

  test("an event through REST reaches all of them, with its name and data", async () => {
    const [told, toldToo] = [collect(pusher, "news"), collect(other, "news")];
    await site.server().trigger(NAME, "news", { by: "REST", n: 1 });
    await eventually("Pusher's", () => told.length && toldToo.length);
    await eventually("the plain socket", () => broadcasts(plainHeard).length);
    await eventually("the event stream", () => broadcasts(events.messages).length);
    await eventually("Socket.IO", () => socketHeard.length);
    assert.deepEqual([told, toldToo], [[{ by: "REST", n: 1 }], [{ by: "REST", n: 1 }]]);
    for (const { name, data } of [broadcasts(plainHeard)[0], broadcasts(events.messages)[0]]) {
      assert.deepEqual([name, data], ["news", { by: "REST", n: 1 }]);
    }
    assert.deepEqual(socketHeard, [["news", { by: "REST", n: 1 }]]);
  });

  test("an event that is text, and no JSON, stays text", async () => {
    const before = [broadcasts(plainHeard).length, socketHeard.length];
    const told = collect(pusher, "text");
    await site.server().trigger(NAME, "text", "just text");
    await eventually("all", () => told.length && broadcasts(plainHeard).length > before[0] && socketHeard.length > before[1]);
    assert.deepEqual(told, ["just text"]);
    assert.equal(broadcasts(plainHeard).at(-1).data, "just text");
    assert.deepEqual(socketHeard.at(-1), ["text", "just text"]);
  });

  test("what a plain socket says reaches Pusher's clients as `message`, and the others", async () => {
    const told = collect(pusher, "message");
    const before = [broadcasts(events.messages).length, socketHeard.length];
    plain.send("from a plain socket");
    await eventually("all", () => told.length && broadcasts(events.messages).length > before[0] && socketHeard.length > before[1]);
    assert.deepEqual(told, ["from a plain socket"]);
    assert.equal(broadcasts(events.messages).at(-1).data, "from a plain socket");
    assert.deepEqual(socketHeard.at(-1), ["message", "from a plain socket"]);
  });

  test("what a Socket.IO client says reaches them under its event's name", async () => {
    const told = collect(pusher, "shout");
    const before = [broadcasts(plainHeard).length, broadcasts(events.messages).length];
    socket.emit("shout", { loud: true });
    await eventually("all", () => told.length && broadcasts(plainHeard).length > before[0] && broadcasts(events.messages).length > before[1]);
    assert.deepEqual(told, [{ loud: true }]);
    const { name, data } = broadcasts(plainHeard).at(-1);
    assert.deepEqual([name, data], ["shout", { loud: true }]);
  });

  test("nobody of another dialect speaks in Pusher's name", async () => {
    const strays = [collect(pusher, "pusher:error"), collect(pusher, "pusher_internal:member_added")];
    const told = collect(pusher, "after");
    for (const name of SAID.slice(1)) socket.emit(name, "x");
    await eventually("what came after", () => told.length);
    assert.deepEqual(strays, [[], []]);
  });

  test("the app's own publishing reaches Pusher's clients", async () => {
    const told = collect(pusher, "published");
    const publish = `http://${site.door.addresses.admin}/_doorway/api/v1/publish`;
    const answer = await fetch(publish, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ channel: NAME, name: "published", json: { n: 2 } }),
    });
    assert.equal(answer.status, 200, await answer.text());
    await eventually("it", () => told.length);
    assert.deepEqual(told, [{ n: 2 }]);
  });

  test("the app's server finds the REST API at Doorway's own listener too, signed all the same", async () => {
    const port = String(site.door.port("admin"));
    const told = collect(pusher, "inside");
    await site.server(undefined, { port }).trigger(NAME, "inside", 1);
    await eventually("it", () => told.length);
    const refused = await site.server(undefined, { port, secret: "wrong" }).trigger(NAME, "inside", 2).catch((error) => error.status);
    assert.equal(refused, 401);
  });
});
