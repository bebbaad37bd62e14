// Pages that the door keeps with no word in the config, in a browser: by reload, back, prefetch and soft navigation each shows
// what it should, and the cache of Next.js' router agrees with the door's after a Server Action.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, visiting } from "./harness/browser.js";
import { config, Doorway } from "./harness/doorway.js";
import { eventually } from "./harness/eventually.js";

/** Of write, redirect, read. */
const ROUNDS = 20;

let browser, door;
before(async () => {
  browser = await launch();
  door = await Doorway.start(config({}));
});
after(async () => {
  await browser?.close();
  await door?.stop();
});

const visit = (see) => visiting(browser, door.origin("https"), see);

const isHit = (response) => (response.headers()["cache-status"] ?? "").startsWith("Doorway; hit");

/** Waits until the page at `path` comes from the door's memory. */
const kept = (context, path) => eventually(`${path} to be kept`, async () => isHit(await context.request.get(path)));

/** What the page shows, once it shows `heading`. */
async function shown(page, heading) {
  await page.getByRole("heading", { name: heading, exact: true }).waitFor();
  return page.locator("#said").textContent();
}

async function write(page, text) {
  await page.getByLabel("words").fill(text);
  await page.getByRole("button", { name: "Write" }).click();
}

test("a page is loaded, reloaded, prefetched and gone back to from memory", () =>
  visit(async (page, context) => {
    await kept(context, "/notice");
    await kept(context, "/notice/last");
    // The payload that the router prefetches, by somebody before.
    await eventually("the prefetched payload to be kept", async () => {
      const prefetched = page.waitForResponse((response) => response.url().includes("/notice/last?_rsc"));
      await page.goto("/notice");
      return isHit(await prefetched);
    });

    const loaded = await page.goto("/notice");
    assert.ok(isHit(loaded), "loaded");
    assert.equal(loaded.headers()["cache-control"], "public, max-age=0, must-revalidate");
    const reloaded = await page.reload();
    assert.ok(isHit(reloaded), "reloaded");
    const text = await shown(page, "Notice");

    await page.evaluate(() => (window.stayed = true));
    await page.getByRole("link", { name: "To the last notice" }).click();
    assert.equal(await shown(page, "Last notice"), text);
    await page.goBack();
    assert.equal(await shown(page, "Notice"), text);
    assert.equal(await page.evaluate(() => window.stayed), true, "by the router alone");

    await page.goto("/isr");
    await page.goBack();
    assert.equal(await shown(page, "Notice"), text);
  }));

test("who writes and is led to another page reads it there, and wherever he goes then", () =>
  visit(async (page, context) => {
    await page.goto("/notice/last");
    await page.evaluate(() => (window.stayed = true));
    for (let round = 0; round < ROUNDS; round++) {
      const text = `Words of round ${round}`;
      // Both are in the door's memory when he writes.
      for (const path of ["/notice", "/notice/last"]) await kept(context, path);
      await write(page, text);
      assert.equal(await shown(page, "Notice"), text, "where he is led");
      // Whoever loads a page now.
      for (const path of ["/notice", "/notice/last"]) {
        const response = await context.request.get(path);
        assert.ok((await response.text()).includes(text), `${path} in round ${round}`);
      }
      await page.getByRole("link", { name: "To the last notice" }).click();
      assert.equal(await shown(page, "Last notice"), text, "by the router");
    }
    assert.equal(await page.evaluate(() => window.stayed), true, "it was never loaded anew");
    await page.reload();
    assert.equal(await shown(page, "Last notice"), `Words of round ${ROUNDS - 1}`);
  }));
