// A handler that asks clients holds nobody up, goes on where their answers come, and is never run a second time: as with
// Socket.IO's own server, which is asked the same.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Clients, doorway, heard, node } from "./harness/socketio.js";

/** The server, in code that both run. */
function behave(io) {
  const runs = new Map();
  io.on("connection", (socket) => {
    socket.on("echo", (value, ack) => ack(value));
    socket.on("join", async (room, ack) => {
      await socket.join(room);
      ack();
    });
    socket.on("remember", (key, value, ack) => {
      socket.data[key] = value;
      ack();
    });
    socket.on("recall", (ack) => ack({ ...socket.data }));
    socket.on("runs", (name, ack) => ack(runs.get(name)));
    socket.on("ask me", async (ms, ack) => ack(await socket.timeout(ms).emitWithAck("question").catch((error) => error.message)));
    socket.on("ready", async (ms, ack) => {
      runs.set("ready", (runs.get("ready") ?? 0) + 1);
      try {
        ack("all", await io.to("lobby").timeout(ms).emitWithAck("ready?"));
      } catch (error) {
        ack(error.message, error.responses);
      }
    });
    socket.on("long", async (ack) => {
      socket.emit("said", "before");
      socket.data.mine = await socket.emitWithAck("question", 1);
      await socket.join("those who answered");
      io.to("those who answered").emit("said", "between");
      const [two, three] = await Promise.all([socket.emitWithAck("question", 2), io.to("those who answered").timeout(20_000).emitWithAck("question", 3)]);
      const four = await new Promise((resolve) => socket.emit("question", 4, resolve));
      socket.emit("said", "after");
      ack([socket.data.mine, two, three, four]);
    });
    socket.on("never", async () => {
      await socket.timeout(300).emitWithAck("question").catch(() => {});
      socket.to("watchers").emit("said", "went on");
    });
  });
}

