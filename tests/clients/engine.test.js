// The stock clients' transports: polling, WebSocket, and the way from one to the other under traffic.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { Socket } from "engine.io-client";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { config, Doorway } from "../browser/harness/doorway.js";
import { eventually } from "../browser/harness/eventually.js";

const LISTEN = { http: "127.0.0.1:0" };
const WAYS = { polling: ["polling"], WebSocket: ["websocket"], "polling, then WebSocket": ["polling", "websocket"] };

let app;
before(async () => {
  app = createServer((_, response) => response.end("app")).listen(0, "127.0.0.1");
  await once(app, "listening");
});
after(() => {
  app.close();
  app.closeAllConnections();
});

/** Runs `use` with a door and a way to open clients at it; all of them end with the test. */
async function withDoor(sections, use) {
  const url = `http://127.0.0.1:${app.address().port}`;
  const door = await Doorway.start(config({ app: { url }, listen: LISTEN, ...sections }));
  const clients = [];
  const client = (options = {}) => {
    const socket = io(door.origin("http"), { forceNew: true, reconnection: false, ...options });
    clients.push(socket);
    return socket;
  };
  try {
    await use(door, client);
  } finally {
    for (const socket of clients) socket.disconnect();
    await door.stop();
  }
}

/** The data of every `message` that a client hears. */
function heard(socket) {
  const all = [];
  socket.on("message", ({ data }) => all.push(data));
  return all;
}

const connected = (socket) => (socket.connected ? undefined : once(socket, "connect"));
const metric = async (door, name) => {
  const text = await (await door.admin("/metrics")).text();
  return Number(text.split("\n").find((line) => line.startsWith(`doorway_${name} `))?.split(" ").at(-1));
};

test("a burst of 1,000 messages of another reaches a client that polls", () =>
  withDoor({}, async (door, client) => {
    const hearing = client({ transports: ["polling"] });
    const all = heard(hearing);
    await connected(hearing);
    const saying = client({ transports: ["websocket"] });
    await connected(saying);
    const numbers = Array.from({ length: 1_000 }, (_, number) => number);
    for (const number of numbers) saying.emit("message", number);
    await eventually("all of them", () => all.length >= numbers.length || hearing.disconnected);
    assert.deepEqual(all, numbers);
  }));

for (const [way, transports] of Object.entries(WAYS)) {
  describe(`by ${way}`, () => {
    test("messages come back once and in order", () =>
      withDoor({}, async (door, client) => {
        const socket = client({ transports });
        const all = heard(socket);
        await connected(socket);
        const numbers = Array.from({ length: 500 }, (_, number) => number);
        for (const number of numbers) socket.emit("message", number);
        await eventually("all of them", () => all.length >= numbers.length);
        assert.deepEqual(all, numbers);
        if (transports.length > 1) await eventually("the upgrade", () => socket.io.engine.transport.name === "websocket");
      }));

    test("bytes travel as they are, beside text beyond ASCII", () =>
      withDoor({}, async (door, client) => {
        const socket = client({ transports });
        const all = heard(socket);
        await connected(socket);
        const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
        socket.emit("message", { text: "€ \u{1f6aa} \u001e", bytes, more: [bytes.subarray(0, 1)] });
        await eventually("it", () => all.length === 1);
        assert.deepEqual(all[0], { text: "€ \u{1f6aa} \u001e", bytes, more: [bytes.subarray(0, 1)] });
      }));

    test("what is more than one body may hold travels in several", () =>
      withDoor({ "realtime.socketio": [{ max_payload: 100_000 }] }, async (door, client) => {
        const socket = client({ transports });
        const all = heard(socket);
        await connected(socket);
        for (let number = 0; number < 30; number++) socket.emit("message", `${number}:${"x".repeat(20_000)}`);
        await eventually("all of them", () => all.length === 30);
        assert.deepEqual(all.map((text) => Number(text.split(":")[0])), Array.from({ length: 30 }, (_, number) => number));
      }));

    test("a client that leaves is known to have left", () =>
      withDoor({}, async (door, client) => {
        const socket = client({ transports });
        await connected(socket);
        socket.disconnect();
        const label = 'realtime_sockets{dialect="socketio"}';
        await eventually("nobody is there", async () => (await metric(door, label)) === 0);
        await eventually("none is polling", async () => (await metric(door, "realtime_engine_polling")) === 0);
      }));

    test("a client stays as long as it answers pings", () =>
      withDoor({ "realtime.socketio": [{ ping_interval: "150ms", ping_timeout: "2s" }] }, async (door, client) => {
        const socket = client({ transports });
        await connected(socket);
        let pings = 0;
        socket.io.on("ping", () => pings++);
        await eventually("ten pings", () => pings >= 10);
        assert.ok(socket.connected);
      }));

    test("a client that can no longer be heard is given up, in the words of the Node server", () =>
      withDoor({ "realtime.socketio": [{ ping_interval: "150ms", ping_timeout: "300ms" }] }, async (door, client) => {
        const socket = client({ transports });
        await connected(socket);
        // It hears, and says nothing any more.
        socket.io.engine._sendPacket = () => {};
        const line = await door.said("the end", (log) => log.message === "socket closed" && log);
        assert.equal(line.reason, "ping timeout");
        await eventually("it knows", () => !socket.connected);
      }));

    test("when the door stops, it is told", () =>
      withDoor({}, async (door, client) => {
        const socket = client({ transports });
        await connected(socket);
        // Between two polls it would find nobody there. It may go over to its WebSocket meanwhile.
        const reads = async () => (await metric(door, "http_requests_in_flight")) > 0;
        await eventually("it is told whatever comes", async () => socket.io.engine.transport.name === "websocket" || reads());
        const [[reason], { code }] = await Promise.all([once(socket, "disconnect"), door.stop()]);
        assert.ok(["transport close", "io server disconnect"].includes(reason), reason);
        assert.equal(code, 0);
      }));

    test("the client's option `path` leads below the hub's own path", () =>
      withDoor({}, async (door, client) => {
        await connected(client({ transports, path: "/api/ws/socket.io/" }));
        await connected(client({ transports, path: "/socket.io", addTrailingSlash: false }));
      }));
  });
}

