// Several doors that share a Redis, and the stock clients on them: who is at one door meets who is at another, by whatever
// library.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { config, Doorway } from "../browser/harness/doorway.js";
import { eventually } from "../browser/harness/eventually.js";
import { Ably, heard as heardByAbly, KEY, reached, watched } from "./harness/ably.js";
import { APP, Client, Site as PusherSite } from "./harness/pusher.js";
import { Redis } from "./harness/redis.js";

const DOORS = 3;
const MESSAGES = 60;

let redis, doors, settings;

before(async () => {
  redis = await Redis.start();
  settings = config({
    app: { url: "off" },
    listen: { http: "127.0.0.1:0" },
    "realtime.redis": { url: redis.url },
    "realtime.socketio": [{ namespaces: ["/*"] }],
    "realtime.pusher": [{ ...APP, client_events: true }],
    "realtime.ably": [{ key: KEY }],
    "realtime.channel": [{ match: "kept", history: 100 }],
  });
  doors = await Promise.all(Array.from({ length: DOORS }, () => Doorway.start(settings)));
});
after(async () => {
  for (const door of doors ?? []) await door.stop();
  await redis.stop();
});

/** Each client's door in turn. */
const at = (number) => doors[number % DOORS];
const origin = (number) => at(number).origin("http");

describe("socket.io-client", () => {
  test("everybody and rooms are those of all doors", async () => {
    const sockets = Array.from({ length: 6 }, (_, number) => io(origin(number), { transports: ["websocket"], forceNew: true }));
    const heard = sockets.map((socket) => {
      const events = [];
      socket.on("message", ({ data }) => events.push(data));
      return events;
    });
    try {
      await eventually("connected", () => sockets.every((socket) => socket.connected));
      const joined = [];
      sockets[0].on("user-joined", ({ id }) => joined.push(id));
      for (const socket of sockets.slice(0, 4)) await socket.emitWithAck("join-room", "lobby");
      await eventually("those of the other doors", () => joined.length === 3);
      assert.deepEqual(joined, sockets.slice(1, 4).map(({ id }) => id));
      await Promise.all(sockets.slice(0, 4).map(async (socket, speaker) => {
        for (let number = 0; number < MESSAGES; number++) {
          socket.emit("message", { text: `${speaker}-${number}` });
        }
      }));
      await eventually("all of it", () => heard.every((events) => events.length >= 4 * MESSAGES));
      for (const events of heard) {
        assert.equal(new Set(events.map(({ text }) => text)).size, events.length, "nothing twice");
        for (let speaker = 0; speaker < 4; speaker++) {
          const own = events.filter(({ text }) => text.startsWith(`${speaker}-`)).map(({ text }) => Number(text.split("-")[1]));
          assert.deepEqual(own, Array.from({ length: MESSAGES }, (_, number) => number), "each speaker's in its order");
        }
      }
    } finally {
      for (const socket of sockets) socket.disconnect();
    }
  });
});

