// The same server code and the same stock client, once with Socket.IO's own server and once with Doorway and a route
// handler: each observation must be the same. What the Node server does is not written down here; it is asked.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Clients, doorway, heard, node, until } from "./harness/socketio.js";

/** The server, in code that both run. */
function behave(io) {
  io.use((socket, next) => {
    const { token } = socket.handshake.auth;
    if (token === "none") return next(new Error("not authorized"));
    if (token === "data") return next(Object.assign(new Error("not authorized"), { data: { content: "Please retry later", list: [1, "ä"] } }));
    socket.data.token = token;
    next();
  });
  const common = (socket) => {
    socket.on("echo", (...args) => void (typeof args.at(-1) === "function" ? args.at(-1)(...args.slice(0, -1)) : socket.emit("echo", ...args)));
    socket.on("silent", () => {});
    socket.on("whoami", (ack) => ack(socket.id, socket.nsp.name));
    socket.on("two acks", (ack) => {
      ack("first");
      ack("second");
    });
    socket.on("join", async (room, ack) => {
      await socket.join(room);
      ack?.();
    });
    socket.on("leave", async (room, ack) => {
      await socket.leave(room);
      ack?.();
    });
    socket.on("to room", (room, ...args) => socket.to(room).emit("said", ...args));
    socket.on("in rooms", (rooms, ...args) => io.of(socket.nsp.name).to(rooms).emit("said", ...args));
    socket.on("except", (room, ...args) => io.of(socket.nsp.name).except(room).emit("said", ...args));
    socket.on("room except", (room, except, ...args) => io.of(socket.nsp.name).to(room).except(except).emit("said", ...args));
    socket.on("broadcast", (...args) => socket.broadcast.emit("said", ...args));
    socket.on("all", (...args) => io.of(socket.nsp.name).emit("said", ...args));
    socket.on("elsewhere", (namespace, ...args) => io.of(namespace).emit("said", ...args));
    socket.on("volatile", (...args) => socket.volatile.emit("said", ...args));
    socket.on("several", (ack) => {
      for (let i = 0; i < 20; i += 1) socket.emit("said", i);
      ack("done");
    });
    socket.on("many", (room, ack) => {
      const to = room === null ? socket : io.of(socket.nsp.name).to(room);
      for (let i = 0; i < 3000; i += 1) to.emit("said", i);
      ack("done");
    });
    socket.on("leave me", () => socket.disconnect());
    socket.on("close me", () => socket.disconnect(true));
    const asked = async (question) => {
      try {
        return ["answered", await question];
      } catch (error) {
        return [error.message, error.responses];
      }
    };
    socket.on("ask me", async (ms, ...rest) => rest.pop()(await asked(socket.timeout(ms).emitWithAck("question", ...rest))));
    socket.on("ask room", async (room, ms, ...rest) => rest.pop()(await asked(io.of(socket.nsp.name).to(room).timeout(ms).emitWithAck("question", ...rest))));
    socket.on("ask others", async (ms, ...rest) => rest.pop()(await asked(socket.broadcast.timeout(ms).emitWithAck("question", ...rest))));
    // The same with callbacks: what they do is done, in its order.
    socket.on("call me", (...rest) => {
      const ack = rest.pop();
      socket.emit("question", ...rest, (...answers) => {
        socket.emit("said", "in the callback");
        ack(...answers);
      });
    });
    socket.on("call me in time", (ms, ...rest) => {
      const ack = rest.pop();
      socket.timeout(ms).emit("question", ...rest, (error, ...answers) => ack(error?.message ?? null, ...answers));
    });
    socket.on("call room", (room, ms, ...rest) => {
      const ack = rest.pop();
      io.of(socket.nsp.name).to(room).timeout(ms).emit("question", ...rest, (error, answers) => ack(error?.message ?? null, answers));
    });
    socket.on("later", (ms, ...args) => void setTimeout(() => io.of(socket.nsp.name).emit("said", ...args), ms));
    socket.on("end", () => io.of(socket.nsp.name).emit("end"));
    socket.on("remember", (value, ack) => {
      socket.data.value = value;
      ack();
    });
    socket.on("recall", (ack) => ack(socket.data.value, socket.data.token));
    socket.on("handshake", (ack) => ack(socket.handshake.auth, socket.handshake.query.color));
    socket.on("bytes", (bytes, ack) => ack(Buffer.from(bytes).length, Buffer.concat([Buffer.from("<"), Buffer.from(bytes), Buffer.from(">")])));
    socket.on("disconnect", (reason) => io.of(socket.nsp.name).to("watchers").emit("left", reason));
  };
  io.on("connection", (socket) => {
    socket.emit("welcome", { hello: "world" });
    socket.join("all of them");
    common(socket);
  });
  io.of("/admin").on("connection", common);
  io.of(/^\/dynamic-\d+$/).on("connection", common);
}

