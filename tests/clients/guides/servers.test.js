// What the guides have an app's server say: a route that decides with the page's cookies, and one `fetch` that publishes.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import WebSocket from "ws";
import { config, Doorway } from "../../browser/harness/doorway.js";
import { eventually } from "../../browser/harness/eventually.js";
import { scratch } from "../../browser/harness/paths.js";
import { blocks, compile, snippet } from "../harness/guides.js";

const ANY = "127.0.0.1:0";
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/** Opens a socket, and gathers what it hears. */
async function enters(door, path, headers = {}) {
  const socket = new WebSocket(`${door.origin("http").replace("http", "ws")}${path}`, { headers });
  const heard = [];
  socket.on("message", (data) => heard.push(JSON.parse(data)));
  await once(socket, "open");
  return { socket, heard };
}

/** How many subscriptions there are. */
async function subscriptions(door) {
  const text = await (await door.admin("/metrics")).text();
  return Number(/^doorway_hub_subscriptions (\d+)$/m.exec(text)[1]);
}

test("the route for callbacks knows the page by its cookie, and decides who comes in and what is said", async () => {
  const folder = scratch(join(import.meta.dirname, "../node_modules"));
  // Next's own, as far as the route asks for it: the cookies of the request that is being answered.
  mkdirSync(join(folder, "node_modules/next"), { recursive: true });
  writeFileSync(join(folder, "node_modules/next/package.json"), '{"name":"next","exports":{"./headers":"./headers.mjs"}}');
  writeFileSync(
    join(folder, "node_modules/next/headers.mjs"),
    "export const cookies = async () => new Map(globalThis.cookiesOfTheTest.split('; ').map((pair) => pair.split('=')).map(([name, value]) => [name, { value }]));",
  );
  const users = 'const userOf = async (session?: string) => (session === "ada" ? { id: "ada" } : undefined);';
  const route = snippet("src/callbacks/README.md", "// app/api/ws/route.ts");
  const { POST } = await import(compile(folder, "route", `${users}\n${route}`));
  const app = createServer(async (request, response) => {
    if (request.method !== "POST") return response.end("app");
    const { headers } = request;
    const body = Buffer.concat(await request.toArray());
    globalThis.cookiesOfTheTest = headers.cookie ?? "";
    const answer = await POST(new Request("http://app/api/ws", { method: "POST", headers, body }));
    response.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text());
  });
  await once(app.listen(0, "127.0.0.1"), "listening");
  process.env.DOORWAY_WEBHOOK_SECRET = SECRET;
  const [callbacks] = blocks("src/callbacks/README.md").filter(({ language }) => language === "toml");
  const url = `http://127.0.0.1:${app.address().port}`;
  const open = '[[realtime.channel]]\nmatch = "default"\n';
  const door = await Doorway.start(config({ app: { url }, listen: { http: ANY } }), [], callbacks.code + open);
  try {
    const stranger = new WebSocket(`${door.origin("http").replace("http", "ws")}/api/ws`);
    const [error] = await once(stranger, "error");
    assert.match(error.message, /401/);

    const { socket, heard } = await enters(door, "/api/ws", { cookie: "session=ada" });
    await eventually("the channel that the route names", async () => (await subscriptions(door)) === 2);
    socket.send("hello");
    await eventually("what was said", () => heard.some(({ type, data }) => type === "broadcast" && data === "hello"));
    socket.send("spam");
    await eventually("a refusal", () => heard.some(({ type, message }) => type === "error" && message === "mind your words"));
    socket.close();
  } finally {
    await door.stop();
    app.close();
    app.closeAllConnections();
  }
});

test("one fetch publishes", async () => {
  const token = "a-token-of-at-least-thirty-two-bytes";
  const door = await Doorway.start(config({ app: { url: "off" }, listen: { http: ANY }, api: { token } }));
  try {
    const { socket, heard } = await enters(door, "/api/ws/orders");
    const code = snippet("src/realtime/api/README.md", "await fetch(");
    const folder = scratch(join(import.meta.dirname, "../node_modules"));
    // On the admin listener, as an app that the door starts is told, and on the site's own address.
    for (const at of [`http://${door.addresses.admin}`, door.origin("http")]) {
      Object.assign(process.env, { DOORWAY_URL: `${at}/_doorway/api/v1`, DOORWAY_TOKEN: token });
      await import(compile(folder, `publish-${new URL(at).port}`, `const answer = ${code}\nif (!answer.ok) throw new Error(answer.status);`));
    }
    await eventually("both", () => heard.length === 2);
    for (const { type, name, data } of heard) assert.deepEqual([type, name, data], ["broadcast", "paid", { id: 7 }]);
    socket.close();
  } finally {
    await door.stop();
  }
});
