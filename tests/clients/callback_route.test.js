// A route for callbacks that is made with the test app's helper and checks nothing itself is Doorway's alone, however an
// app's own rules lead there: beside Doorway, through it, after a reload and after a restart of the door.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { config, Doorway } from "../browser/harness/doorway.js";
import { ANY, Clients, helper } from "./harness/socketio.js";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const CONNECT = { type: "connect", data: { client: { connection: "forged", path: "/", query: "", address: "", user: null, data: null } } };

/** An app that answers at `/api/ws`, and at `/led` as a rewrite of its own would. */
async function app(handle) {
  const server = createServer(async (request, response) => {
    if (!["/api/ws", "/led"].includes(request.url)) return response.end("app");
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method, headers } = request;
    const body = method === "POST" ? Buffer.concat(chunks) : undefined;
    const answer = await handle(new Request("http://app.test/api/ws", { method, headers, body }));
    response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(Buffer.from(await answer.arrayBuffer()));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, url: `http://127.0.0.1:${server.address().port}` };
}

const post = (url, headers) => fetch(url, { method: "POST", headers, body: JSON.stringify(CONNECT) });

for (const known of [SECRET, undefined]) {
  describe(known ? "an app that knows the secret" : "an app that knows no secret", () => {
    let backend, settings, door;

    before(async () => {
      if (known) process.env.DOORWAY_WEBHOOK_SECRET = known;
      const { Server } = await helper();
      const io = new Server();
      io.on("connection", (socket) => socket.on("echo", (text, ack) => ack(text)));
      const handle = io.handler();
      backend = await app(handle);
      settings = config({
        app: { url: backend.url },
        listen: { http: ANY },
        "realtime.socketio": [{}],
        callbacks: { events: ["connect", "message"], secret: SECRET },
      });
      door = await Doorway.start(settings);
    });

    after(async () => {
      await door.stop();
      backend.server.close();
      backend.server.closeAllConnections();
      delete process.env.DOORWAY_WEBHOOK_SECRET;
    });

    async function works() {
      const clients = new Clients(door.origin("http"), { transports: ["websocket"] });
      try {
        const socket = await clients.connected();
        assert.equal(await socket.timeout(30_000).emitWithAck("echo", "hi"), "hi");
      } finally {
        clients.close();
      }
    }

    async function isShut() {
      for (const headers of [{}, { "x-doorway-callback": "forged" }, { "x-doorway-callback": "" }]) {
        const through = await post(`${door.origin("http")}/led`, headers);
        assert.equal(through.status, 401, "led there by the app itself");
        assert.equal((await post(`${door.origin("http")}/api/ws/`, headers)).status, 405, "the hub's own path");
        if (known) assert.equal((await post(`${backend.url}/api/ws`, headers)).status, 401, "beside the door");
      }
      assert.equal((await post(`${backend.url}/api/ws`, {})).status, 401, "beside the door");
    }

    test("the door is heard, and nobody else", async () => {
      await works();
      await isShut();
    });

    test("likewise after a reload", async () => {
      const after = door.heard;
      door.signal("SIGHUP");
      await door.said("a reload", (log) => /reloaded/.test(log.message), { after });
      await works();
      await isShut();
    });

    test("likewise after a restart of the door", async () => {
      await door.stop();
      door = await Doorway.start(settings);
      await works();
      await isShut();
    });
  });
}
