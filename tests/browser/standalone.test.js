// An app that somebody else runs: the container build (`output: "standalone"`), named by its URL.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { copyApp, startStandalone } from "./harness/app.js";
import { launch, visiting } from "./harness/browser.js";
import { heard, openChat, say } from "./harness/chat.js";
import { config, Doorway } from "./harness/doorway.js";

let browser, app, door;
before(async () => {
  browser = await launch();
  app = await startStandalone(copyApp());
  door = await Doorway.start(config({ app: { url: app.url } }));
});
after(async () => {
  await browser?.close();
  await door?.stop();
  await app?.child.stop();
});

test("a standalone build works behind the door", () =>
  visiting(browser, door.origin("https"), async (page) => {
    await openChat(page);
    await say(page, "from a container");
    await heard(page, "broadcast", "from a container");

    await page.getByRole("link", { name: "action", exact: true }).click();
    await page.getByLabel("name").fill("Max");
    await page.getByRole("button", { name: "sign" }).click();
    await page.locator("#signed", { hasText: "Max signed with 3 letters" }).waitFor();

    await page.goto("/image");
    await page.waitForFunction(() => document.querySelector("main img").naturalWidth > 0);
    await page.goto("/api/go");
    assert.equal(page.url(), `${door.origin("https")}/moved`);
  }));
