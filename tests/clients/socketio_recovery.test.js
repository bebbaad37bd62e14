// Connection state recovery with the stock client: side by side with Socket.IO's own server where that can do it, and
// alone where only Doorway can. What a client says of itself is compared: whether it recovered, its id, its rooms, and
// what it missed, once and in order.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Clients, doorway, heard, node } from "./harness/socketio.js";

const asked = { node: [], doorway: [] };

function server(name) {
  return (io) => {
    io.use((socket, next) => {
      asked[name].push(socket.handshake.auth.who);
      next();
    });
    const common = (socket) => {
      io.of(socket.nsp.name).emit("came", socket.handshake.auth.who, socket.recovered, socket.data.color ?? null);
      socket.on("paint", (color, ack) => {
        socket.data.color = color;
        ack();
      });
      socket.on("color", (ack) => ack(socket.data.color));
      socket.on("join", async (room, ack) => {
        await socket.join(room);
        ack?.();
      });
      socket.on("room", (room, ...args) => io.of(socket.nsp.name).to(room).emit("said", ...args));
      socket.on("one", (id, ...args) => io.of(socket.nsp.name).to(id).emit("said", ...args));
      socket.on("all", (...args) => io.of(socket.nsp.name).emit("said", ...args));
      socket.on("volatile", (...args) => io.of(socket.nsp.name).volatile.emit("said", ...args));
      socket.on("leave me", () => socket.disconnect());
      socket.on("disconnect", (reason) => {
        io.of(socket.nsp.name).emit("left", socket.id, socket.handshake.auth.who, reason);
      });
    };
    io.on("connection", common);
    io.of("/other").on("connection", common);
  };
}

/** A client that writes down what it is told; offsets are no words of the server's. */
function listens(socket) {
  socket.said = [];
  socket.on("said", (...args) => socket.said.push(args[0]));
  return socket;
}

/** Cuts its connection, as a network does, and has it stay away until `back`. */
async function cut(socket, watcher) {
  socket.io.reconnection(false);
  const { id } = socket;
  const gone = new Promise((resolve) => watcher.on("left", (left) => left === id && resolve()));
  socket.io.engine.close();
  await gone;
}

async function back(socket, options) {
  Object.assign(socket.io.opts, options);
  const connected = heard(socket, "connect");
  socket.connect();
  await connected;
}

