// A page that is kept by the door, in two tabs: what one changes both see, and neither an old page again.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, visiting } from "./harness/browser.js";
import { config, Doorway } from "./harness/doorway.js";
import { eventually } from "./harness/eventually.js";

let browser, door;
before(async () => {
  browser = await launch();
  door = await Doorway.start(config({ cache: { tell: true } }));
});
after(async () => {
  await browser?.close();
  await door?.stop();
});

/** Opens the page in a tab that hears what is old. */
async function open(page) {
  const listening = page.waitForResponse((response) => response.url().includes("doorway:revalidated"));
  const response = await page.goto("/notice");
  await listening;
  return response;
}

test("what one tab says, the other shows by itself, and whoever comes later", () =>
  visiting(browser, door.origin("https"), async (writer, context) => {
    const reader = await context.newPage();
    await open(writer);
    await eventually("the page to be kept", async () => {
      const response = await open(reader);
      assert.equal(response.headers()["cache-control"], "public, max-age=0, must-revalidate");
      return response.headers()["cache-status"].startsWith("Doorway; hit");
    });
    await reader.evaluate(() => (window.stayed = true));

    for (const text of ["The door is open", "The door is shut"]) {
      await writer.getByLabel("text").fill(text);
      await writer.getByRole("button", { name: "Say" }).click();
      // The writer by the answer to its action, the reader by the channel.
      for (const page of [writer, reader]) await page.locator("#said", { hasText: text }).waitFor();
      const later = await context.newPage();
      for (let times = 0; times < 3; times++) {
        await later.goto("/notice");
        assert.equal(await later.locator("#said").textContent(), text);
      }
      await later.close();
    }
    assert.equal(await reader.evaluate(() => window.stayed), true, "it was never loaded anew");

    await eventually("the new page to be kept", async () =>
      (await reader.reload()).headers()["cache-status"].startsWith("Doorway; hit"),
    );
    assert.equal(await reader.locator("#said").textContent(), "The door is shut");
    // From another page and back: by the router, and by the browser.
    await reader.goto("/");
    await reader.goBack();
    assert.equal(await reader.locator("#said").textContent(), "The door is shut");
  }));