describe("pusher-js", () => {
  const clients = [];
  after(() => clients.forEach((client) => client.disconnect()));

  const client = async (number) => {
    const site = Object.create(PusherSite.prototype);
    const port = at(number).port("http");
    const made = new Client(APP.key, {
      cluster: "x",
      wsHost: "127.0.0.1",
      wsPort: port,
      forceTLS: false,
      enabledTransports: ["ws"],
      channelAuthorization: {
        customHandler: ({ channelName, socketId }, callback) => {
          const server = site.server.call({ kind: "http", port });
          const data = channelName.startsWith("presence-") ? { user_id: `user-${number}` } : undefined;
          callback(null, server.authorizeChannel(socketId, channelName, data));
        },
      },
      userAuthentication: {
        customHandler: ({ socketId }, callback) => {
          callback(null, PusherSite.prototype.server.call({ kind: "http", port }).authenticateUser(socketId, { id: "zoe" }));
        },
      },
    });
    clients.push(made);
    await eventually("connected", () => made.connection.state === "connected");
    return made;
  };
  const subscribed = async (pusher, name) => {
    const channel = pusher.subscribe(name);
    await eventually("subscribed", () => channel.subscribed);
    return channel;
  };

  test("events of the app and of clients reach all doors", async () => {
    const channels = [];
    for (let number = 0; number < DOORS; number++) channels.push(await subscribed(await client(number), "private-chat"));
    const heard = channels.map((channel) => {
      const events = [];
      channel.bind_global((name, data) => name.startsWith("pusher") || events.push([name, data]));
      return events;
    });
    const server = PusherSite.prototype.server.call({ kind: "http", port: at(1).port("http") });
    for (let number = 0; number < 10; number++) await server.trigger("private-chat", "news", { number });
    await eventually("the app's", () => heard.every((events) => events.length === 10));
    for (const events of heard) assert.deepEqual(events.map(([, { number }]) => number), [...Array(10).keys()]);
    channels[0].trigger("client-hi", { from: 0 });
    await eventually("the client's", () => heard[1].length === 11 && heard[2].length === 11);
    assert.equal(heard[0].length, 10, "its sender does not hear it");
  });

  test("members are those of all doors", async () => {
    const first = await subscribed(await client(0), "presence-room");
    const told = [];
    first.bind("pusher:member_added", ({ id }) => told.push(`+${id}`));
    first.bind("pusher:member_removed", ({ id }) => told.push(`-${id}`));
    const other = await client(1);
    const second = await subscribed(other, "presence-room");
    await eventually("both", () => first.members.count === 2 && second.members.count === 2);
    const server = PusherSite.prototype.server.call({ kind: "http", port: at(2).port("http") });
    const users = async () => (await (await server.get({ path: "/channels/presence-room/users" })).json()).users.map(({ id }) => id).toSorted();
    assert.deepEqual(await users(), ["user-0", "user-1"]);
    other.disconnect();
    await eventually("left", () => told.includes("-user-1"));
    assert.deepEqual(told, ["+user-1", "-user-1"]);
    await eventually("one", async () => (await users()).length === 1);
  });

  test("lists and counts are those of all doors, and a user is terminated on all", async () => {
    const signedIn = [await client(0), await client(1), await client(2)];
    for (const [number, pusher] of signedIn.entries()) {
      await subscribed(pusher, number ? "listed-both" : "listed-one");
      if (number === 2) continue;
      const done = new Promise((resolve) => pusher.bind("pusher:signin_success", resolve));
      pusher.signin();
      await done;
    }
    const server = PusherSite.prototype.server.call({ kind: "http", port: at(2).port("http") });
    const list = async () => (await (await server.get({ path: "/channels", params: { filter_by_prefix: "listed-", info: "subscription_count" } })).json()).channels;
    await eventually("all", async () => (await list())["listed-both"]?.subscription_count === 2);
    assert.deepEqual(await list(), { "listed-both": { subscription_count: 2 }, "listed-one": { subscription_count: 1 } });
    const ends = Promise.all(signedIn.slice(0, 2).map((pusher) => new Promise((resolve) => pusher.connection.bind("error", resolve))));
    await server.terminateUserConnections("zoe");
    assert.deepEqual((await ends).map(({ data }) => data.code), [4009, 4009]);
    assert.equal(signedIn[2].connection.state, "connected");
  });
});

