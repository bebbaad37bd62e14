// What the guides have pages say, in Chromium, at the addresses that the guides print.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { launchAt, visiting } from "../../browser/harness/browser.js";
import { makeCertificate } from "../../browser/harness/certificate.js";
import { config, Doorway } from "../../browser/harness/doorway.js";
import { eventually } from "../../browser/harness/eventually.js";
import { scratch } from "../../browser/harness/paths.js";
import { blocks, compile, javascript, snippet } from "../harness/guides.js";

const ANY = "127.0.0.1:0";
const require = createRequire(import.meta.url);
const pusherJs = readFileSync(join(dirname(require.resolve("pusher-js/package.json")), "dist/web/pusher.js"));

/** An app with one page, pusher-js, and the route for callbacks that `POST` is. */
async function serve(server, POST) {
  server.on("request", async (request, response) => {
    if (request.url === "/pusher.js") return response.writeHead(200, { "content-type": "text/javascript" }).end(pusherJs);
    if (request.url !== "/api/ws" || request.method !== "POST") {
      return response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><link rel=icon href=data:,>a page");
    }
    const body = Buffer.concat(await request.toArray());
    const answer = await POST(new Request("http://app/api/ws", { method: "POST", body, headers: request.headers }));
    response.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return server.address().port;
}

function close(server) {
  server?.close();
  server?.closeAllConnections();
}

/** Runs the code in the page as a module's, and gives what `then` is at its end. */
const runs = (page, code, then = "undefined") => page.evaluate(`(async () => { ${javascript(code)}; return ${then}; })()`);

describe("a socket in ten lines, and the route that decides", () => {
  const app = createServer();
  let browser, door;
  before(async () => {
    const folder = scratch(join(import.meta.dirname, "../node_modules"));
    const route = snippet("README.md", "// app/api/ws/route.ts");
    const { POST } = await import(compile(folder, "route", `const signedIn = async () => "ada";\n${route}`));
    const url = `http://127.0.0.1:${await serve(app, POST)}`;
    const [, events] = /\[callbacks\] events = (\[.*?\])/.exec(route);
    // With callbacks a channel that no section names is the app's.
    const open = `[callbacks]\nevents = ${events}\n[[realtime.channel]]\nmatch = "lobby"\nhistory = 10\n`;
    door = await Doorway.start(config({ app: { url }, listen: { http: ANY } }), [], open);
    browser = await launchAt({ "localhost:8080": door.port("http") });
  });
  after(async () => {
    await browser?.close();
    await door?.stop();
    close(app);
  });

  test("it hears what it says, in the words that the guide promises, and what is refused", () =>
    visiting(browser, "http://localhost:8080", async (page) => {
      const heard = [];
      page.on("console", async (message) => heard.push(await message.args()[0].jsonValue()));
      await page.goto("/");
      const code = snippet("README.md", "const socket = new WebSocket(");
      await runs(page, code, "window.socket = socket, 0");
      await eventually("what it said", () => heard.length === 3);
      assert.deepEqual(heard.map(({ type, data }) => [type, data]), [
        ["subscribed", undefined],
        ["echo", "hello"],
        ["broadcast", "hello"],
      ]);
      const promised = [...code.matchAll(/^\/\/ (\{.*?\})/gm)].map(([, json]) => [...json.matchAll(/"(\w+)":/g)].map(([, key]) => key).sort());
      assert.deepEqual(promised, heard.map((said) => Object.keys(said).filter((key) => !["recovered", "missed"].includes(key)).sort()));
      await page.evaluate(() => window.socket.send("spam"));
      await eventually("a refusal", () => heard.some(({ type, message }) => type === "error" && /mind your words/.test(message)));
    }));
});

describe("pusher-js, and the app's own server", () => {
  const app = createServer();
  const { certificate, key } = makeCertificate("example.com");
  let browser, door;
  before(async () => {
    const [apps] = blocks("src/realtime/pusher/README.md").filter(({ language }) => language === "toml");
    process.env.PUSHER_SECRET = "not-a-secret";
    const url = `http://127.0.0.1:${await serve(app)}`;
    const tls = { certificate, key };
    door = await Doorway.start(config({ app: { url }, listen: { http: ANY, https: ANY }, tls, https: { redirect: false } }), [], apps.code);
    browser = await launchAt({
      "localhost:80": door.port("http"),
      "localhost:8080": door.port("http"),
      "localhost:8443": door.port("https"),
      "example.com:443": door.port("https"),
    });
  });
  after(async () => {
    await browser?.close();
    await door?.stop();
    close(app);
  });

  /** Runs the server's snippet in a process that finds example.com here, and has it say something. */
  async function trigger(text) {
    const folder = scratch(join(import.meta.dirname, "../node_modules"));
    const code = snippet("src/realtime/pusher/README.md", "// in the app");
    const around = [
      'import PusherServer from "pusher"; const secret = process.env.PUSHER_SECRET;',
      `const { status } = await pusher.trigger("news", "said", ${JSON.stringify(text)}); if (status !== 200) throw new Error(status);`,
    ];
    compile(folder, "server", `${around[0]}\n${code}\n${around[1]}`);
    const elsewhere = join(import.meta.dirname, "../harness/elsewhere.mjs");
    await promisify(execFile)(process.execPath, ["--import", elsewhere, join(folder, "server.mjs")], {
      env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate, ELSEWHERE: JSON.stringify({ "example.com:443": door.port("https") }) },
    });
  }

  for (const origin of ["http://localhost:8080", "http://localhost", "https://localhost:8443", "https://example.com"]) {
    for (const way of ["ws", "xhr_streaming"]) {
      test(`${origin}, by ${way}`, () =>
        visiting(browser, origin, async (page, context) => {
          if (way !== "ws") await context.addInitScript(() => delete window.WebSocket);
          await page.goto("/");
          await page.addScriptTag({ url: "/pusher.js" });
          const code = snippet("src/realtime/pusher/README.md", "// in the page");
          await runs(page, code, "window.pusher = pusher, 0");
          await page.evaluate(() => {
            window.heard = [];
            window.channel = window.pusher.subscribe("news").bind("said", (said) => window.heard.push(said));
          });
          await page.waitForFunction(() => window.channel.subscribed);
          assert.equal(await page.evaluate(() => window.pusher.connection.connection.transport.name), way);
          await trigger("hello");
          await page.waitForFunction(() => window.heard.length === 1);
          assert.deepEqual(await page.evaluate(() => window.heard), ["hello"]);
        }));
    }
  }
});

test("a page of an app elsewhere comes with a token, by socket, event stream and request", async () => {
  const secret = "a secret of at least thirty-two bytes";
  process.env.DOORWAY_JWT_SECRET = secret;
  const folder = scratch(join(import.meta.dirname, "../node_modules"));
  const file = join(folder, "jwt-secret");
  writeFileSync(file, secret);
  const { certificate, key } = makeCertificate("app.example.com", "hub.example.com");
  const app = createSecureServer({ cert: readFileSync(certificate), key: readFileSync(key) });
  const settings = blocks("src/realtime/entrance/README.md").find(({ code }) => code.startsWith("[app]")).code;
  const { app: _, ...rest } = config({ listen: { https: ANY }, tls: { certificate, key }, "realtime.channel": [{ match: "room-*", history: 10 }] });
  const door = await Doorway.start(rest, [], settings.replace('"/etc/doorway/jwt-secret"', JSON.stringify(file)));
  const browser = await launchAt({ "app.example.com:443": await serve(app), "hub.example.com:443": door.port("https") });
  try {
    const route = snippet("src/realtime/entrance/README.md", "// app/api/token/route.ts");
    const names = 'import { SignJWT } from "jose"; const user = { id: "u1", name: "Ada" };';
    const { token } = await import(compile(folder, "token", `${names}\n${route}\nexport { token };`));
    await visiting(browser, "https://app.example.com", async (page) => {
      await page.goto("/");
      await page.evaluate((token) => (window.token = token), token);
      const code = snippet("src/realtime/entrance/README.md", "const socket = new WebSocket('wss://hub.example.com/");
      const heard = await runs(
        page,
        code,
        `await (async () => {
          const heard = { past: [past.status, (await past.json()).messages] };
          const first = (source) => new Promise((resolve) => source.addEventListener("message", ({ data }) => JSON.parse(data).type === "broadcast" && resolve(JSON.parse(data).data)));
          if (events.readyState !== EventSource.OPEN) await new Promise((resolve, reject) => { events.onopen = resolve; events.onerror = () => reject(new Error("no stream")); });
          if (socket.readyState !== WebSocket.OPEN) await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onclose = () => reject(new Error("no socket")); });
          const both = Promise.all([first(socket), first(events)]);
          socket.send("hello");
          [heard.socket, heard.events] = await both;
          events.close();
          return heard;
        })()`,
      );
      assert.deepEqual(heard, { past: [200, []], socket: "hello", events: "hello" });
    });
  } finally {
    await browser.close();
    await door.stop();
    close(app);
  }
});
