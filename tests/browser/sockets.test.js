// A page's own sockets, by HTTP/1.1 and beside its requests on one connection of HTTP/2: how they open, end, and how many.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { broken, launch, visiting } from "./harness/browser.js";
import { config, Doorway } from "./harness/doorway.js";
import { eventually } from "./harness/eventually.js";

const LIVE = 128; // h2_max_live_streams, by default

let browser, app;
before(async () => {
  browser = await launch();
  app = createServer((_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><link rel=icon href=data:,>app"));
  await once(app.listen(0, "127.0.0.1"), "listening");
});
after(async () => {
  await browser?.close();
  app?.close();
  app?.closeAllConnections();
});

for (const scheme of ["http", "https"]) {
  describe(scheme, () => {
    let door;
    before(async () => {
      door = await Doorway.start(
        config({
          listen: { [scheme]: "127.0.0.1:0" },
          app: { url: `http://127.0.0.1:${app.address().port}` },
          // Whoever would wait for it waits for longer than any test does.
          "realtime.websocket": { close_timeout: "10m" },
          "realtime.channel": [{ match: "*", presence: "all", presence_grace: "0s" }],
        }),
      );
    });
    after(() => door?.stop());

    const visit = (act, options) =>
      visiting(browser, door.origin(scheme), async (page, context) => {
        await page.goto("/");
        await page.evaluate(openSocket);
        await act(page, context);
      }, options);
    const sockets = async () => (await (await door.admin("/connections")).json()).sockets.plain ?? 0;

    test("a socket that its page closes is over at once, and so is that of a page which goes", () =>
      visit((ada) =>
        visit(async (bob, bobsContext) => {
          const heard = (type, count) => ada.waitForFunction(([type, count]) => window.heard.filter((said) => said.type === type).length === count, [type, count]);
          await ada.evaluate(async () => {
            window.heard = [];
            (await openSocket("/api/ws/room")).onmessage = ({ data }) => window.heard.push(JSON.parse(data));
          });
          const ended = await bob.evaluate(async () => {
            const socket = await openSocket("/api/ws/room");
            return new Promise((resolve) => {
              socket.onclose = ({ code, wasClean }) => resolve({ code, wasClean });
              socket.close(3456, "enough");
            });
          });
          assert.deepEqual(ended, { code: 3456, wasClean: true });
          await heard("leave", 1);

          await bob.evaluate(() => openSocket("/api/ws/room").then(() => undefined));
          await heard("join", 2);
          await bob.reload();
          await heard("leave", 2);

          const tab = await bobsContext.newPage();
          await tab.goto("/");
          await tab.evaluate(openSocket);
          await tab.evaluate(() => openSocket("/api/ws/room").then(() => undefined));
          await heard("join", 3);
          await tab.close();
          await heard("leave", 3);
          await eventually("one socket to be left", async () => (await sockets()) === 1);
        }),
      ));

    test(scheme === "https" ? "a socket rides on the page's own HTTP/2 connection" : "a socket is an HTTP/1.1 upgrade", () =>
      visit(async (page) => {
        const after = door.heard;
        await page.evaluate(() => openSocket("/api/ws/ride").then(() => undefined));
        const { protocol, method, status } = await door.said("the handshake", (log) => log.target === "access" && log.path === "/api/ws/ride" && log, { after });
        // RFC 8441 answers an extended CONNECT with 200, RFC 6455 an upgrade with 101.
        const expected = scheme === "https" ? ["HTTP/2", "CONNECT", 200] : ["HTTP/1.1", "GET", 101];
        assert.deepEqual([protocol, method, status], expected);
      }));
  });
}

test("a page with as many sockets as one connection may have still gets its requests through", async () => {
  const door = await Doorway.start(config({ listen: { https: "127.0.0.1:0" }, app: { url: `http://127.0.0.1:${app.address().port}` } }));
  try {
    await visiting(
      browser,
      door.origin("https"),
      async (page) => {
        await page.goto("/");
        await page.evaluate(openSocket);
        await page.evaluate(async (count) => {
          window.sockets = [];
          for (let at = 0; at < count; at++) window.sockets.push(await openSocket("/api/ws"));
        }, LIVE);
        const text = () => page.evaluate(async () => (await fetch("/")).text());
        assert.match(await text(), /app$/);
        assert.equal(await page.evaluate(() => openSocket("/api/ws").then(() => "let in", () => "refused")), "refused");
        assert.match(await text(), /app$/);
        await page.evaluate(() => window.sockets.pop().close());
        await eventually("room for one more", () => page.evaluate(() => openSocket("/api/ws").then(() => true, () => false)));
        assert.match(await text(), /app$/);
      },
      { expected: [broken] },
    );
  } finally {
    await door.stop();
  }
});

/** Runs in the page, and gives it a function for a socket that is open. */
function openSocket() {
  window.openSocket = (path) =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(`${location.origin.replace("http", "ws")}${path}`);
      socket.onopen = () => resolve(socket);
      socket.onclose = ({ code }) => reject(new Error(`closed: ${code}`));
    });
}
