// `next dev` behind the door, run by somebody else or by the door: an edit shows in the open page, which keeps its state.
import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { copyApp, edit, startDev } from "./harness/app.js";
import { launch, visiting } from "./harness/browser.js";
import { heard, openChat, say } from "./harness/chat.js";
import { config, Doorway } from "./harness/doorway.js";
import { eventually } from "./harness/eventually.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

describe("next dev that runs already", () => {
  const copy = copyApp();
  let app, door;
  before(async () => {
    app = await startDev(copy);
    door = await Doorway.start(config({ app: { url: app.url, dev: true } }));
  });
  after(async () => {
    await door?.stop();
    await app?.child.stop();
  });

  test("hot reloading works through the door", () => reloads(door, copy));
  test("the hub's sockets work beside Next's own", () => chats(door));
});

describe("next dev that the door runs", () => {
  const copy = copyApp();
  let door;
  before(async () => (door = await Doorway.start(config({ app: { dir: copy, dev: true } }))));
  after(() => door?.stop());

  test("hot reloading works through the door", () => reloads(door, copy));
  test("the hub's sockets work beside Next's own", () => chats(door));
});

/**
 * Waits for what a change brings. On a machine that is full Turbopack may have built a change before it knows that the page
 * wants to hear of it, and then never tells; saving the same again brings nothing, another change does.
 */
async function saved(file, shown) {
  for (let tries = 0; tries < 3; tries++) {
    try {
      return await shown.waitFor({ timeout: 30_000 });
    } catch (error) {
      if (error.name !== "TimeoutError") throw error;
      console.log(`changed again: ${file}`);
      appendFileSync(file, `globalThis.changed = ${tries};\n`);
    }
  }
  await shown.waitFor();
}

function reloads(door, copy) {
  return visiting(browser, door.origin("https"), async (page) => {
    const hot = page
      .waitForEvent("websocket", (socket) => socket.url().includes("/_next/hmr"))
      .then((socket) => socket.waitForEvent("framereceived"));
    await page.goto("/");
    await hot;
    const counter = page.locator("#counter");
    await eventually("the counter to count", async () => {
      await counter.click();
      return (await counter.textContent()) !== "clicked 0 times";
    });
    await page.evaluate(() => (window.stayed = true));

    edit(join(copy, "app/counter.tsx"), "clicked {count} times", "pressed {count} times");
    // React also counts, later, what was clicked before it was ready: it has kept its state, whatever that is.
    await saved(join(copy, "app/counter.tsx"), page.locator("#counter", { hasText: /pressed [1-9]\d* times/ }));
    edit(join(copy, "app/page.tsx"), "Behind the door", "Still behind the door");
    await saved(join(copy, "app/page.tsx"), page.getByRole("heading", { name: "Still behind the door" }));
    assert.equal(await page.evaluate(() => window.stayed), true);
  });
}

function chats(door) {
  return visiting(browser, door.origin("https"), async (page) => {
    await openChat(page);
    await say(page, "in development");
    await heard(page, "broadcast", "in development");
  });
}
