// Tokens that `jose` signs in each algorithm, shown by a stock WebSocket, EventSource's fetch, and a stock Socket.IO client.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from "jose";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { config, Doorway } from "../browser/harness/doorway.js";
import { scratch } from "../browser/harness/paths.js";

const SECRET = "a secret of at least thirty-two bytes";

function sign(key, alg, claims = {}, kid) {
  return new SignJWT(claims).setProtectedHeader({ alg, kid }).setSubject("ada").setExpirationTime("10m").sign(key);
}

function start(tokens, more = {}) {
  return Doorway.start(
    config({
      app: { url: "off" },
      listen: { http: "127.0.0.1:0" },
      realtime: { origins: ["https://app.test"] },
      "realtime.tokens": { required: true, ...tokens },
      "realtime.plain": { echo: false },
      // Where a token is required, a channel is open only if a section or the token names it.
      "realtime.channel": [{ match: "room-*" }],
      ...more,
    }),
  );
}

async function says(socket) {
  const [data] = await once(socket, "message");
  return JSON.parse(data).data;
}

/** Opens a socket with `token` as a page does, and says something. */
async function comesIn(door, token) {
  const url = `${door.origin("http").replace("http", "ws")}/api/ws/room-1`;
  const socket = new WebSocket(url, ["doorway", `bearer.${token}`], { origin: "https://app.test" });
  await once(socket, "open");
  assert.equal(socket.protocol, "doorway", "the token is not said aloud");
  const heard = says(socket);
  socket.send("hello");
  assert.equal(await heard, "hello");
  socket.close();
  await once(socket, "close");
}

/** How a page's socket with `token` is closed. */
async function closed(door, token) {
  const socket = new WebSocket(`${door.origin("http").replace("http", "ws")}/api/ws/room-1?token=${token}`, { origin: "https://app.test" });
  const [code, reason] = await once(socket, "close");
  return [code, reason.toString()];
}

const keys = {};
before(async () => {
  for (const alg of ["RS256", "ES256", "EdDSA"]) keys[alg] = await generateKeyPair(alg, { extractable: true });
});

test("HS256, with a secret", async () => {
  const door = await start({ secret: SECRET });
  try {
    const secret = new TextEncoder().encode(SECRET);
    await comesIn(door, await sign(secret, "HS256"));
    for (const alg of ["HS384", "HS512"]) assert.equal((await closed(door, await sign(secret, alg)))[0], 3000, alg);
    assert.deepEqual(await closed(door, await sign(new TextEncoder().encode("x".repeat(32)), "HS256")), [3000, "the token is not one of ours"]);
    const old = await new SignJWT().setProtectedHeader({ alg: "HS256" }).setExpirationTime("-1m").sign(secret);
    assert.deepEqual(await closed(door, old), [3000, "expired"]);
  } finally {
    await door.stop();
  }
});

for (const alg of ["RS256", "ES256", "EdDSA"]) {
  test(`${alg}, with a public key, which signs nothing itself`, async () => {
    const directory = scratch();
    const pem = await exportSPKI(keys[alg].publicKey);
    writeFileSync(join(directory, "key.pem"), pem);
    const door = await start({ public_key: join(directory, "key.pem") });
    try {
      await comesIn(door, await sign(keys[alg].privateKey, alg));
      const forged = await sign(new TextEncoder().encode(pem), "HS256");
      assert.equal((await closed(door, forged))[0], 3000, "the public key is no secret");
      const other = await generateKeyPair(alg);
      assert.equal((await closed(door, await sign(other.privateKey, alg)))[0], 3000);
    } finally {
      await door.stop();
    }
  });
}

test("a set of keys, of all kinds, chosen by their ids", async () => {
  const directory = scratch();
  const set = await Promise.all(Object.entries(keys).map(async ([alg, { publicKey }]) => ({ ...(await exportJWK(publicKey)), kid: alg, alg })));
  writeFileSync(join(directory, "jwks.json"), JSON.stringify({ keys: set }));
  const door = await start({ jwks: join(directory, "jwks.json") });
  try {
    for (const [alg, { privateKey }] of Object.entries(keys)) {
      await comesIn(door, await sign(privateKey, alg, {}, alg));
      assert.equal((await closed(door, await sign(privateKey, alg, {}, "another")))[0], 3000, `${alg} under another id`);
    }
  } finally {
    await door.stop();
  }
});

test("history is read with a token in a header", async () => {
  const door = await start({ secret: SECRET });
  try {
    const token = await sign(new TextEncoder().encode(SECRET), "HS256", { subscribe: ["room-*"] });
    const read = (room, headers) => fetch(`${door.origin("http")}/api/ws/${room}`, { headers: { accept: "application/json", ...headers } });
    const authorization = `Bearer ${token}`;
    assert.equal((await read("room-1", { authorization })).status, 200);
    assert.equal((await read("lobby", { authorization })).status, 403);
    assert.equal((await read("room-1", {})).status, 401);
  } finally {
    await door.stop();
  }
});

test("a Socket.IO client comes in with a token too, and not without", async () => {
  const door = await start({ secret: SECRET });
  const token = await sign(new TextEncoder().encode(SECRET), "HS256");
  const clients = [];
  const connect = (options) => {
    const client = io(door.origin("http"), { path: "/api/ws/socket.io", reconnection: false, ...options });
    clients.push(client);
    return client;
  };
  try {
    for (const transports of [["websocket"], ["polling"]]) {
      const good = connect({ transports, query: { token } });
      await new Promise((resolve, reject) => good.on("connect", resolve).on("connect_error", reject));
      const bad = connect({ transports });
      await new Promise((resolve, reject) => bad.on("connect_error", resolve).on("connect", () => reject(new Error("it came in"))));
    }
  } finally {
    clients.forEach((client) => client.disconnect());
    await door.stop();
  }
});
