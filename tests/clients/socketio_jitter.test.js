// Five hundred stock clients whose connections are cut at random for a minute, by every transport: each event reaches
// each of them once and in order, and each of them stays who it is.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { Clients, doorway, heard } from "./harness/socketio.js";

const CLIENTS = 500;
const MINUTE = 60_000;

const transports = [["websocket"], ["polling"], ["polling", "websocket"]];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A client that writes down what it hears, and how often it came back. */
function listener(clients, place) {
  const socket = clients.open("/", { transports: transports[place % 3], reconnectionDelay: 20, reconnectionDelayMax: 500 });
  Object.assign(socket, { heard: [], returns: 0, lost: 0, ids: new Set() });
  socket.on("message", ({ data }) => socket.heard.push(data));
  socket.on("connect", () => {
    if (socket.ids.size > 0) socket[socket.recovered ? "returns" : "lost"] += 1;
    socket.ids.add(socket.id);
  });
  return socket;
}

/** A network between clients and the door, which breaks connections without a word. */
async function network(target) {
  const open = new Set();
  const server = createServer((near) => {
    const far = connect(Number(new URL(target).port), "127.0.0.1");
    const both = [near, far];
    open.add(both);
    const end = () => {
      open.delete(both);
      both.forEach((socket) => socket.destroy());
    };
    for (const socket of both) socket.setNoDelay(true).on("error", end).on("close", end);
    near.pipe(far).pipe(near);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cut() {
      const all = [...open];
      all[Math.floor(Math.random() * all.length)]?.forEach((socket) => socket.resetAndDestroy());
    },
    stop() {
      for (const both of open) both.forEach((socket) => socket.destroy());
      server.close();
    },
  };
}

test("each event reaches each client once and in order", { timeout: 5 * MINUTE }, async () => {
  const door = await doorway(undefined, { socketio: { recovery: "2m" } });
  const between = await network(door.url);
  const clients = new Clients(between.url);
  const direct = new Clients(door.url);
  try {
    const sockets = Array.from({ length: CLIENTS }, (_, place) => listener(clients, place));
    await Promise.all(sockets.map((socket) => (socket.connected ? undefined : heard(socket, "connect"))));
    const teller = await direct.connected("/", { transports: ["websocket"] });
    const end = Date.now() + MINUTE;
    let [told, cuts] = [0, 0];
    while (Date.now() < end) {
      teller.emit("message", told);
      told += 1;
      for (let i = 0; i < 8; i += 1) {
        between.cut();
        cuts += 1;
      }
      await pause(200);
    }
    teller.emit("message", told);
    told += 1;
    const last = Date.now() + MINUTE;
    const isBehind = (socket) => socket.heard.at(-1) !== told - 1;
    while (sockets.some(isBehind) && Date.now() < last) await pause(50);
    const expected = Array.from({ length: told }, (_, number) => number);
    for (const [place, socket] of sockets.entries()) assert.deepEqual(socket.heard, expected, `client ${place}`);
    const sum = (key) => sockets.reduce((sum, socket) => sum + socket[key], 0);
    assert.equal(sum("lost"), 0, "begun anew");
    assert.ok(sockets.every(({ ids }) => ids.size === 1));
    assert.ok(sum("returns") > cuts / 4, `${sum("returns")} of ${cuts} came back`);
    console.log(`${told} events, ${cuts} cuts, ${sum("returns")} returns`);
  } finally {
    clients.close();
    direct.close();
    between.stop();
    await door.stop();
  }
});
