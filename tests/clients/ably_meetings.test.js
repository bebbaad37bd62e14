// One channel, every kind of client: what Ably clients say reaches plain sockets, event streams, Socket.IO and Pusher
// clients in the channel of that name, and theirs reaches Ably's; who is there is seen by all.
import assert from "node:assert/strict";
import { once } from "node:events";
import { get } from "node:http";
import { after, before, describe, test } from "node:test";
import Pusher from "pusher-js";
import Server from "pusher";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { eventually, FORMATS, heard, KEY, Site, watched } from "./harness/ably.js";

const ROOM = "lobby";
const PUSHER = { id: "1", key: "app-key", secret: "app-secret" };

describe("in one channel", () => {
  let site, say, leave;
  const told = {};

  before(async () => {
    site = await Site.start({ "realtime.socketio": [{}], "realtime.pusher": [PUSHER], "realtime.channel": [{ match: "presence-*", presence_grace: "0s" }] });
    const origin = `http://127.0.0.1:${site.port}`;
    const [json, msgpack] = await Promise.all(FORMATS.map(([, own]) => site.connected({ ...own, clientId: "ann" })));
    for (const [name, client] of [["json", json], ["msgpack", msgpack]]) {
      const messages = await heard(client.channels.get(ROOM));
      told[name] = () => messages.map(({ data }) => data);
    }
    const plain = new WebSocket(`${origin.replace("http", "ws")}/api/ws/${ROOM}`);
    const broadcasts = [];
    plain.on("message", (text) => broadcasts.push(JSON.parse(text)));
    await once(plain, "open");
    const said = (messages) => messages.filter(({ type }) => type === "broadcast").map(({ data }) => data);
    told.plain = () => said(broadcasts);
    const request = get(`${origin}/api/ws/${ROOM}`, { headers: { accept: "text/event-stream" } });
    const [response] = await once(request, "response");
    let text = "";
    response.setEncoding("utf8").on("data", (chunk) => (text += chunk)).on("error", () => {});
    told.stream = () => said(text.split("\n").filter((line) => line.startsWith("data:")).map((line) => tryJson(line.slice(5))));
    const socket = io(origin, { transports: ["websocket"], forceNew: true });
    const events = [];
    socket.onAny((...args) => events.push(args));
    await once(socket, "connect");
    socket.emit("join-room", ROOM);
    told.socketio = () => events.filter(([name]) => name !== "user-joined").map(([, data]) => data?.data ?? data);
    const pusher = new Pusher(PUSHER.key, { cluster: "x", wsHost: "127.0.0.1", wsPort: site.port, forceTLS: false, enabledTransports: ["ws"] });
    const triggered = [];
    const channel = pusher.subscribe(ROOM).bind_global((event, data) => event.startsWith("pusher") || triggered.push(data));
    await eventually("pusher is in", () => channel.subscribed);
    told.pusher = () => triggered;
    const server = new Server({ appId: PUSHER.id, key: PUSHER.key, secret: PUSHER.secret, host: "127.0.0.1", port: String(site.port), useTLS: false });
    say = {
      json: (data) => json.channels.get(ROOM).publish("n", data),
      msgpack: (data) => msgpack.channels.get(ROOM).publish("n", data),
      plain: (data) => plain.send(typeof data === "string" ? data : JSON.stringify(data)),
      pusher: (data) => server.trigger(ROOM, "n", data),
      api: (data) => post(site, { channel: ROOM, name: "n", ...(typeof data === "string" ? { text: data } : { json: data }) }),
    };
    // Joined: its own word comes back.
    await eventually("Socket.IO is in", async () => {
      await say.json("are you there?");
      return told.socketio().includes("are you there?");
    });
    leave = () => {
      plain.terminate();
      request.destroy();
      socket.disconnect();
      pusher.disconnect();
    };
  });
  after(async () => {
    leave?.();
    await site.stop();
  });

  for (const from of ["json", "msgpack", "plain", "pusher", "api"]) {
    for (const [what, data] of [["text", `text of ${from}`], ["an object", { from, n: [1, null, "é"] }]]) {
      test(`${what} of ${from} reaches everybody`, async () => {
        await say[from](data);
        const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
        const others = Object.keys(told).filter((name) => !(from === "plain" && name === "plain"));
        for (const name of others) {
          await eventually(`${name} hears ${from}`, () => told[name]().some((heard) => text(heard) === text(data)));
        }
      });
    }
  }

  test("members are seen from all sides, a user once", async () => {
    const room = "presence-room";
    const server = new Server({ appId: PUSHER.id, key: PUSHER.key, secret: PUSHER.secret, host: "127.0.0.1", port: String(site.port), useTLS: false });
    const pusher = new Pusher(PUSHER.key, {
      ...{ cluster: "x", wsHost: "127.0.0.1", wsPort: site.port, forceTLS: false, enabledTransports: ["ws"] },
      channelAuthorization: { customHandler: ({ socketId, channelName }, done) => done(null, server.authorizeChannel(socketId, channelName, { user_id: "bob", user_info: { n: 1 } })) },
    });
    try {
      const members = pusher.subscribe(room);
      const changes = [];
      members.bind("pusher:member_added", ({ id }) => changes.push(`+${id}`)).bind("pusher:member_removed", ({ id }) => changes.push(`-${id}`));
      await eventually("bob is in", () => members.subscribed);
      const [one, two] = [await site.connected({ clientId: "ann" }), await site.connected({ clientId: "ann" })];
      const seen = await watched(one.channels.get(room));
      await one.channels.get(room).presence.enter("hi");
      await two.channels.get(room).presence.enter("hi");
      await eventually("all three", async () => {
        const there = (await one.channels.get(room).presence.get()).map(({ clientId }) => clientId);
        return String(there.sort()) === "ann,ann,bob";
      });
      await eventually("ann is one user", () => changes.includes("+ann"));
      await two.channels.get(room).presence.leave();
      await eventually("one of them left", () => seen.some(({ action }) => action === "leave"));
      await one.channels.get(room).presence.leave();
      await eventually("ann is gone", () => changes.includes("-ann"));
      assert.deepEqual(changes, ["+ann", "-ann"]);
      pusher.disconnect();
      await eventually("bob has left", () => seen.some(({ action, clientId }) => action === "leave" && clientId === "bob"));
    } finally {
      pusher.disconnect();
    }
  });
});

const tryJson = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
};

async function post(site, body) {
  const answer = await fetch(`http://${site.door.addresses.admin}/_doorway/api/v1/publish`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  assert.equal(answer.status, 200, await answer.text());
}
