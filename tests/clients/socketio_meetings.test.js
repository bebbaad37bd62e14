// What Doorway does that no Socket.IO server does: rooms that are channels for everybody, a chat without any server
// code, events from the app's API, and packets in another writing.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import * as msgpack from "socket.io-msgpack-parser";
import WebSocket from "ws";
import { eventually } from "../browser/harness/eventually.js";
import { Clients, doorway, heard } from "./harness/socketio.js";

for (const transports of [["polling"], ["websocket"]]) {
  const by = `by ${transports}`;

  test(`the tutorial chat needs no server code, ${by}`, { timeout: 60_000 }, async () => {
    await served(undefined, {}, async ({ url }) => {
      const clients = new Clients(url, { transports });
      try {
        const [ada, bob] = [await clients.connected(), await clients.connected()];
        const said = Promise.all([heard(ada, "message"), heard(bob, "message")]);
        ada.emit("message", { text: "hi" });
        for (const [{ timestamp, ...message }] of await said) {
          assert.deepEqual(message, { id: ada.id, data: { text: "hi" } });
          assert.equal(typeof timestamp, "number");
        }
        await ada.emitWithAck("join-room", "lobby");
        const joined = heard(ada, "user-joined");
        await bob.emitWithAck("join-room", "lobby");
        assert.deepEqual(await joined, [{ id: bob.id, room: "lobby" }]);
        const left = heard(ada, "user-left");
        await bob.emitWithAck("leave-room", "lobby");
        assert.deepEqual(await left, [{ id: bob.id, room: "lobby" }]);
      } finally {
        clients.close();
      }
    });
  });

  test(`a plain socket in a channel and a client in the room of that name hear each other, ${by}`, { timeout: 60_000 }, async () => {
    const behave = (io) =>
      io.on("connection", (socket) => {
        socket.join("lobby");
        socket.on("say", (text) => socket.to("lobby").emit("say", text));
      });
    // Where the app is asked, a channel is open to clients who come by themselves only if it is named.
    const open = { "realtime.channel": [{ match: "lobby" }] };
    await served(behave, { callbacks: { events: ["connect", "message"], channels: [] }, ...open }, async ({ url }) => {
      const clients = new Clients(url, { transports });
      const plain = new WebSocket(`${url.replace("http", "ws")}/api/ws/lobby`);
      try {
        await once(plain, "open");
        const socket = await clients.connected();
        const message = once(plain, "message");
        socket.emit("say", "from Socket.IO");
        assert.deepEqual(JSON.parse((await message)[0]), { type: "broadcast", name: "say", data: "from Socket.IO" });
        const back = heard(socket, "message");
        plain.send("from a plain socket");
        assert.deepEqual(await back, ["from a plain socket"]);
      } finally {
        plain.close();
        clients.close();
      }
    });
  });

  test(`the app emits by the API, ${by}`, { timeout: 60_000 }, async () => {
    await served(undefined, {}, async ({ url, door }) => {
      const emit = async (body) => {
        const response = await fetch(`http://${door.addresses.admin}/_doorway/api/v1/emit`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
        });
        return response.status;
      };
      const clients = new Clients(url, { transports });
      try {
        const [ada, bob, admin] = [await clients.connected(), await clients.connected(), await clients.connected("/admin")];
        const all = Promise.all([heard(ada, "news"), heard(bob, "news")]);
        assert.equal(await emit({ name: "news", args: [1, { two: 2 }] }), 200);
        assert.deepEqual(await all, [[1, { two: 2 }], [1, { two: 2 }]]);
        let others = 0;
        for (const socket of [ada, admin]) socket.on("psst", () => (others += 1));
        const one = heard(bob, "psst");
        await emit({ name: "psst", to: [bob.id], args: [{ $base64: "eHl6" }] });
        assert.equal(Buffer.from((await one)[0]).toString(), "xyz");
        const elsewhere = heard(admin, "said");
        await emit({ name: "said", namespace: "/admin", args: ["in admin"] });
        assert.deepEqual(await elsewhere, ["in admin"]);
        const rest = heard(ada, "said");
        await emit({ name: "said", except: bob.id, args: ["but bob"] });
        assert.deepEqual(await rest, ["but bob"]);
        assert.equal(others, 0);
        assert.equal(await emit({ name: "connect" }), 400);
        assert.equal(await emit({ name: "x", namespace: "admin" }), 400);
      } finally {
        clients.close();
      }
    });
  });

  test(`a door that stops ends clients as a server that closes does, ${by}`, { timeout: 60_000 }, async () => {
    const server = await doorway();
    const clients = new Clients(server.url, { transports, reconnection: false });
    try {
      const all = await Promise.all(Array.from({ length: 10 }, () => clients.connected()));
      // Whoever polls waits for an answer by now.
      const waiting = transports.includes("websocket") ? 0 : all.length;
      await eventually("all to wait", async () => {
        const metrics = await (await server.door.admin("/metrics")).text();
        return Number(/^doorway_http_requests_in_flight (\d+)/m.exec(metrics)?.[1]) >= waiting;
      });
      const reasons = all.map((socket) => heard(socket, "disconnect").then(([reason]) => reason));
      await server.stop();
      assert.deepEqual(new Set(await Promise.all(reasons)), new Set(["transport close"]));
    } finally {
      clients.close();
      await server.stop();
    }
  });

  test(`clients that write MessagePack, ${by}`, { timeout: 60_000 }, async () => {
    const behave = (io) =>
      io.on("connection", (socket) => {
        socket.join("lobby");
        socket.on("echo", (...args) => args.pop()(...args));
        socket.on("say", (...args) => socket.to("lobby").emit("say", ...args));
        socket.on("leave me", () => socket.disconnect());
      });
    await served(behave, { socketio: { parser: "msgpack" } }, async ({ url }) => {
      const clients = new Clients(url, { transports, parser: msgpack });
      try {
        const [ada, bob] = [await clients.connected(), await clients.connected()];
        const args = [1, -7, 1.5, "text", "ä😀", null, true, [[]], { a: { b: [2 ** 40] } }];
        const back = await new Promise((resolve) => ada.emit("echo", ...args, (...values) => resolve(values)));
        assert.deepEqual(back, args);
        const said = heard(bob, "say");
        ada.emit("say", { file: Buffer.from("bytes") }, "name");
        const [{ file }, name] = await said;
        assert.deepEqual([Buffer.from(file).toString(), name], ["bytes", "name"]);
        ada.emit("leave me");
        assert.equal((await heard(ada, "disconnect"))[0], "io server disconnect");
      } finally {
        clients.close();
      }
    });
  });
}

async function served(behave, options, visit) {
  const server = await doorway(behave, options);
  try {
    await visit(server);
  } finally {
    await server.stop();
  }
}
