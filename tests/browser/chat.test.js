// Sockets in real tabs: echo and broadcast, over ws and wss, and a client that comes back by itself.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, visiting } from "./harness/browser.js";
import { config, Doorway } from "./harness/doorway.js";
import { openChat, say, heard } from "./harness/chat.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

for (const [scheme, socket] of [["https", "wss"], ["http", "ws"]]) {
  describe(`chat over ${socket}`, () => {
    let door;
    before(async () => (door = await Doorway.start(config({ listen: { [scheme]: "127.0.0.1:0" } }))));
    after(() => door?.stop());

    test("two tabs see echo and broadcast", () =>
      visiting(browser, door.origin(scheme), async (alice) =>
        visiting(browser, door.origin(scheme), async (bob) => {
          await openChat(alice);
          await openChat(bob);

          await say(alice, "hello from alice");
          await heard(alice, "echo", "hello from alice");
          await heard(alice, "broadcast", "hello from alice");
          await heard(bob, "broadcast", "hello from alice");

          await say(bob, "and from bob: déjà vu 🚪");
          await heard(bob, "echo", "and from bob: déjà vu 🚪");
          await heard(alice, "broadcast", "and from bob: déjà vu 🚪");

          // Bob was not echoed what Alice said, and each sender's echo came before the broadcast.
          const of = (page) => page.locator("li[data-type]").evaluateAll((all) => all.map((li) => `${li.dataset.type}: ${li.textContent}`));
          assert.deepEqual(await of(alice), ["echo: hello from alice", "broadcast: hello from alice", "broadcast: and from bob: déjà vu 🚪"]);
          assert.deepEqual(await of(bob), ["broadcast: hello from alice", "echo: and from bob: déjà vu 🚪", "broadcast: and from bob: déjà vu 🚪"]);
        }),
      ));

    test(scheme === "https" ? "the socket rides on the page's own HTTP/2 connection" : "the socket is an HTTP/1.1 upgrade", () =>
      visiting(browser, door.origin(scheme), async (page, context) => {
        const protocol = await context.newCDPSession(page);
        await protocol.send("Network.enable");
        const handshake = new Promise((resolve) => protocol.on("Network.webSocketHandshakeResponseReceived", resolve));
        await openChat(page);
        const { response } = await handshake;
        // RFC 8441 answers an extended CONNECT with 200, RFC 6455 an upgrade with 101.
        assert.equal(response.status, scheme === "https" ? 200 : 101);
      }));

    test("the socket goes when its page does", () =>
      visiting(browser, door.origin(scheme), async (page) => {
        const closed = page.waitForEvent("websocket").then((socket) => socket.waitForEvent("close"));
        await openChat(page);
        await page.getByRole("link", { name: "isr", exact: true }).click();
        await page.getByRole("heading", { name: "Incremental static regeneration" }).waitFor();
        await closed;
      }));

    test("frames are what the tutorial says", () =>
      visiting(browser, door.origin(scheme), async (page) => {
        await page.goto("/");
        const before = Date.now();
        const frames = await page.evaluate(
          () =>
            new Promise((resolve, reject) => {
              const socket = new WebSocket(`${location.origin.replace("http", "ws")}/api/ws`);
              const frames = [];
              socket.onopen = () => socket.send("knock");
              socket.onerror = () => reject(new Error("the socket failed"));
              socket.onmessage = ({ data }) => {
                frames.push(JSON.parse(data));
                if (frames.length === 2) socket.close();
              };
              socket.onclose = () => resolve(frames);
            }),
        );
        const { timestamp, ...echo } = frames[0];
        assert.deepEqual(echo, { type: "echo", data: "knock" });
        assert.ok(timestamp >= before - 1000 && timestamp <= Date.now() + 1000, `timestamp ${timestamp}`);
        assert.deepEqual(frames[1], { type: "broadcast", data: "knock" });
      }));
  });
}

test("a page waits for the door, keeps what is said meanwhile, and comes back", async () => {
  let door = await Doorway.start(config());
  const address = door.addresses.https;
  try {
    await visiting(
      browser,
      door.origin("https"),
      async (page) => {
        await openChat(page);
        await door.stop();
        await page.locator("#status", { hasText: /offline|connecting/ }).waitFor();
        await say(page, "said to a closed door");
        await page.locator("#queued", { hasText: "1" }).waitFor();

        door = await Doorway.start(config({ listen: { https: address } }));
        await heard(page, "broadcast", "said to a closed door");
        assert.equal(await page.locator("#opened").textContent(), "2");
        assert.equal(await page.locator("#queued").textContent(), "0");
      },
      { expected: [/ERR_CONNECTION_REFUSED/] },
    );
  } finally {
    await door.stop();
  }
});
