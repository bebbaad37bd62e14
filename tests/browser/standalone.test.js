// The container build (`output: "standalone"`): run by somebody else and named by its URL, or run by the door.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { buildStandalone, copyApp, startStandalone } from "./harness/app.js";
import { launch, visiting } from "./harness/browser.js";
import { heard, openChat, say } from "./harness/chat.js";
import { config, Doorway } from "./harness/doorway.js";

let browser, copy;
before(async () => {
  browser = await launch();
  copy = copyApp();
  buildStandalone(copy);
});
after(() => browser?.close());

describe("a standalone build that runs already", () => {
  let app, door;
  before(async () => {
    app = await startStandalone(copy);
    door = await Doorway.start(config({ app: { url: app.url } }));
  });
  after(async () => {
    await door?.stop();
    await app?.child.stop();
  });

  test("works behind the door", () => works(door));
});

describe("a standalone build that the door runs", () => {
  let door;
  before(async () => {
    door = await Doorway.start(config({ app: { dir: copy, dist: ".next-standalone" } }));
  });
  after(() => door?.stop());

  test("works behind the door", () => works(door));
});

function works(door) {
  return visiting(browser, door.origin("https"), async (page) => {
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
  });
}
