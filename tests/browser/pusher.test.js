// Pusher's stock client in Chromium and its server library in the app's routes: three tabs, by sockets and by both
// fallbacks, over HTTP and HTTPS.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, listen, visiting } from "./harness/browser.js";
import { config, Doorway } from "./harness/doorway.js";
import { here, lines, reads } from "./harness/room.js";

const APP = { id: "1", key: "app-key", secret: "not-a-secret" };
const CHANNELS = ["presence-hall", "private-office", "private-encrypted-vault", "square"];

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

function start(scheme) {
  return Doorway.start(
    config({
      listen: { [scheme]: "127.0.0.1:0" },
      "realtime.pusher": [APP],
      "realtime.channel": [{ match: "presence-*", presence_grace: "0s" }],
    }),
  );
}

async function signIn(page, name) {
  await page.goto("/sign-in");
  await page.getByLabel("name").fill(name);
  await page.getByRole("button", { name: "sign in" }).click();
  await page.waitForURL("**/rooms/lobby");
}

async function enter(page, transport) {
  await page.goto(`/presence?transport=${transport}`);
  for (const channel of CHANNELS) await reads(page, "notice", `in ${channel}`);
}

async function say(page, channel, text) {
  await page.getByLabel("channel").selectOption(channel);
  await page.getByLabel("message").fill(text);
  await page.getByRole("button", { name: "send" }).click();
  await reads(page, "notice", `said in ${channel}`);
}

/** Which way the page's client came: by sockets or by which requests. */
function ways(page) {
  const ways = new Set();
  page.on("websocket", (socket) => new URL(socket.url()).pathname.startsWith("/api/ws/app/") && ways.add("socket"));
  page.on("request", (request) => {
    const [, way] = /\/api\/ws\/app\/app-key\/\d+\/\w+\/(\w+)/.exec(request.url()) ?? [];
    if (way) ways.add(way);
  });
  return ways;
}

for (const [scheme, transports] of [["http", ["ws", "xhr_streaming", "xhr_polling"]], ["https", ["ws", "xhr_streaming", "xhr_polling"]]]) {
  describe(scheme, () => {
    let door;
    before(async () => {
      door = await start(scheme);
    });
    after(() => door?.stop());

    for (const transport of transports) {
      test(`three tabs of two people, by ${transport}: members, events from a route, client events, sealed ones`, () =>
        visiting(browser, door.origin(scheme), async (ada, adasContext) =>
          visiting(browser, door.origin(scheme), async (bob) => {
            const came = ways(ada);
            await signIn(ada, "Ada");
            await enter(ada, transport);
            await here(ada, ["Ada"]);
            await signIn(bob, "Bob");
            await enter(bob, transport);
            for (const page of [ada, bob]) await here(page, ["Ada", "Bob"]);
            await reads(ada, "notice", "Bob comes");
            const adaAgain = await adasContext.newPage();
            const complaints = listen(adaAgain);
            await enter(adaAgain, transport);
            await here(adaAgain, ["Ada", "Bob"]);
            const expected = { ws: ["socket"], xhr_streaming: ["xhr_send", "xhr_streaming"], xhr_polling: ["xhr", "xhr_send"] };
            assert.deepEqual([...came].sort(), expected[transport]);

            for (const channel of CHANNELS) {
              await say(bob, channel, `to ${channel}`);
              for (const page of [ada, adaAgain]) await reads(page, "said", `${channel}: Bob: to ${channel}`);
            }
            assert.deepEqual(await lines(bob, "said"), [], "he is excepted by his socket's id");
            assert.deepEqual(await lines(ada, "said"), CHANNELS.map((channel) => `${channel}: Bob: to ${channel}`));

            await ada.getByRole("button", { name: "wave in the hall" }).click();
            for (const page of [adaAgain, bob]) await reads(page, "waved", "presence-hall: Ada");
            await bob.getByRole("button", { name: "wave in the office" }).click();
            for (const page of [ada, adaAgain]) await reads(page, "waved", "private-office: somebody");
            assert.deepEqual(await lines(bob, "waved"), ["presence-hall: Ada"], "nobody waves to himself");

            // One of Ada's two tabs goes: she is still here.
            await adaAgain.close();
            await say(ada, "presence-hall", "I am still here");
            await reads(bob, "said", "presence-hall: Ada: I am still here");
            await here(bob, ["Ada", "Bob"]);
            await bob.goto("/isr");
            await reads(ada, "notice", "Bob goes");
            await here(ada, ["Ada"]);
            const notices = (await lines(ada, "notice")).filter((line) => /comes|goes/.test(line));
            assert.deepEqual(notices, ["Bob comes", "Bob goes"]);
            assert.deepEqual([...complaints, ...(await lines(ada, "error"))], []);
          }),
        ));
    }

    test("without a session no channel but the public one opens", () =>
      visiting(
        browser,
        door.origin(scheme),
        async (page) => {
          await page.goto("/presence");
          await reads(page, "notice", "in square");
          for (const channel of CHANNELS.slice(0, 3)) await reads(page, "error", `${channel}: 403`);
          assert.equal(await page.locator("#members").textContent(), "");
        },
        { expected: [/403/] },
      ));
  });
}
