// Several doors behind a load balancer that sends every request to the next of them: the stock clients poll, upgrade, fall
// back and come back as on one door.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { config, Doorway } from "../browser/harness/doorway.js";
import { eventually } from "../browser/harness/eventually.js";
import { Ably, KEY } from "./harness/ably.js";
import { APP, Client, Site as PusherSite } from "./harness/pusher.js";
import { Redis } from "./harness/redis.js";
import { eachConnection, eachRequest } from "./harness/round_robin.js";

const DOORS = 3;
const MESSAGES = 40;

let redis, doors, balancer, lines;

before(async () => {
  redis = await Redis.start();
  const settings = config({
    app: { url: "off" },
    listen: { http: "127.0.0.1:0" },
    "realtime.redis": { url: redis.url, node_timeout: "3s", peer: "127.0.0.1:0" },
    "realtime.socketio": [{ namespaces: ["/*"], recovery: "2m" }],
    "realtime.pusher": [{ ...APP, client_events: true }],
    "realtime.ably": [{ key: KEY }],
  });
  doors = await Promise.all(Array.from({ length: DOORS }, () => Doorway.start(settings)));
  for (const door of doors) await door.said("reached", ({ message }) => message === "the other doors can reach this one");
  const ports = () => doors.filter(({ child }) => child.process.exitCode === null && child.process.signalCode === null).map((door) => door.port("http"));
  [balancer, lines] = [await eachRequest(ports), await eachConnection(ports)];
});
after(async () => {
  balancer?.stop();
  lines?.stop();
  for (const door of doors ?? []) await door.stop();
  await redis.stop();
});

/** Two that talk in a room until each has all that the other said, once and in order. */
async function talk(sockets) {
  const heard = sockets.map((socket) => {
    const events = [];
    socket.on("message", ({ data }) => events.push(data.text));
    return events;
  });
  await eventually("connected", () => sockets.every((socket) => socket.connected));
  for (const socket of sockets) await socket.emitWithAck("join-room", "lobby");
  for (let number = 0; number < MESSAGES; number++) {
    sockets.forEach((socket, who) => socket.emit("message", { text: `${who}-${number}` }));
    if (number % 10 === 9) await eventually("so far", () => heard.every((events) => events.length === 2 * (number + 1)));
  }
  for (const events of heard) {
    for (const who of [0, 1]) {
      const own = events.filter((text) => text.startsWith(`${who}-`));
      assert.deepEqual(own, Array.from({ length: MESSAGES }, (_, number) => `${who}-${number}`));
    }
  }
}

describe("socket.io-client", () => {
  const ways = { "by polling alone": ["polling"], "by polling, then by WebSocket": ["polling", "websocket"] };
  for (const [name, transports] of Object.entries(ways)) {
    test(`${name}: each request at another door`, async () => {
      const sockets = [0, 1].map(() => io(balancer.origin, { transports, forceNew: true }));
      try {
        await talk(sockets);
        const last = transports.at(-1);
        await eventually("the transport that it is to have", () => sockets.every(({ io }) => io.engine.transport.name === last));
        assert.equal(balancer.asked.size, DOORS, "every door was asked");
        await talk(sockets);
      } finally {
        for (const socket of sockets) socket.disconnect();
      }
    });
  }

  test("a client that comes back to another door has all that it missed, each time", async () => {
    // Each at the next door, whatever happens.
    const socket = io(lines.origin, { transports: ["websocket"], forceNew: true, reconnectionDelay: 10, reconnectionDelayMax: 20 });
    const other = io(doors[0].origin("http"), { transports: ["websocket"], forceNew: true });
    const heard = [];
    socket.on("message", ({ data }) => heard.push(data.text));
    try {
      await eventually("connected", () => socket.connected && other.connected);
      for (const each of [socket, other]) await each.emitWithAck("join-room", "lobby");
      const { id } = socket;
      let said = 0;
      const say = () => other.emit("message", { text: `n-${said++}` });
      say();
      await eventually("the first", () => heard.length === 1);
      for (let round = 0; round < DOORS + 1; round++) {
        socket.io.reconnection(false);
        const gone = once(socket, "disconnect");
        lines.cut();
        await gone;
        for (let number = 0; number < 5; number++) say();
        await other.emitWithAck("join-room", "lobby");
        socket.io.reconnection(true);
        socket.connect();
        await eventually("back", () => socket.connected);
        assert.equal(socket.recovered, true, `round ${round}`);
        assert.equal(socket.id, id);
        await eventually("what it missed", () => heard.length === said);
        say();
        await eventually("what comes then", () => heard.length === said);
        socket.emit("message", { text: `own-${round}` });
        await eventually("its own", () => heard.at(-1) === `own-${round}`);
        heard.pop();
      }
      assert.deepEqual(heard, Array.from({ length: said }, (_, number) => `n-${number}`));
    } finally {
      socket.disconnect();
      other.disconnect();
    }
  });
});

