// What the guide of Ably has a page and its app say, in Chromium, at the addresses that the guide prints.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
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
const GUIDE = "src/realtime/ably/README.md";
const require = createRequire(import.meta.url);
const ably = readFileSync(join(dirname(require.resolve("ably")), "ably.min.js"));

const route = () => {
  const code = snippet("src/realtime/ably/README.md", "// app/api/ably-token/route.ts");
  return `import Ably from "ably";\nconst signedIn = async () => "ada";\n${code}`;
};

describe("ably in a page, and the app's own route", () => {
  const { certificate, key } = makeCertificate("example.com");
  const app = createServer();
  let browser, door, folder;
  before(async () => {
    const [section] = blocks(GUIDE).filter(({ language }) => language === "toml");
    [, process.env.ABLY_API_KEY] = /key = "([^"]+)"/.exec(section.code);
    folder = scratch(join(import.meta.dirname, "../node_modules"));
    const { GET } = await import(compile(folder, "route", route()));
    app.on("request", async (request, response) => {
      if (request.url.startsWith("/ably.js")) return response.writeHead(200, { "content-type": "text/javascript" }).end(ably);
      if (!request.url.startsWith("/api/ably-token")) {
        return response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><link rel=icon href=data:,>a page");
      }
      response.writeHead(200, { "content-type": "application/json" }).end(await (await GET()).text());
    });
    await once(app.listen(0, "127.0.0.1"), "listening");
    const url = `http://127.0.0.1:${app.address().port}`;
    const settings = { app: { url }, listen: { http: ANY, https: ANY }, tls: { certificate, key }, https: { redirect: false } };
    door = await Doorway.start(config(settings), [], section.code);
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
    app.close();
    app.closeAllConnections();
  });

  /** Has the app's own server say something, in a process that finds example.com here. */
  async function publish(text) {
    compile(folder, "server", `${route()}\nawait rest.channels.get("news").publish("said", ${JSON.stringify(text)});`);
    const elsewhere = join(import.meta.dirname, "../harness/elsewhere.mjs");
    await promisify(execFile)(process.execPath, ["--import", elsewhere, join(folder, "server.mjs")], {
      env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate, ELSEWHERE: JSON.stringify({ "example.com:443": door.port("https") }) },
    });
  }

  for (const origin of ["http://localhost:8080", "http://localhost", "https://localhost:8443", "https://example.com"]) {
    for (const way of ["web_socket", "xhr_polling"]) {
      test(`${origin}, by ${way}`, () =>
        visiting(browser, origin, async (page, context) => {
          if (way !== "web_socket") await context.addInitScript(() => delete window.WebSocket);
          await page.goto("/");
          await page.addScriptTag({ url: "/ably.js" });
          const code = snippet("src/realtime/ably/README.md", "// in the page");
          await page.evaluate(`(() => { ${javascript(code)}; window.realtime = realtime; })()`);
          await page.evaluate(async () => {
            window.heard = [];
            window.channel = window.realtime.channels.get("news");
            await window.channel.subscribe((message) => window.heard.push([message.name, message.data]));
            await window.channel.presence.enter();
          });
          assert.equal(await page.evaluate(() => window.realtime.auth.clientId), "ada");
          const transport = "window.realtime.connection.connectionManager.activeProtocol.getTransport().shortName";
          assert.equal(await page.evaluate(transport), way);
          await publish("hello");
          await page.waitForFunction(() => window.heard.length === 1);
          assert.deepEqual(await page.evaluate(() => window.heard), [["said", "hello"]]);
          const past = "window.channel.history({ limit: 1 }).then((page) => page.items.map(({ data }) => data))";
          assert.deepEqual(await page.evaluate(past), ["hello"]);
          await page.evaluate(() => window.realtime.close());
        }));
    }

    test(`${origin}, by a stream of events`, () =>
      visiting(browser, origin, async (page) => {
        await page.goto("/");
        await page.addScriptTag({ url: "/ably.js" });
        const token = await page.evaluate(async () => {
          const { hostname: endpoint, protocol } = location;
          const isSecure = protocol === "https:";
          const port = Number(location.port) || (isSecure ? 443 : 80);
          const rest = new window.Ably.Rest({ endpoint, port, tlsPort: port, tls: isSecure, authUrl: "/api/ably-token" });
          return (await rest.auth.requestToken()).token;
        });
        const heard = [];
        page.on("console", (message) => heard.push(message.text()));
        const code = snippet("src/realtime/ably/README.md", "// a page that listens");
        await page.evaluate(`(() => { const token = ${JSON.stringify(token)}; ${javascript(code)}; window.stream = stream; })()`);
        await page.waitForFunction(() => window.stream.readyState === EventSource.OPEN);
        await publish("to all who listen");
        await eventually("it", () => heard.includes("news to all who listen"));
        await page.evaluate(() => window.stream.close());
      }));
  }
});