/** What `observe` sees with the Node server, and with Doorway. */
async function both(observe, options) {
  const servers = [await node(behave), await doorway(behave, options)];
  try {
    return await Promise.all(
      servers.map(async ({ url }) => {
        const clients = new Clients(url, { transports: ["websocket"] });
        try {
          return await observe(clients);
        } finally {
          clients.close();
        }
      }),
    );
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

/** Doorway gives a callback less time than its clients take: what one of them does in it counts for nobody else. */
const impatient = { callbacks: { events: ["connect", "message", "disconnect"], timeout: "3s" } };

describe("questions to clients", { timeout: 120_000 }, () => {
  test("seventy clients that never answer are asked once each, and others are served meanwhile", async () => {
    const [theirs, ours] = await both(async (clients) => {
      const silent = await Promise.all(Array.from({ length: 70 }, () => clients.connected()));
      const honest = await clients.connected();
      const asked = silent.map(() => 0);
      let answered = 0;
      const all = Promise.all(silent.map((socket) => heard(socket, "question")));
      for (const [i, socket] of silent.entries()) {
        socket.on("question", () => (asked[i] += 1));
        socket.emit("ask me", 60_000, () => (answered += 1));
      }
      await all;
      const echoes = [];
      for (let i = 0; i < 20; i += 1) echoes.push(await honest.emitWithAck("echo", i));
      // Their own next events are not held up either.
      const own = await Promise.all(silent.map((socket, i) => socket.emitWithAck("echo", i)));
      return { asked, answered, echoes, own };
    });
    assert.deepEqual(ours, theirs);
    assert.deepEqual([Math.max(...ours.asked), ours.answered], [1, 0]);
  });

  test("one silent client of three is waited for, and everyone is asked once", async () => {
    const [theirs, ours] = await both(async (clients) => {
      const sockets = await Promise.all([1, 2, 3].map(() => clients.connected()));
      let asked = 0;
      for (const [i, socket] of sockets.entries()) {
        await socket.emitWithAck("join", "lobby");
        socket.on("ready?", (ack) => void ((asked += 1), i > 0 && ack("yes")));
      }
      const asker = await clients.connected();
      // Longer than a callback may take.
      const outcome = await new Promise((resolve) => asker.emit("ready", 4500, (...answer) => resolve(answer)));
      return { outcome, asked, runs: await asker.emitWithAck("runs", "ready") };
    }, impatient);
    assert.deepEqual(ours, theirs);
    assert.deepEqual([ours.asked, ours.runs], [3, 1]);
  });

  test("a handler goes on after each answer, with what it had and what others changed", async () => {
    const [theirs, ours] = await both(async (clients) => {
      const socket = await clients.connected();
      const said = [];
      socket.on("said", (what) => said.push(what));
      let meanwhile;
      socket.on("question", async (n, ack) => {
        if (n === 1) meanwhile = await socket.emitWithAck("remember", "other", "kept").then(() => socket.emitWithAck("echo", "meanwhile"));
        ack(n * 10);
      });
      const answer = await socket.emitWithAck("long");
      return { answer, said, meanwhile, data: await socket.emitWithAck("recall") };
    });
    assert.deepEqual(ours, theirs);
    assert.deepEqual(ours.data, { other: "kept", mine: 10 });
  });

  test("a handler whose client has gone meanwhile goes on for the others", async () => {
    const [theirs, ours] = await both(async (clients) => {
      const [watcher, gone] = [await clients.connected(), await clients.connected()];
      await watcher.emitWithAck("join", "watchers");
      const said = heard(watcher, "said");
      gone.on("question", () => gone.disconnect());
      gone.emit("never");
      return said;
    });
    assert.deepEqual(ours, theirs);
  });

  test("one client has no more than its share of questions open", async () => {
    const server = await doorway(behave, { realtime: { max_questions: 4 } });
    const clients = new Clients(server.url, { transports: ["websocket"] });
    try {
      const [one, other] = [await clients.connected(), await clients.connected()];
      one.emit("ask me", 60_000, () => assert.fail("nobody answered"));
      await heard(one, "question");
      assert.match(await one.emitWithAck("ask me", 60_000), /max_questions/);
      other.on("question", (ack) => ack("I do"));
      assert.equal(await other.emitWithAck("ask me", 60_000), "I do");
    } finally {
      clients.close();
      await server.stop();
    }
  });

  test("what one client's handler throws is that one message's misfortune", async () => {
    const server = await doorway((io) => {
      io.use((socket, next) => {
        if (socket.handshake.auth.throws) throw new Error("in a middleware");
        next();
      });
      io.on("connection", (socket) => {
        socket.on("throw", () => {
          socket.emit("said", "before");
          throw new Error("in a handler");
        });
        socket.on("throw later", async () => {
          await socket.emitWithAck("question");
          throw new Error("after an answer");
        });
        socket.on("echo", (value, ack) => ack(value));
      });
    });
    const clients = new Clients(server.url, { transports: ["websocket"] });
    try {
      const sockets = await Promise.all(Array.from({ length: 40 }, () => clients.connected()));
      const said = sockets.map((socket) => heard(socket, "said"));
      const asked = sockets.map((socket) => new Promise((resolve) => socket.on("question", (ack) => resolve(ack()))));
      for (const socket of sockets) {
        socket.emit("throw", () => assert.fail("it was not acknowledged"));
        socket.emit("throw later", () => assert.fail("nor was this"));
      }
      await Promise.all([...said, ...asked]);
      const refused = clients.open("/", { auth: { throws: true } });
      assert.match((await heard(refused, "connect_error"))[0].message, /error/);
      const late = await clients.connected();
      assert.equal(await late.emitWithAck("echo", "late"), "late");
      assert.deepEqual(await Promise.all(sockets.map((socket, i) => socket.emitWithAck("echo", i))), sockets.map((_, i) => i));
    } finally {
      clients.close();
      await server.stop();
    }
  });
});
