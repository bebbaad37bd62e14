// Ably's stock client in Chromium and its server library in a route of the app: tabs of several people, by sockets and by
// polls, over HTTP and HTTPS.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { utimesSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { copyApp } from "./harness/app.js";
import { launch, visiting } from "./harness/browser.js";
import { config, Doorway } from "./harness/doorway.js";
import { eventually } from "./harness/eventually.js";
import { paths } from "./harness/paths.js";
import { here, lines, reads } from "./harness/room.js";

const KEY = "app.key:not-a-secret-not-a-secret";
const REALTIME = {
  "realtime.ably": [{ key: KEY, presence_grace: "2s" }],
  "realtime.channel": [{ match: "hall", mutable: true }],
};

// Its own: a deploy is written into it.
const dir = copyApp();
let browser, door;
before(async () => {
  execFileSync("cp", ["-a", join(paths.app, ".next"), dir]);
  browser = await launch();
  door = await Doorway.start(config({ app: { dir }, https: { redirect: false }, ...REALTIME }));
});
after(async () => {
  await browser?.close();
  await door?.stop();
});

async function press(page, button, text) {
  if (text) await page.getByLabel("message").fill(text);
  await page.getByRole("button", { name: button }).click();
}

/** Signs in, and enters the hall by `transport`. */
async function enter(page, name, transport = "web_socket") {
  await page.goto("/sign-in");
  await page.getByLabel("name").fill(name);
  await page.getByRole("button", { name: "sign in" }).click();
  await page.waitForURL("**/rooms/lobby");
  await page.goto(`/ably?transport=${transport}`);
  await reads(page, "notice", "in the hall");
  assert.equal(await page.locator("#transport").textContent(), transport);
}

async function say(page, text) {
  await page.getByLabel("message").fill(text);
  await page.getByRole("button", { name: "send" }).click();
}

for (const scheme of ["http", "https"]) {
  describe(scheme, () => {
    test("tabs of three people see and hear each other, two by sockets and one by polls", () =>
      visiting(browser, door.origin(scheme), async (ada) =>
        visiting(browser, door.origin(scheme), async (bob) =>
          visiting(browser, door.origin(scheme), async (cat, cats) => {
            const tag = `(${scheme})`;
            await enter(ada, "Ada");
            await here(ada, ["Ada"]);
            await say(ada, `is anybody here? ${tag}`);
            await enter(bob, "Bob");
            for (const page of [ada, bob]) await here(page, ["Ada", "Bob"]);
            await reads(bob, "said", `Ada: is anybody here? ${tag}`);
            await say(bob, `I am ${tag}`);
            await enter(cat, "Cat", "xhr_polling");
            for (const page of [ada, bob, cat]) await here(page, ["Ada", "Bob", "Cat"]);
            await say(cat, `and so am I ${tag}`);
            await say(ada, `good ${tag}`);
            const all = [`Ada: is anybody here? ${tag}`, `Bob: I am ${tag}`, `Cat: and so am I ${tag}`, `Ada: good ${tag}`];
            for (const page of [ada, bob, cat]) {
              for (const text of all) await reads(page, "said", text);
              const told = (await lines(page, "said")).filter((line) => line.endsWith(tag));
              assert.deepEqual(told, all, "each once, as they were said");
            }
            await cats.close();
            await reads(ada, "notice", "Cat goes");
            for (const page of [ada, bob]) await here(page, ["Ada", "Bob"]);
            await bob.close();
            await reads(ada, "notice", "Bob goes");
            await here(ada, ["Ada"]);
            const came = (await lines(ada, "notice")).filter((line) => /^(Bob|Cat) (comes|goes)/.test(line));
            assert.deepEqual(came, ["Bob comes", "Cat comes", "Cat goes", "Bob goes"]);
            assert.deepEqual(await lines(ada, "error"), []);
          }),
        ),
      ));

    test("what was said is edited, added to, liked and taken back, for all and for who comes later", () =>
      visiting(browser, door.origin(scheme), async (ada) =>
        visiting(browser, door.origin(scheme), async (bob) => {
          const tag = `[${scheme}]`;
          await enter(ada, "Ada");
          await enter(bob, "Bob", "xhr_polling");
          await say(ada, `${tag} helo`);
          await say(bob, `${tag} what?`);
          for (const page of [ada, bob]) {
            for (const text of [`Ada: ${tag} helo`, `Bob: ${tag} what?`]) await reads(page, "said", text);
          }
          await press(ada, "edit my last", `${tag} hello`);
          await reads(bob, "said", `Ada: ${tag} hello`);
          await press(ada, "add to my last", ", Bob");
          for (const page of [ada, bob]) await reads(page, "said", `Ada: ${tag} hello, Bob`);
          await bob.locator("li[data-type=said]", { hasText: `Ada: ${tag} hello, Bob` }).dblclick();
          for (const page of [ada, bob]) await reads(page, "said", `Ada: ${tag} hello, Bob (liked by 1)`);
          await press(bob, "take back my last");
          const left = [`Ada: ${tag} hello, Bob (liked by 1)`];
          const mine = async (page) => (await lines(page, "said")).filter((line) => line.includes(tag));
          for (const page of [ada, bob]) await eventually("one line", async () => (await mine(page)).length === 1);
          await bob.reload();
          await reads(bob, "notice", "in the hall");
          for (const page of [ada, bob]) assert.deepEqual(await mine(page), left);
          for (const page of [ada, bob]) assert.deepEqual(await lines(page, "error"), []);
        }),
      ));

    test("a deploy of the app is noticed by nobody", () =>
      visiting(browser, door.origin(scheme), async (dee) =>
        visiting(browser, door.origin(scheme), async (eve) => {
          await enter(dee, "Dee");
          await enter(eve, "Eve", "xhr_polling");
          // When those of the test before are gone, too.
          for (const page of [dee, eve]) await here(page, ["Dee", "Eve"]);
          await reads(dee, "notice", "Eve comes");
          const before = await Promise.all([dee, eve].map((page) => lines(page, "notice")));
          const process = async () => (await (await dee.request.get("/api/process")).json()).pid;
          const first = await process();
          const now = new Date();
          utimesSync(join(dir, ".next/BUILD_ID"), now, now);
          const answer = await fetch(`http://${door.addresses.admin}/reload`, { method: "POST" });
          assert.equal(answer.status, 200, await answer.text());
          await eventually("another process of the app", async () => (await process()) !== first);
          await say(dee, `after ${first}`);
          for (const page of [dee, eve]) {
            await reads(page, "said", `Dee: after ${first}`);
            await here(page, ["Dee", "Eve"]);
            assert.equal(await page.locator("#status").textContent(), "connected");
          }
          const after = await Promise.all([dee, eve].map((page) => lines(page, "notice")));
          assert.deepEqual(after, [[...before[0], "sent"], before[1]], "nobody came or went");
        }),
      ));

    test("without a session nobody comes in", () =>
      visiting(
        browser,
        door.origin(scheme),
        async (page) => {
          await page.goto("/ably");
          await page.locator("#status", { hasText: /^(failed|disconnected)$/ }).waitFor();
          assert.equal(await page.locator("#members").textContent(), "");
        },
        { expected: [/403/, /Ably/] },
      ));
  });
}
