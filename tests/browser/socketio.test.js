// Socket.IO's stock client in Chromium, with no options on the page's own origin, and the app's route in place of a
// `server.js`: two tabs, of which one may only poll, in the same room.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { broken, launch, visiting } from "./harness/browser.js";
import { config, Doorway } from "./harness/doorway.js";
import { Relay } from "./harness/relay.js";
import { lines, reads, say } from "./harness/room.js";

// An app that has just started on a busy machine takes its time over its first answers.
const callbacks = { path: "/api/socket-io", events: ["connect", "message", "disconnect"], timeout: "1m" };

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

async function enter(page, name, room, query = "") {
  await page.goto(`/socket-io${query}`);
  await isOnline(page);
  await page.getByLabel("name").fill(name);
  await page.getByLabel("room").fill(room);
  await page.getByRole("button", { name: "enter" }).click();
  await reads(page, "notice", `${name} joins ${room}`);
}

function isOnline(page) {
  return page.locator("#status", { hasText: /^online$/ }).waitFor();
}

function travelsBy(page, transport) {
  return page.locator("#transport", { hasText: new RegExp(`^${transport}$`) }).waitFor();
}

async function show(page, bytes) {
  await page.getByLabel("picture").setInputFiles({ name: "a.bin", mimeType: "application/octet-stream", buffer: Buffer.from(bytes) });
  await page.getByRole("button", { name: "show" }).click();
}

function here(door, scheme) {
  return { ada: door.origin(scheme), bob: door.origin(scheme) };
}

/** Two tabs in a room: Ada's client comes as it likes, Bob's may only poll. */
function meeting(origins, room, act, options) {
  return visiting(
    browser,
    origins.ada,
    (ada) =>
      visiting(
        browser,
        origins.bob,
        async (bob) => {
          await enter(ada, "Ada", room);
          await enter(bob, "Bob", room, "?transport=polling");
          await reads(ada, "notice", `Bob joins ${room}`);
          await travelsBy(ada, "websocket");
          await travelsBy(bob, "polling");
          await act(ada, bob);
        },
        options,
      ),
    options,
  );
}

for (const scheme of ["http", "https"]) {
  describe(scheme, () => {
    let door;
    before(async () => {
      door = await Doorway.start(config({ callbacks, listen: { [scheme]: "127.0.0.1:0" } }));
    });
    after(() => door?.stop());

    test("two tabs hear each other, whichever way they come: text, bytes, acknowledgements, rooms", () =>
      meeting(here(door, scheme), "lobby", async (ada, bob) => {
        await say(ada, "hello, Bob");
        await reads(ada, "mine", "hello, Bob");
        await reads(bob, "said", "Ada: hello, Bob");
        await say(bob, "hello, Ada: ä€😀");
        await reads(bob, "mine", "hello, Ada");
        await reads(ada, "said", "Bob: hello, Ada: ä€😀");
        assert.deepEqual(await lines(ada, "said"), ["Bob: hello, Ada: ä€😀"], "nobody hears what he says himself");

        await show(ada, [0, 1, 254, 255]);
        await reads(ada, "mine", "4 bytes");
        await reads(bob, "shown", "Ada: 0,1,254,255");
        await show(bob, [7]);
        await reads(ada, "shown", "Bob: 7");

        await bob.getByRole("button", { name: "leave" }).click();
        await reads(bob, "mine", "left");
        await reads(ada, "notice", "Bob leaves lobby");
        await say(ada, "is he gone?");
        await reads(ada, "mine", "is he gone?");
        await enter(bob, "Bob", "lobby", "?transport=polling");
        await say(ada, "welcome back");
        await reads(bob, "said", "Ada: welcome back");
        assert.deepEqual(await lines(bob, "said"), ["Ada: welcome back"]);

        await bob.goto("/isr");
        await reads(ada, "notice", /^Bob is gone: transport (close|error)$/);
      }));

    test("whom the app refuses hears why", () =>
      visiting(browser, door.origin(scheme), async (page) => {
        await page.goto("/socket-io");
        const message = await page.evaluate(async () => {
          const answer = await fetch("/socket.io/?EIO=4&transport=polling&refuse=1");
          const { sid } = JSON.parse((await answer.text()).slice(1));
          const session = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
          await fetch(session, { method: "POST", body: "40" });
          return (await fetch(session)).text();
        });
        assert.equal(message, '44{"message":"not today"}');
      }));

    test("the app is killed and started again: nobody is disconnected, and what was asked meanwhile is answered", () =>
      meeting(here(door, scheme), "restart", async (ada, bob) => {
        const { pid } = await (await ada.request.get("/api/process")).json();
        const heardSoFar = door.heard;
        process.kill(pid, "SIGKILL");
        await say(ada, "is anybody home?");
        await say(bob, "the app is not");
        await door.said("the app's next start", (log) => log.message === "app started", { after: heardSoFar });
        await reads(ada, "mine", "is anybody home?");
        await reads(bob, "mine", "the app is not");
        await reads(bob, "said", "Ada: is anybody home?");
        await reads(ada, "said", "Bob: the app is not");
        for (const page of [ada, bob]) {
          assert.equal(await page.locator("#status").textContent(), "online");
          assert.equal((await lines(page, "notice")).filter((text) => text.includes("is gone")).length, 0);
        }
      }));

    test("a wire that is cut: both come back by themselves, each in its own way, and are in their room again", async () => {
      const [adas, bobs] = [await Relay.to(door.port(scheme)), await Relay.to(door.port(scheme))];
      try {
        await meeting(
          { ada: adas.origin.replace("http", scheme), bob: bobs.origin.replace("http", scheme) },
          "cut",
          async (ada, bob) => {
            for (const [relay, page, other] of [
              [adas, ada, bob],
              [bobs, bob, ada],
            ]) {
              relay.cut();
              await page.locator("#status", { hasText: "offline: transport" }).waitFor();
              relay.mend();
              await isOnline(page);
              const [name, hers] = page === ada ? ["Ada", "Bob"] : ["Bob", "Ada"];
              await say(other, `are you back, ${name}?`);
              await reads(page, "said", `${hers}: are you back, ${name}?`);
              await say(page, `${name} is back`);
              await reads(other, "said", `${name} is back`);
            }
            await travelsBy(ada, "websocket");
            await travelsBy(bob, "polling");
          },
          { expected: [broken, /status of (400|502)/] },
        );
      } finally {
        adas.stop();
        bobs.stop();
      }
    });
  });
}