/** Until it has heard all of `what`, and then a while for what it should not hear: the answer to one more question. */
async function has(socket, count) {
  const deadline = Date.now() + 30_000;
  while (socket.said.length < count && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
  await socket.emitWithAck("join", "the end");
  return socket.said;
}

const ways = {
  "by polling": [["polling"], ["polling"]],
  "by WebSocket": [["websocket"], ["websocket"]],
  "by both": [["polling", "websocket"], ["polling", "websocket"]],
  "from polling to WebSocket": [["polling"], ["websocket"]],
  "from WebSocket to polling": [["websocket"], ["polling"]],
};

/** What both servers do: `[before, after]` are the transports. */
const behaviours = {
  async "id, rooms, data and what was missed, once and in order"(clients, [before, after]) {
    const watcher = await clients.connected("/", { auth: { who: "watcher" } });
    const socket = listens(await clients.connected("/", { auth: { who: "lost" }, transports: before }));
    const { id } = socket;
    await socket.emitWithAck("join", "lobby");
    await socket.emitWithAck("paint", "green");
    watcher.emit("all", "first");
    await heard(socket, "said");
    await cut(socket, watcher);
    for (let i = 0; i < 20; i += 1) watcher.emit("room", "lobby", i);
    watcher.emit("room", "elsewhere", "not for it");
    watcher.emit("one", id, "for it alone");
    watcher.emit("all", "bytes", Buffer.from("abc"));
    await watcher.emitWithAck("join", "x");
    await back(socket, { transports: after });
    watcher.emit("room", "lobby", "afterwards");
    return [socket.recovered, socket.id === id, await has(socket, 24), await socket.emitWithAck("color")];
  },
  async "twice"(clients, [before, after]) {
    const watcher = await clients.connected("/", { auth: { who: "watcher" } });
    const socket = listens(await clients.connected("/", { auth: { who: "lost" }, transports: before }));
    const { id } = socket;
    watcher.emit("all", 0);
    await heard(socket, "said");
    const recovered = [];
    for (let i = 1; i <= 3; i += 1) {
      await cut(socket, watcher);
      watcher.emit("all", i);
      await watcher.emitWithAck("join", "x");
      await back(socket, { transports: i % 2 ? after : before });
      recovered.push(socket.recovered, socket.id === id);
    }
    return [recovered, await has(socket, 4)];
  },
  async "what is volatile is not kept"(clients, [before, after]) {
    const watcher = await clients.connected("/", { auth: { who: "watcher" } });
    const socket = listens(await clients.connected("/", { auth: { who: "lost" }, transports: before }));
    watcher.emit("all", "kept");
    await heard(socket, "said");
    await cut(socket, watcher);
    watcher.emit("volatile", "not kept");
    watcher.emit("all", "kept too");
    await watcher.emitWithAck("join", "x");
    await back(socket, { transports: after });
    return [socket.recovered, await has(socket, 2)];
  },
  async "each namespace by itself"(clients, [before, after]) {
    const watcher = await clients.connected("/other", { auth: { who: "watcher" } });
    const one = listens(await clients.connected("/", { auth: { who: "one" }, transports: before }));
    const other = listens(one.io.socket("/other", { auth: { who: "other" } }));
    if (!other.connected) await heard(other, "connect");
    const ids = [one.id, other.id];
    const all = one.io.engine;
    one.emit("all", "in the first");
    watcher.emit("all", "in the other");
    await Promise.all([heard(one, "said"), heard(other, "said")]);
    one.io.reconnection(false);
    const gone = heard(watcher, "left");
    all.close();
    await gone;
    watcher.emit("all", "missed");
    await watcher.emitWithAck("join", "x");
    Object.assign(one.io.opts, { transports: after });
    const connected = Promise.all([heard(one, "connect"), heard(other, "connect")]);
    one.connect();
    other.connect();
    await connected;
    return [one.recovered, other.recovered, one.id === ids[0], other.id === ids[1], await has(other, 2), await has(one, 1)];
  },
  async "whoever said goodbye begins anew"(clients, [before]) {
    const watcher = await clients.connected("/", { auth: { who: "watcher" } });
    const socket = listens(await clients.connected("/", { auth: { who: "lost" }, transports: before }));
    const { id } = socket;
    watcher.emit("all", "first");
    await heard(socket, "said");
    const gone = heard(watcher, "left");
    socket.disconnect();
    await gone;
    await back(socket);
    return [socket.recovered, socket.id === id];
  },
  async "whom the server sent away begins anew"(clients, [before]) {
    const watcher = await clients.connected("/", { auth: { who: "watcher" } });
    const socket = listens(await clients.connected("/", { auth: { who: "lost" }, transports: before }));
    const { id } = socket;
    watcher.emit("all", "first");
    await heard(socket, "said");
    const gone = Promise.all([heard(watcher, "left"), heard(socket, "disconnect")]);
    socket.emit("leave me");
    await gone;
    await back(socket);
    return [socket.recovered, socket.id === id];
  },
  async "an unknown pid is a new client"(clients, [before]) {
    const socket = await clients.connected("/", { transports: before, auth: { who: "forged", pid: "x".repeat(27), offset: "1-1" } });
    return [socket.recovered, socket.connected];
  },
  async "a pid that is none is a new client"(clients, [before]) {
    const recovered = [];
    for (const auth of [{ pid: "", offset: "" }, { pid: { a: 1 }, offset: [] }, { pid: 7 }, { pid: "ä".repeat(5000), offset: "\u0000" }, { offset: "1-1" }]) {
      const socket = await clients.connected("/", { transports: before, auth });
      recovered.push(socket.recovered, socket.connected);
    }
    return recovered;
  },
  async "an offset that nobody said is a new client"(clients, [before, after]) {
    const watcher = await clients.connected("/", { auth: { who: "watcher" } });
    const socket = listens(await clients.connected("/", { auth: { who: "lost" }, transports: before }));
    const { id } = socket;
    watcher.emit("all", "first");
    await heard(socket, "said");
    await cut(socket, watcher);
    socket._lastOffset = "forged";
    watcher.emit("all", "missed");
    await watcher.emitWithAck("join", "x");
    await back(socket, { transports: after });
    return [socket.recovered, socket.id === id, await has(socket, 1)];
  },
};

/** What only Doorway does. */
const beyond = {
  async "nothing was heard before the loss"(clients, [before, after]) {
    const watcher = await clients.connected("/", { auth: { who: "watcher" } });
    const socket = listens(await clients.connected("/", { auth: { who: "lost" }, transports: before }));
    const { id } = socket;
    await cut(socket, watcher);
    for (let i = 0; i < 5; i += 1) watcher.emit("all", i);
    await watcher.emitWithAck("join", "x");
    await back(socket, { transports: after });
    assert.deepEqual([socket.recovered, socket.id === id, await has(socket, 5)], [true, true, [0, 1, 2, 3, 4]]);
  },
  async "nothing was heard in this life, but in the one before"(clients, [before, after]) {
    const watcher = await clients.connected("/", { auth: { who: "watcher" } });
    const socket = listens(await clients.connected("/", { auth: { who: "lost" }, transports: before }));
    watcher.emit("all", "before");
    await heard(socket, "said");
    const gone = heard(watcher, "left");
    socket.disconnect();
    await gone;
    await back(socket);
    const { id } = socket;
    assert.equal(socket.recovered, false);
    await cut(socket, watcher);
    watcher.emit("all", "missed");
    await watcher.emitWithAck("join", "x");
    await back(socket, { transports: after });
    assert.deepEqual([socket.recovered, socket.id === id, await has(socket, 2)], [true, true, ["before", "missed"]]);
  },
  async "a volatile event whose last word is a text does not lead it astray"(clients, [before, after]) {
    const watcher = await clients.connected("/", { auth: { who: "watcher" } });
    const socket = listens(await clients.connected("/", { auth: { who: "lost" }, transports: before }));
    watcher.emit("all", "kept");
    await heard(socket, "said");
    watcher.emit("volatile", "a text");
    await heard(socket, "said");
    await cut(socket, watcher);
    watcher.emit("all", "missed");
    await watcher.emitWithAck("join", "x");
    await back(socket, { transports: after });
    assert.deepEqual([socket.recovered, await has(socket, 3)], [true, ["kept", "a text", "missed"]]);
  },
  async "a link that is half open is taken over"(clients, [before, after]) {
    const watcher = await clients.connected("/", { auth: { who: "watcher" } });
    const socket = listens(await clients.connected("/", { auth: { who: "lost" }, transports: before }));
    const { id } = socket;
    watcher.emit("all", "first");
    await heard(socket, "said");
    // Nobody tells the server that the first one is gone.
    const second = listens(clients.open("/", { auth: { who: "lost", pid: socket._pid, offset: socket._lastOffset }, transports: after }));
    second._pid = socket._pid;
    const dropped = heard(socket, "disconnect");
    socket.io.reconnection(false);
    await heard(second, "connect");
    await dropped;
    watcher.emit("all", "second");
    assert.deepEqual([second.recovered, second.id === id, await has(second, 1), socket.said], [true, true, ["second"], ["first"]]);
  },
};

for (const parser of ["json", "msgpack"]) {
  describe(`recovery, ${parser}`, () => {
    const servers = [];
    const packets = {};
    before(async () => {
      const socketio = { recovery: "2m", parser };
      if (parser === "msgpack") packets.parser = await import("socket.io-msgpack-parser");
      servers.push(await node(server("node"), { socketio }), await doorway(server("doorway"), { socketio }));
    });
    after(() => Promise.all(servers.map((each) => each.stop())));

    for (const [way, transports] of Object.entries(ways)) {
      if (parser === "msgpack" && way !== "by both") continue;
      for (const [what, behaviour] of Object.entries(behaviours)) {
        test(`${way}: ${what}`, { timeout: 60_000 }, async () => {
          const seen = [];
          for (const each of servers) {
            const clients = new Clients(each.url, packets);
            seen.push(await behaviour(clients, transports).finally(() => clients.close()));
          }
          assert.deepEqual(seen[1], seen[0]);
        });
      }
      for (const [what, behaviour] of Object.entries(beyond)) {
        test(`${way}: ${what}`, { timeout: 60_000 }, async () => {
          const clients = new Clients(servers[1].url, packets);
          await behaviour(clients, transports).finally(() => clients.close());
        });
      }
    }

    test("the app hears the same", { timeout: 60_000 }, async () => {
      const heardOf = [];
      for (const each of servers) {
        asked[each.name].length = 0;
        const clients = new Clients(each.url, packets);
        const watcher = await clients.connected("/", { auth: { who: "watcher" } });
        const news = [];
        watcher.on("came", (...args) => args[0] === "lost" && news.push(args.slice(0, 3)));
        watcher.on("left", (_id, ...args) => news.push(args.slice(0, 2)));
        const socket = listens(await clients.connected("/", { auth: { who: "lost" } }));
        await socket.emitWithAck("paint", "green");
        watcher.emit("all", "first");
        await heard(socket, "said");
        await cut(socket, watcher);
        await back(socket);
        watcher.emit("all", "last");
        await heard(watcher, "said");
        heardOf.push([news, asked[each.name]]);
        clients.close();
      }
      assert.deepEqual(heardOf[1], heardOf[0]);
      assert.deepEqual(heardOf[1][0].at(-1), ["lost", true, "green"]);
    });

    test("who stays away for too long begins anew", { timeout: 60_000 }, async () => {
      for (const make of [node, doorway]) {
        const each = await make(server(make.name), { socketio: { recovery: "1ms", parser } });
        const clients = new Clients(each.url, packets);
        try {
          const watcher = await clients.connected("/", { auth: { who: "watcher" } });
          const socket = listens(await clients.connected("/", { auth: { who: "lost" } }));
          const { id } = socket;
          watcher.emit("all", "first");
          await heard(socket, "said");
          await cut(socket, watcher);
          watcher.emit("all", "missed");
          await watcher.emitWithAck("join", "x");
          await back(socket);
          assert.deepEqual([socket.recovered, socket.id === id, await has(socket, 1)], [false, false, ["first"]], each.name);
        } finally {
          clients.close();
          await each.stop();
        }
      }
    });
  });
}
