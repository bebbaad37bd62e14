// The page "when something is wrong": each symptom comes of what stands beside it, and goes with the remedy.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer, request } from "node:http";
import { get as getSecure } from "node:https";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { SignJWT } from "jose";
import WebSocket from "ws";
import { config, Doorway } from "../../browser/harness/doorway.js";
import { paths } from "../../browser/harness/paths.js";
import { read } from "../harness/guides.js";

const ANY = "127.0.0.1:0";
/** Where a symptom that takes more to bring about has its test. */
const ELSEWHERE = {
  1013: "tests/it/realtime/slow.rs",
  "an old page after a deploy": "tests/clients/guides/shell.test.js",
};

const [, section] = /## When something is wrong\n(.*?)(?=\n## |$)/s.exec(read("src/server/README.md"));
const symptoms = [...section.matchAll(/^\| (.+?) \| (.+) \|$/gm)].map(([, symptom]) => symptom).filter((symptom) => symptom !== "what you see");
const tried = [];

/** A test of one symptom, with a door of `settings` before the app below. */
function symptom(name, settings, act) {
  tried.push(name);
  test(name, async () => {
    const door = await Doorway.start(config({ listen: { http: ANY }, app: { url: app.url }, ...settings }));
    try {
      await act(door);
    } finally {
      await door.stop();
    }
  });
}

const app = createServer(async (request, response) => {
  if (request.url === "/never") return;
  if (request.url === "/breaks") return request.socket.destroy();
  if (request.url === "/round") return proxy(request, response);
  if (request.url === "/welcome") return response.end('{"user":"ada"}');
  response.end(request.method === "POST" ? '{"allow":false,"reason":"the app says no"}' : "app");
});
before(async () => {
  await once(app.listen(0, "127.0.0.1"), "listening");
  app.url = `http://127.0.0.1:${app.address().port}`;
});
after(() => {
  app.close();
  app.closeAllConnections();
});

/** A hop that leads back to the door. */
function proxy(from, response) {
  const { port, headers } = { port: app.leadsTo, headers: from.headers };
  request({ host: "127.0.0.1", port, path: from.url, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  }).end();
}

/** How a socket is let in or refused: its status and headers, and what is said with it. */
function knocks(door, path, options = {}) {
  const socket = new WebSocket(`${door.origin("http").replace("http", "ws")}${path}`, options.protocols, options);
  return new Promise((resolve, reject) => {
    socket.on("open", () => resolve({ status: 101, socket }));
    socket.on("error", reject);
    socket.on("unexpected-response", async (_, answer) => {
      resolve({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(await answer.toArray()).toString() });
    });
  });
}

const code = async (socket) => (await once(socket, "close"))[0];

async function asks(port, path, headers = {}, method = "GET") {
  const asked = request({ host: "127.0.0.1", port, path, headers, method, agent: false }).end();
  const [answer] = await once(asked, "response");
  return { status: answer.statusCode, text: Buffer.concat(await answer.toArray()).toString() };
}

test("every line of the page is tried", () => {
  const known = [...tried, ...Object.keys(ELSEWHERE)];
  assert.deepEqual(symptoms.filter((name) => !known.includes(name)), []);
  assert.deepEqual(known.filter((name) => !symptoms.includes(name)), [], "the page has it no more");
  for (const file of Object.values(ELSEWHERE)) assert.ok(existsSync(join(paths.root, file)), file);
});

symptom("403 on a socket", { realtime: { origins: ["https://named.example"] }, callbacks: { events: ["connect"], path: "/callbacks" } }, async (door) => {
  const foreign = await knocks(door, "/api/ws", { origin: "https://foreign.example" });
  assert.equal(foreign.status, 403);
  const refused = await knocks(door, "/api/ws");
  assert.equal(refused.status, 403);
  assert.match(refused.text, /the app says no/);
});

symptom("403 on the callbacks' route", { callbacks: { events: ["connect"], path: "/callbacks" } }, async (door) => {
  assert.equal((await asks(door.port("http"), "/callbacks", {}, "POST")).status, 403);
});

symptom('404 "No WebSocket is spoken at this address"', {}, async (door) => {
  const { status, text } = await knocks(door, "/socket");
  assert.equal(status, 404);
  const [, words] = /^\| 404 "(.+?)" /m.exec(section);
  assert.ok(text.includes(words), text);
});

symptom("421", { http: { hosts: ["site.example"] } }, async (door) => {
  assert.equal((await asks(door.port("http"), "/", { host: "site.example" })).status, 200);
  assert.equal((await asks(door.port("http"), "/", { host: "other.example" })).status, 421);
});

symptom("508", {}, async (door) => {
  app.leadsTo = door.port("http");
  assert.equal((await asks(door.port("http"), "/round")).status, 508);
});

symptom("a TLS error of the browser on `https://`", {}, async (door) => {
  const [error] = await once(getSecure(`https://127.0.0.1:${door.port("http")}/`), "error");
  assert.ok(error);
  await door.said("so", ({ level, message }) => level === "WARN" && /TLS/.test(message));
});