test("a client with no options at all begins by polling and goes over", () =>
  withDoor({}, async (door, client) => {
    const socket = client();
    await connected(socket);
    await eventually("the upgrade", () => socket.io.engine.transport.name === "websocket");
    // The client counts it as done when it has said so, the door when it has heard so.
    await eventually("the door has heard of it", async () => (await metric(door, "realtime_engine_upgraded_total")) === 1);
    await eventually("none is polling", async () => (await metric(door, "realtime_engine_polling")) === 0);
  }));

test("thirty clients go over in the midst of traffic: nothing is lost, doubled or out of order", () =>
  // All of them are one process here, which takes its time to read.
  withDoor({ "realtime.outbox": { messages: 10_000 } }, async (door, client) => {
    const talker = client({ transports: ["websocket"] });
    const said = [];
    const own = heard(talker);
    await connected(talker);
    const listeners = Array.from({ length: 30 }, () => client());
    const heardBy = listeners.map(heard);
    let upgraded = 0;
    for (const [number, listener] of listeners.entries()) {
      listener.io.engine.on("upgrade", () => upgraded++);
      // Each talks too, through its own upgrade.
      listener.on("connect", () => {
        let count = 0;
        const talk = setInterval(() => {
          listener.emit("message", `${number}-${count++}`);
          if (count === 40) clearInterval(talk);
        }, 1);
      });
    }
    await Promise.all(listeners.map(connected));
    for (let number = 0; upgraded < listeners.length || number < 100; number++) {
      said.push(`t-${number}`);
      talker.emit("message", said.at(-1));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const total = said.length + listeners.length * 40;
    await eventually("everything at the talker", () => own.length === total);
    for (const [number, all] of heardBy.entries()) {
      await eventually(`the last at ${number}`, () => all.includes(said.at(-1)) && all.includes(`${number}-39`));
      const expected = own.slice(own.length - all.length);
      await eventually(`everything at ${number}`, () => all.length >= expected.length && all.at(-1) === own.at(-1));
      // From the moment that it was there, it heard the same as the talker, in the same order.
      assert.deepEqual(all, own.slice(own.length - all.length), `client ${number}`);
      const mine = all.filter((text) => text.startsWith(`${number}-`));
      assert.deepEqual(mine, Array.from({ length: 40 }, (_, count) => `${number}-${count}`));
    }
  }));

test("a client behind something that lets no WebSocket through goes on polling", () =>
  withDoor({}, async (door, client) => {
    const target = new URL(door.origin("http"));
    const { request } = await import("node:http");
    const proxy = createServer((from, to) => {
      const passed = request({ port: target.port, path: from.url, method: from.method, headers: from.headers }, (answer) => {
        to.writeHead(answer.statusCode, answer.headers);
        answer.pipe(to);
      });
      from.pipe(passed);
      passed.on("error", () => to.destroy());
      to.on("close", () => passed.destroy());
    });
    proxy.on("upgrade", (_, socket) => socket.destroy());
    await once(proxy.listen(0, "127.0.0.1"), "listening");
    const socket = io(`http://127.0.0.1:${proxy.address().port}`, { forceNew: true, reconnection: false });
    try {
      const all = heard(socket);
      const failed = once(socket.io.engine, "upgradeError");
      await connected(socket);
      await failed;
      for (let number = 0; number < 50; number++) socket.emit("message", number);
      await eventually("all of them", () => all.length === 50);
      assert.equal(socket.io.engine.transport.name, "polling");
    } finally {
      socket.disconnect();
      proxy.close();
      proxy.closeAllConnections();
    }
  }));

test("a session that the door does not know is refused, and the client begins anew", () =>
  withDoor({ "realtime.socketio": [{ transports: ["polling"] }] }, async (door, client) => {
    const socket = client({ reconnection: true, reconnectionDelay: 10 });
    await connected(socket);
    const first = socket.io.engine.id;
    socket.io.engine.transport.query.sid = "AAAAAAAAAAAAAAAAAAAAAA";
    socket.emit("message", "by a session that is none");
    await eventually("another session", () => socket.connected && socket.io.engine.id !== first);
  }));

test("engine.io-client by itself sees the handshake that it expects", () =>
  withDoor({ "realtime.socketio": [{ ping_interval: "7s", ping_timeout: "3s", max_payload: 5000 }] }, async (door) => {
    const socket = new Socket(door.origin("http"), { path: "/socket.io/", transports: ["polling"] });
    const [handshake] = await once(socket, "handshake");
    const { sid, ...rest } = handshake;
    assert.match(sid, /^[\w-]{22}$/);
    assert.deepEqual(rest, { upgrades: ["websocket"], pingInterval: 7000, pingTimeout: 3000, maxPayload: 5000 });
    socket.close();
  }));

test("a body that is too long ends the client's connection, and not the door", () =>
  withDoor({ "realtime.socketio": [{ max_payload: 5000 }] }, async (door, client) => {
    for (const transports of [["polling"], ["websocket"]]) {
      const socket = client({ transports });
      await connected(socket);
      socket.emit("message", "x".repeat(6000));
      const [reason] = await once(socket, "disconnect");
      assert.match(reason, /^transport (error|close)$/);
    }
    await connected(client());
  }));

/** Requests of one moment by several connections, which a server with one thread serves in the order of their sending. */
const races = {
  "a poll, and the close packet": {
    async run(url) {
      const [poll, post] = await Promise.all([fetch(url), fetch(url, { method: "POST", body: "1" })]);
      return [poll.status, await poll.text(), post.status, (await fetch(url)).status];
    },
    expected: [200, "6", 200, 400],
  },
  "the close packet, then a poll": {
    async run(url) {
      const post = await fetch(url, { method: "POST", body: "1" });
      return [post.status, await post.text(), (await fetch(url)).status];
    },
    expected: [200, "ok", 400],
  },
  "a poll right behind the upgrade": {
    async run(url) {
      const socket = new WebSocket(url.replace("http", "ws").replace("polling", "websocket"));
      await once(socket, "open");
      socket.send("2probe");
      await once(socket, "message");
      socket.send("5");
      const poll = await fetch(url);
      socket.terminate();
      return [poll.status, await poll.text()];
    },
    expected: [400, '{"code":3,"message":"Bad request"}'],
  },
  "a poll at the end of ping_timeout": {
    async run(url) {
      await new Promise((done) => setTimeout(done, 500));
      const poll = await fetch(url);
      return [poll.status, await poll.text()];
    },
    expected: [400, '{"code":1,"message":"Session ID unknown"}'],
  },
};

for (const [name, { run, expected }] of Object.entries(races)) {
  test(`${name}: answered as by the Node server`, () =>
    withDoor({ "realtime.socketio": [{ ping_interval: "300ms", ping_timeout: "200ms" }] }, async (door) => {
      const others = [];
      const handshake = `${door.origin("http")}/socket.io/?EIO=4&transport=polling`;
      const once = async () => {
        const { sid } = JSON.parse((await (await fetch(handshake)).text()).slice(1));
        const seen = JSON.stringify(await run(`${handshake}&sid=${sid}`));
        if (seen !== JSON.stringify(expected)) others.push(seen);
      };
      for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 10 }, once));
      // A thread that is kept from running for long loses such a race: a few of a hundred on a machine that is full.
      assert.ok(others.length <= 10, others.join("\n"));
    }));
}