/** Why the client thinks that the server ended it. */
async function ended(socket) {
  const [reason] = await heard(socket, "disconnect");
  return reason;
}

const transports = { polling: ["polling"], websocket: ["websocket"], both: ["polling", "websocket"] };

/** Each is one behaviour: what it gives back is compared. */
const behaviours = {
  async "a client connects and is welcomed"(clients) {
    const socket = clients.open();
    const [welcome] = await Promise.all([heard(socket, "welcome"), heard(socket, "connect")]);
    return [welcome, typeof socket.id, socket.id.length, socket.connected, socket.recovered];
  },
  async "an event comes back with each kind of argument"(clients) {
    const socket = await clients.connected();
    const args = [1, -1.5, 1e21, "text", "", "ä€😀\u2028\"\\\n\u0000", true, false, null, [], {}, [[["deep"]]], { a: { b: [1, { c: null }] } }];
    socket.emit("echo", ...args);
    return heard(socket, "echo");
  },
  async "an event without arguments"(clients) {
    const socket = await clients.connected();
    socket.emit("echo");
    return heard(socket, "echo");
  },
  async "what JSON cannot say becomes what JSON.stringify makes of it"(clients) {
    const socket = await clients.connected();
    socket.emit("echo", undefined, NaN, Infinity, new Date(0), { gone: undefined, kept: 1 }, [undefined]);
    return heard(socket, "echo");
  },
  async "an acknowledgement with several values"(clients) {
    const socket = await clients.connected();
    return new Promise((resolve) => socket.emit("echo", 1, "two", [3], (...args) => resolve(args)));
  },
  async "an acknowledgement with nothing"(clients) {
    const socket = await clients.connected();
    return new Promise((resolve) => socket.emit("echo", (...args) => resolve(args)));
  },
  async "emitWithAck resolves"(clients) {
    const socket = await clients.connected();
    return socket.emitWithAck("echo", [1, 2]);
  },
  async "an acknowledgement that never comes times out"(clients) {
    const socket = await clients.connected();
    return socket.timeout(100).emitWithAck("silent").catch((error) => error.message);
  },
  async "an acknowledgement in time is no time-out"(clients) {
    const socket = await clients.connected();
    return socket.timeout(20_000).emitWithAck("echo", "in time");
  },
  async "only the first acknowledgement counts"(clients) {
    const socket = await clients.connected();
    const got = [];
    await new Promise((resolve) => socket.emit("two acks", (value) => resolve(got.push(value))));
    await socket.emitWithAck("echo");
    return got;
  },
  async "bytes in an event"(clients) {
    const socket = await clients.connected();
    socket.emit("echo", Buffer.from([0, 1, 254, 255]));
    const [bytes] = await heard(socket, "echo");
    return [...Buffer.from(bytes)];
  },
  async "bytes mixed with text, nested and several"(clients) {
    const socket = await clients.connected();
    socket.emit("echo", "a", { one: Buffer.from("1"), list: [Buffer.from("2"), { three: Buffer.from("3") }] }, Buffer.from(""), 7);
    const args = await heard(socket, "echo");
    return JSON.parse(JSON.stringify(args, (_, value) => (value?.type === "Buffer" ? Buffer.from(value.data).toString() : value)));
  },
  async "bytes in an acknowledgement, both ways"(clients) {
    const socket = await clients.connected();
    return new Promise((resolve) => socket.emit("bytes", Buffer.from("abc"), (length, bytes) => resolve([length, Buffer.from(bytes).toString()])));
  },
  async "an ArrayBuffer and a view of one"(clients) {
    const socket = await clients.connected();
    const { buffer } = new Uint8Array([1, 2, 3]);
    socket.emit("echo", buffer, new Uint8Array([4, 5]));
    const args = await heard(socket, "echo");
    return args.map((bytes) => [...Buffer.from(bytes)]);
  },
  async "many bytes"(clients) {
    const socket = await clients.connected();
    const bytes = Buffer.alloc(300_000, 7);
    socket.emit("echo", bytes);
    const [back] = await heard(socket, "echo");
    return bytes.equals(Buffer.from(back));
  },
  async "more text than fits in one read"(clients) {
    const socket = await clients.connected();
    const text = "ä".repeat(200_000);
    return (await socket.emitWithAck("echo", text)) === text;
  },
  async "twenty events come in order, before the acknowledgement after them"(clients) {
    const socket = await clients.connected();
    const got = [];
    socket.on("said", (i) => got.push(i));
    got.push(await socket.emitWithAck("several"));
    return got;
  },
  async "three thousand events from one handler come in order"(clients) {
    const socket = await clients.connected();
    const got = [];
    socket.on("said", (i) => got.push(i));
    got.push(await socket.emitWithAck("many", null));
    return got;
  },
  async "three thousand events to a room from one handler reach each in it"(clients) {
    const [one, other] = [await clients.connected(), await clients.connected()];
    for (const socket of [one, other]) await socket.emitWithAck("join", "crowd");
    const all = [one, other].map((socket) => until(socket, "end"));
    await one.emitWithAck("many", "crowd");
    one.emit("end");
    return Promise.all(all);
  },
  async "a hundred events of a client are handled in order"(clients) {
    const socket = await clients.connected();
    const got = [];
    const all = [];
    for (let i = 0; i < 100; i += 1) all.push(socket.emitWithAck("echo", i).then((value) => got.push(value)));
    await Promise.all(all);
    return got;
  },
  async "what is emitted before the connection waits for it"(clients) {
    const socket = clients.open();
    return socket.emitWithAck("echo", "early");
  },
  async "what is emitted volatile before the connection is lost"(clients) {
    const socket = clients.open();
    const events = until(socket, "end");
    socket.volatile.emit("echo", "lost");
    socket.emit("end");
    return events;
  },
  async "send is the event message"(clients) {
    const socket = await clients.connected();
    return new Promise((resolve) => {
      socket.emit("echo", "x", (x) => resolve(x));
      socket.send("nobody listens");
    });
  },
  async "a refusal is a connect_error with its message"(clients) {
    const socket = clients.open("/", { auth: { token: "none" } });
    const [error] = await heard(socket, "connect_error");
    return [error.message, error.data, socket.connected, socket.active];
  },
  async "a refusal with data"(clients) {
    const socket = clients.open("/", { auth: { token: "data" } });
    const [error] = await heard(socket, "connect_error");
    return [error.message, error.data];
  },
  async "a refused client may try again with another token"(clients) {
    const socket = clients.open("/", { auth: { token: "none" } });
    await heard(socket, "connect_error");
    socket.auth = { token: "good" };
    socket.connect();
    await heard(socket, "connect");
    return socket.emitWithAck("handshake");
  },
  async "auth as a function"(clients) {
    const socket = await clients.connected("/", { auth: (give) => give({ token: "later" }) });
    return new Promise((resolve) => socket.emit("handshake", (...args) => resolve(args)));
  },
  async "the query of the handshake"(clients) {
    const socket = await clients.connected("/", { query: { color: "blue & green" } });
    return new Promise((resolve) => socket.emit("handshake", (...args) => resolve(args)));
  },
  async "socket.data stays between events"(clients) {
    const socket = await clients.connected("/", { auth: { token: "t" } });
    await socket.emitWithAck("remember", { a: [1] });
    return new Promise((resolve) => socket.emit("recall", (...args) => resolve(args)));
  },
  async "a namespace"(clients) {
    const socket = await clients.connected("/admin");
    const [id, name] = await new Promise((resolve) => socket.emit("whoami", (...args) => resolve(args)));
    return [id === socket.id, name];
  },
  async "a namespace by pattern"(clients) {
    const socket = await clients.connected("/dynamic-42");
    return (await new Promise((resolve) => socket.emit("whoami", (...args) => resolve(args))))[1];
  },
  async "a namespace that is not there"(clients) {
    const socket = clients.open("/nowhere");
    const [error] = await heard(socket, "connect_error");
    return [error.message, error.data, socket.active];
  },
  async "two namespaces on one connection have ids of their own"(clients) {
    const root = await clients.connected("/");
    const admin = root.io.socket("/admin");
    await heard(admin, "connect");
    const [one, other] = await Promise.all([root.emitWithAck("whoami"), admin.emitWithAck("whoami")]);
    return [one === root.id, other === admin.id, one === other];
  },
  async "namespaces do not hear each other"(clients) {
    const root = await clients.connected("/");
    const admin = root.io.socket("/admin");
    await heard(admin, "connect");
    const events = until(admin, "end");
    await root.emitWithAck("echo");
    root.emit("all", "for the root");
    await heard(root, "said");
    admin.emit("end");
    return events;
  },
  async "one namespace speaks to another"(clients) {
    const root = await clients.connected("/");
    const admin = await clients.connected("/admin");
    root.emit("elsewhere", "/admin", "from afar");
    return heard(admin, "said");
  },
  async "leaving one namespace leaves the other alone"(clients) {
    const root = await clients.connected("/");
    const admin = root.io.socket("/admin");
    await heard(admin, "connect");
    admin.disconnect();
    return [await root.emitWithAck("echo", "still here"), admin.connected, root.connected];
  },
  async "a room hears what is said to it, but for the sender"(clients) {
    const [one, other, stranger] = [await clients.connected(), await clients.connected(), await clients.connected()];
    await Promise.all([one.emitWithAck("join", "r"), other.emitWithAck("join", "r")]);
    const all = [one, other, stranger].map((socket) => until(socket, "end"));
    one.emit("to room", "r", "hello", { room: true });
    await one.emitWithAck("echo");
    one.emit("end");
    return Promise.all(all);
  },
  async "whoever is in two rooms hears it once"(clients) {
    const [one, other] = [await clients.connected(), await clients.connected()];
    await one.emitWithAck("join", ["a", "b"]);
    await other.emitWithAck("join", "b");
    const all = [one, other].map((socket) => until(socket, "end"));
    one.emit("in rooms", ["a", "b"], "once");
    one.emit("end");
    return Promise.all(all);
  },
  async "all but a room"(clients) {
    const [one, other] = [await clients.connected(), await clients.connected()];
    await other.emitWithAck("join", "quiet");
    const all = [one, other].map((socket) => until(socket, "end"));
    one.emit("except", "quiet", 1);
    one.emit("end");
    return Promise.all(all);
  },
  async "a room but for those of another"(clients) {
    const [one, other] = [await clients.connected(), await clients.connected()];
    await one.emitWithAck("join", "big");
    await other.emitWithAck("join", ["big", "small"]);
    const all = [one, other].map((socket) => until(socket, "end"));
    one.emit("room except", "big", "small", 1);
    one.emit("end");
    return Promise.all(all);
  },
  async "each client is in the room of its id"(clients) {
    const [one, other] = [await clients.connected(), await clients.connected()];
    one.emit("to room", other.id, "psst");
    return heard(other, "said");
  },
  async "all but one by its id"(clients) {
    const [one, other] = [await clients.connected(), await clients.connected()];
    const all = [one, other].map((socket) => until(socket, "end"));
    one.emit("except", other.id, 1);
    one.emit("end");
    return Promise.all(all);
  },
  async "whoever left a room hears it no more"(clients) {
    const socket = await clients.connected();
    await socket.emitWithAck("join", "r");
    await socket.emitWithAck("leave", "r");
    const events = until(socket, "end");
    socket.emit("in rooms", ["r"], "too late");
    socket.emit("end");
    return events;
  },
  async "rooms joined on connection"(clients) {
    const [one, other] = [await clients.connected(), await clients.connected()];
    one.emit("to room", "all of them", 1);
    return heard(other, "said");
  },
  async "rooms of other names than letters"(clients) {
    const [one, other] = [await clients.connected(), await clients.connected()];
    const got = [];
    for (const room of ["/", "/admin", "a#b", "ü 😀", "x,y", "42"]) {
      await other.emitWithAck("join", room);
      one.emit("to room", room, room);
      got.push(await heard(other, "said"));
    }
    return got;
  },
  async "rooms of one name in two namespaces are two"(clients) {
    const [root, admin] = [await clients.connected("/"), await clients.connected("/admin")];
    await Promise.all([root.emitWithAck("join", "r"), admin.emitWithAck("join", "r")]);
    const events = until(root, "end");
    admin.emit("in rooms", ["r"], "in admin");
    await heard(admin, "said");
    root.emit("end");
    return events;
  },
  async "a broadcast reaches the others"(clients) {
    const [one, other] = [await clients.connected(), await clients.connected()];
    const all = [one, other].map((socket) => until(socket, "end"));
    one.emit("broadcast", Buffer.from("bytes").toString(), { to: "others" });
    await one.emitWithAck("echo");
    one.emit("end");
    return Promise.all(all);
  },
  async "bytes to a room"(clients) {
    const [one, other] = [await clients.connected(), await clients.connected()];
    await other.emitWithAck("join", "r");
    one.emit("to room", "r", { file: Buffer.from("content") }, "name");
    const [{ file }, name] = await heard(other, "said");
    return [Buffer.from(file).toString(), name];
  },
  async "a volatile event reaches who can take it"(clients) {
    const socket = await clients.connected();
    socket.emit("volatile", "now");
    return heard(socket, "said");
  },
  async "the server asks the client whose event it handles"(clients) {
    const socket = await clients.connected();
    socket.on("question", (a, b, ack) => ack(a + b, "not this"));
    return socket.emitWithAck("ask me", 20_000, 1, 2);
  },
  async "the server asks a client that does not answer"(clients) {
    const socket = await clients.connected();
    socket.on("question", () => {});
    return socket.emitWithAck("ask me", 300, 1);
  },
  async "the server asks a room, and hears each of its answers"(clients) {
    const [one, other, stranger] = [await clients.connected(), await clients.connected(), await clients.connected()];
    for (const socket of [one, other]) await socket.emitWithAck("join", "asked");
    one.on("question", (n, ack) => ack({ one: n }));
    other.on("question", (n, ack) => ack({ other: n }));
    stranger.on("question", (n, ack) => ack("I am not in it"));
    const [outcome, responses] = await stranger.emitWithAck("ask room", "asked", 20_000, 7);
    return [outcome, responses.map((response) => JSON.stringify(response)).sort()];
  },
  async "the server asks others, of whom one does not answer"(clients) {
    const [one, other, silent] = [await clients.connected(), await clients.connected(), await clients.connected()];
    one.on("question", (bytes, ack) => ack("I ask"));
    other.on("question", (bytes, ack) => ack(Buffer.concat([Buffer.from(bytes), Buffer.from("!")])));
    silent.on("question", () => {});
    const [outcome, responses] = await one.emitWithAck("ask others", 500, Buffer.from("bytes"));
    return [outcome, responses.map((response) => Buffer.from(response).toString())];
  },
  async "the server asks with a callback"(clients) {
    const socket = await clients.connected();
    socket.on("question", (a, b, ack) => ack(a + b, Buffer.from("and this")));
    const said = heard(socket, "said");
    const two = await new Promise((resolve) => socket.emit("call me", 1, 2, (...answers) => resolve(answers)));
    return [two.map(String), await said];
  },
  async "the server asks with a callback and a time, and is answered"(clients) {
    const socket = await clients.connected();
    socket.on("question", (n, ack) => ack(n + 1, "this too"));
    return new Promise((resolve) => socket.emit("call me in time", 20_000, 1, (...answers) => resolve(answers)));
  },
  async "the server asks with a callback and a time, and is not answered"(clients) {
    const socket = await clients.connected();
    socket.on("question", () => {});
    return new Promise((resolve) => socket.emit("call me in time", 300, 1, (...answers) => resolve(answers)));
  },
  async "the server asks a room with a callback, and one does not answer"(clients) {
    const [one, silent, asker] = [await clients.connected(), await clients.connected(), await clients.connected()];
    for (const socket of [one, silent]) await socket.emitWithAck("join", "called");
    one.on("question", (n, ack) => ack(n * 2));
    const answered = await new Promise((resolve) => asker.emit("call room", "called", 500, 7, (...answers) => resolve(answers)));
    silent.on("question", (n, ack) => ack(n * 2));
    const all = await new Promise((resolve) => asker.emit("call room", "called", 20_000, 8, (...answers) => resolve(answers)));
    return [answered, all];
  },
  async "while one handler waits for its client, others are served"(clients) {
    const [asked, other] = [await clients.connected(), await clients.connected()];
    const question = new Promise((resolve) => asked.once("question", (n, ack) => resolve(ack)));
    const outcome = asked.emitWithAck("ask me", 20_000, 1);
    const ack = await question;
    const echoed = await other.emitWithAck("echo", "meanwhile");
    ack("late");
    return [echoed, await outcome];
  },
  async "a handler that is done emits from a timer"(clients) {
    const [one, other] = [await clients.connected(), await clients.connected()];
    const all = Promise.all([heard(one, "said"), heard(other, "said")]);
    one.emit("later", 50, "still", Buffer.from("here"));
    return (await all).map((args) => args.map(String));
  },
  async "the server asks an empty room"(clients) {
    const socket = await clients.connected();
    return socket.emitWithAck("ask room", "empty", 20_000, 1);
  },
  async "the server has a client leave"(clients) {
    const socket = await clients.connected();
    socket.emit("leave me");
    const [reason] = await heard(socket, "disconnect");
    return [reason, socket.active, socket.connected];
  },
  async "the server closes a connection"(clients) {
    const root = await clients.connected("/");
    const admin = root.io.socket("/admin");
    await heard(admin, "connect");
    admin.emit("close me");
    return Promise.all([root, admin].map((socket) => heard(socket, "disconnect").then(([reason]) => reason)));
  },
  async "a client that leaves is reported with its reason"(clients) {
    const watcher = await clients.connected();
    await watcher.emitWithAck("join", "watchers");
    const socket = await clients.connected();
    socket.disconnect();
    return heard(watcher, "left");
  },
  async "a client whose connection ends is reported with its reason"(clients) {
    const watcher = await clients.connected();
    await watcher.emitWithAck("join", "watchers");
    const socket = await clients.connected("/", { reconnection: false });
    socket.io.engine.close();
    return heard(watcher, "left");
  },
  async "a client that left comes back as another"(clients) {
    const socket = await clients.connected();
    const { id } = socket;
    socket.disconnect().connect();
    await heard(socket, "connect");
    return [socket.id === id, socket.recovered, await socket.emitWithAck("echo", 1)];
  },
  async "a client that lost its connection comes back as another"(clients) {
    const socket = await clients.connected("/", { reconnectionDelay: 10 });
    const { id } = socket;
    const left = heard(socket, "disconnect");
    const back = heard(socket, "connect");
    socket.io.engine.close();
    const [reason] = await left;
    await back;
    return [reason, socket.id === id, socket.recovered, await socket.emitWithAck("echo", 1)];
  },
  async "a reserved event name ends the connection"(clients) {
    const socket = await clients.connected("/", { reconnection: false });
    socket.io._packet({ type: 2, nsp: "/", data: ["connect_error", 1] });
    return ended(socket);
  },
  async "a packet for a namespace that was not joined ends the connection"(clients) {
    const socket = await clients.connected("/", { reconnection: false });
    socket.io._packet({ type: 2, nsp: "/admin", data: ["echo", 1] });
    return ended(socket);
  },
  async "what is no packet ends the connection"(clients) {
    const socket = await clients.connected("/", { reconnection: false });
    socket.io.engine.write("2[not json");
    return ended(socket);
  },
  async "too many attachments end the connection"(clients) {
    const socket = await clients.connected("/", { reconnection: false });
    socket.emit("echo", Array.from({ length: 11 }, () => Buffer.from("x")));
    return ended(socket);
  },
  async "connecting twice to a namespace ends the connection"(clients) {
    const socket = await clients.connected("/", { reconnection: false });
    socket.io._packet({ type: 0, nsp: "/" });
    return ended(socket);
  },
};

for (const [transport, list] of Object.entries(transports)) {
  describe(`the stock client by ${transport}`, () => {
    let servers;
    before(async () => {
      servers = [await doorway(behave)];
      servers.unshift(await node(behave));
    });
    after(() => Promise.all(servers.map((server) => server.stop())));

    for (const [name, observe] of Object.entries(behaviours)) {
      test(name, { timeout: 60_000 }, async () => {
        const [theirs, ours] = await Promise.all(
          servers.map(async ({ url }) => {
            const clients = new Clients(url, { transports: list });
            try {
              return await observe(clients);
            } finally {
              clients.close();
            }
          }),
        );
        assert.deepEqual(ours, theirs);
      });
    }
  });
}