symptom("429, 503 with `Retry-After` on a socket", { realtime: { max_connections: 2, max_connections_per_address: 1 } }, async (door) => {
  const { socket } = await knocks(door, "/api/ws");
  const second = await knocks(door, "/api/ws");
  assert.equal(second.status, 429);
  assert.ok(second.headers["retry-after"]);
  const others = await Promise.all([2, 3].map((at) => knocks(door, "/api/ws", { localAddress: `127.0.0.${at}` })));
  const full = others.find(({ status }) => status !== 101);
  assert.equal(full.status, 503);
  assert.ok(full.headers["retry-after"]);
  socket.close();
});

symptom("502, 503, 504 on a page", { app: { url: "off" } }, async () => {
  const mortal = createServer((_, response) => response.end("here")).listen(0, "127.0.0.1");
  await once(mortal, "listening");
  const start = (settings) => Doorway.start(config({ listen: { http: ANY }, app: settings }));
  const away = await start({ url: `http://127.0.0.1:${mortal.address().port}`, wait_timeout: "0s" });
  const door = await start({ url: app.url, answer_timeout: "1s" });
  try {
    mortal.close();
    mortal.closeAllConnections();
    await once(mortal, "close");
    assert.equal((await asks(away.port("http"), "/")).status, 503);
    await away.said("the cause", ({ message, ...said }) => message === "failed" && /refused/.test(JSON.stringify(said)));
    assert.equal((await asks(door.port("http"), "/breaks", {}, "POST")).status, 502);
    const late = await fetch(`${door.origin("http")}/never`);
    assert.equal(late.status, 504);
    const id = late.headers.get("x-request-id");
    await door.said("the cause of just this one", ({ message, request_id }) => message === "failed" && request_id === id);
    assert.match(await (await door.admin("/metrics")).text(), /^doorway_upstream_/m);
  } finally {
    await door.stop();
    await away.stop();
  }
});

symptom("close code 1001, 1012", {}, async (door) => {
  const { socket } = await knocks(door, "/api/ws");
  const ended = code(socket);
  await door.stop();
  assert.equal(await ended, 1001);
  const restarting = await Doorway.start(config({ listen: { http: ANY }, app: { url: app.url }, realtime: { restarts: true } }));
  const again = code((await knocks(restarting, "/api/ws")).socket);
  await restarting.stop();
  assert.equal(await again, 1012);
});

symptom("1006", {}, async (door) => {
  const { socket } = await knocks(door, "/api/ws");
  door.signal("SIGKILL");
  assert.equal(await code(socket), 1006);
});

symptom("1008", { callbacks: { events: ["connect"], path: "/welcome" }, "realtime.channel": [{ match: "default" }] }, async (door) => {
  const { socket } = await knocks(door, "/api/ws");
  const ended = once(socket, "close");
  const body = JSON.stringify({ user: "ada", reason: "enough" });
  const answer = await fetch(`http://${door.addresses.admin}/_doorway/api/v1/disconnect`, { method: "POST", headers: { "content-type": "application/json" }, body });
  assert.deepEqual(await answer.json(), { connections: 1 });
  const [status, reason] = await ended;
  assert.deepEqual([status, reason.toString()], [1008, "enough"]);
});

symptom("1009", { "realtime.websocket": { max_message: "1KiB" } }, async (door) => {
  const { socket } = await knocks(door, "/api/ws");
  socket.send("x".repeat(2000));
  assert.equal(await code(socket), 1009);
});

const tokens = { realtime: { origins: ["https://app.example"] }, "realtime.tokens": { required: true, secret: "a-secret-of-at-least-thirty-two-bytes" } };
symptom("3000, 3003", { app: { url: "off" }, ...tokens }, async (door) => {
  const { socket } = await knocks(door, "/api/ws/room?token=nonsense", { origin: "https://app.example" });
  assert.equal(await code(socket), 3000);
  const key = new TextEncoder().encode(tokens["realtime.tokens"].secret);
  const token = await new SignJWT({ subscribe: ["lounge"] }).setProtectedHeader({ alg: "HS256" }).setSubject("ada").setExpirationTime("5m").sign(key);
  const elsewhere = await knocks(door, `/api/ws/room?token=${token}`, { origin: "https://app.example" });
  assert.equal(await code(elsewhere.socket), 3003);
});

symptom("4001 to 4301", { "realtime.pusher": [{ id: "1", key: "app-key", secret: "not-a-secret" }] }, async (door) => {
  const { socket } = await knocks(door, "/app/another-key?protocol=7");
  assert.equal(await code(socket), 4001);
});

symptom("everybody counts as one address", { listen: { http: ANY, trusted_proxies: ["127.0.0.2"] } }, async (door) => {
  const forwarded = { "x-forwarded-for": "203.0.113.7" };
  for (const [path, localAddress, client] of [["/one", "127.0.0.1", "127.0.0.1"], ["/two", "127.0.0.2", "203.0.113.7"]]) {
    const asked = request({ host: "127.0.0.1", port: door.port("http"), path, headers: forwarded, localAddress, agent: false }).end();
    (await once(asked, "response"))[0].resume();
    assert.equal(await door.said(path, (log) => log.target === "access" && log.path === path && log.client), client);
  }
});

symptom("421 from the admin listener", {}, async (door) => {
  assert.equal((await asks(door.port("admin"), "/health/live", { host: "door.example.com" })).status, 421);
});