describe("ably", () => {
  const clients = [];
  after(() => clients.forEach((client) => client.close()));
  const client = async (number, options = {}) => {
    const port = at(number).port("http");
    const made = new Ably.Realtime({ endpoint: "127.0.0.1", port, tls: false, key: KEY, logLevel: 0, disableConnectivityCheck: true, ...options });
    clients.push(made);
    await reached(made.connection, "connected");
    return made;
  };

  test("messages, presence and history are those of all doors", async () => {
    const [ann, bob] = [await client(0, { clientId: "ann" }), await client(1, { clientId: "bob" })];
    const [anns, bobs] = [ann.channels.get("talk"), bob.channels.get("talk")];
    const heard = [await heardByAbly(anns), await heardByAbly(bobs)];
    const seen = await watched(bobs);
    await anns.presence.enter({ here: true });
    for (let number = 0; number < 10; number++) await (number % 2 ? anns : bobs).publish("n", { number });
    await eventually("all", () => heard.every((messages) => messages.length === 10));
    assert.deepEqual(heard[0].map(({ serial }) => serial), heard[1].map(({ serial }) => serial), "one order");
    await eventually("ann", () => seen.some(({ action, clientId }) => action === "enter" && clientId === "ann"));
    assert.deepEqual((await bobs.presence.get()).map(({ clientId, data }) => [clientId, data]), [["ann", { here: true }]]);
    const third = new Ably.Rest({ endpoint: "127.0.0.1", port: at(2).port("http"), tls: false, key: KEY, logLevel: 0 });
    const { items } = await third.channels.get("talk").history({ direction: "forwards" });
    assert.deepEqual(items.map(({ data }) => data.number), [...Array(10).keys()]);
    await anns.presence.leave();
    await eventually("gone", () => seen.some(({ action }) => action === "leave"));
  });

  test("a token revoked at one door is revoked at all", async () => {
    const rest = (number, options = { key: KEY }) => new Ably.Rest({ endpoint: "127.0.0.1", port: at(number).port("http"), tls: false, logLevel: 0, ...options });
    const token = await rest(0).auth.requestToken({ clientId: "eve" });
    const eve = await client(1, { key: undefined, token: token.token });
    const reasons = [];
    eve.connection.on(({ reason }) => reason && reasons.push(reason.code));
    const { successCount } = await rest(2).auth.revokeTokens([{ type: "clientId", value: "eve" }]);
    assert.equal(successCount, 1);
    await eventually("it was told", () => reasons.includes(40141));
    for (let number = 0; number < DOORS; number++) {
      await assert.rejects(rest(number, { token: token.token }).channels.get("talk").history());
    }
    // A door that comes later asks what was revoked.
    const late = await Doorway.start(settings);
    try {
      const options = { endpoint: "127.0.0.1", port: late.port("http"), tls: false, logLevel: 0, token: token.token };
      const isRefused = () => new Ably.Rest(options).channels.get("talk").history().then(() => false, () => true);
      await eventually("refused there", isRefused);
    } finally {
      await late.stop();
    }
  });

  test("channels are listed that are at any door", async () => {
    const [ann, bob] = [await client(0), await client(1)];
    await heardByAbly(ann.channels.get("list:a"));
    await heardByAbly(bob.channels.get("list:b"));
    const rest = new Ably.Rest({ endpoint: "127.0.0.1", port: at(2).port("http"), tls: false, key: KEY, logLevel: 0 });
    const list = async (limit) => {
      const names = [];
      let page = await rest.request("GET", "/channels", 2, { prefix: "list:", limit });
      for (;;) {
        names.push(...page.items.map(({ name }) => name));
        if (!page.hasNext()) return names;
        page = await page.next();
      }
    };
    await eventually("both", async () => (await list("100")).length === 2);
    assert.deepEqual(await list("1"), ["list:a", "list:b"], "in parts too");
  });
});

describe("clients of different libraries", () => {
  test("meet across doors", async () => {
    const socket = io(origin(0), { transports: ["websocket"], forceNew: true });
    const plain = new WebSocket(`${origin(1).replace("http", "ws")}/api/ws/kept?since=now`);
    const said = [];
    plain.on("message", (text) => said.push(JSON.parse(text)));
    try {
      await eventually("in", () => socket.connected && said.length === 1);
      const answer = await fetch(`http://${at(2).addresses.admin}/_doorway/api/v1/publish`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ channel: "kept", json: { n: 1 } }),
      });
      assert.equal(answer.status, 200, await answer.text());
      await eventually("heard", () => said.length === 2);
      assert.deepEqual(said[1].data, { n: 1 });
    } finally {
      socket.disconnect();
      plain.close();
    }
  });
});