describe("pusher-js", () => {
  for (const transport of ["xhr_streaming", "xhr_polling"]) {
    test(`${transport}: each request at another door`, async () => {
      const port = doors[0].port("http");
      const server = PusherSite.prototype.server.call({ kind: "http", port });
      const clients = [0, 1].map(() => {
        return new Client(APP.key, {
          cluster: "x",
          httpHost: "127.0.0.1",
          httpPort: balancer.port,
          wsHost: "127.0.0.1",
          wsPort: balancer.port,
          forceTLS: false,
          enabledTransports: [transport],
          channelAuthorization: {
            customHandler: ({ channelName, socketId }, callback) => callback(null, server.authorizeChannel(socketId, channelName)),
          },
        });
      });
      try {
        await eventually("connected", () => clients.every(({ connection }) => connection.state === "connected"));
        const changes = [];
        clients.forEach(({ connection }) => connection.bind("state_change", (change) => changes.push(change)));
        const channels = clients.map((client) => client.subscribe("private-chat"));
        await eventually("subscribed", () => channels.every(({ subscribed }) => subscribed));
        const heard = channels.map((channel) => {
          const numbers = [];
          channel.bind("n", (number) => numbers.push(number));
          channel.bind("client-n", ({ number }) => numbers.push(number));
          return numbers;
        });
        for (let number = 0; number < MESSAGES; number++) await server.trigger("private-chat", "n", number);
        await eventually("the app's", () => heard.every((numbers) => numbers.length === MESSAGES));
        channels[0].trigger("client-n", { number: "hi" });
        await eventually("the client's", () => heard[1].length === MESSAGES + 1);
        assert.deepEqual(heard[1], [...Array(MESSAGES).keys(), "hi"]);
        assert.deepEqual(changes, [], "the connections stand");
      } finally {
        for (const client of clients) client.disconnect();
      }
    });
  }
});

describe("ably", () => {
  test("by comet: each request at another door", async () => {
    // As ably-js polls in a browser; for Node it has no such transport.
    const ask = async (path, init) => {
      const answer = await fetch(`${balancer.origin}/comet/${path}`, init);
      const told = await answer.json();
      assert.equal(answer.status, 200, JSON.stringify(told));
      return told;
    };
    const rest = new Ably.Rest({ endpoint: "127.0.0.1", port: doors[0].port("http"), tls: false, key: KEY, logLevel: 0 });
    const [{ connectionDetails }] = await ask(`connect?key=${encodeURIComponent(KEY)}&v=4&format=json&stream=false`);
    const key = encodeURIComponent(connectionDetails.connectionKey);
    const send = (messages) => ask(`${key}/send`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(messages) });
    const told = [];
    const hear = async (what, action) => {
      while (!told.some((message) => message.action === action)) told.push(...(await ask(`${key}/recv`)));
      return told.splice(0).find((message) => message.action === action) ?? assert.fail(what);
    };
    await send([{ action: 10, channel: "talk" }]);
    assert.equal((await hear("attached", 11)).channel, "talk");
    for (let number = 0; number < 10; number++) {
      await rest.channels.get("talk").publish("n", { number });
      assert.deepEqual((await hear("a message", 15)).messages.map(({ data }) => JSON.parse(data)), [{ number }]);
    }
    await ask(`${key}/close`, { method: "POST" });
  });
});

describe("a door that is killed", () => {
  test("takes its sessions with it, and their clients begin anew at once", async () => {
    const socket = io(balancer.origin, { transports: ["polling"], forceNew: true, reconnectionDelay: 10, reconnectionDelayMax: 100 });
    try {
      await eventually("connected", () => socket.connected);
      const home = (await forwardedFrom()).at(-1);
      const { id } = socket;
      const gone = once(socket, "disconnect");
      home.signal("SIGKILL");
      await gone;
      await eventually("back", () => socket.connected);
      assert.equal(socket.recovered, false);
      assert.notEqual(socket.id, id);
      assert.equal(await Promise.race([socket.emitWithAck("join-room", "lobby").then(() => "joined"), once(socket, "disconnect")]), "joined");
    } finally {
      socket.disconnect();
    }
  });
});

/** The doors, those last that have sessions that poll. */
async function forwardedFrom() {
  const polling = async (door) => Number(/^doorway_realtime_engine_polling (\d+)/m.exec(await (await door.admin("/metrics")).text())[1]);
  const counted = await Promise.all(doors.map(async (door) => [door, await polling(door)]));
  return counted.toSorted(([, one], [, other]) => one - other).map(([door]) => door);
}
