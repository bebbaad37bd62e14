// `doorway DIR` on a fresh clone of an app: installed, built, started, kept, and gone when the door is.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { cloneApp } from "./harness/app.js";
import { BROWSERS, launch, visiting } from "./harness/browser.js";
import { heard, openChat, say } from "./harness/chat.js";
import { config, Doorway } from "./harness/doorway.js";
import { eventually } from "./harness/eventually.js";

// Made once, and seen by both.
const browsers = [];
before(async () => {
  for (const name of BROWSERS) browsers.push(await launch(name));
});
after(() => Promise.all(browsers.map((browser) => browser.close())));

test("doorway DIR installs, builds and starts a project, and stops it", async () => {
  const clone = cloneApp();
  const { app: _, ...rest } = config({ listen: { http: "127.0.0.1:0" } });
  const door = await Doorway.start(rest, [clone]);
  try {
    assert.ok(existsSync(join(clone, "node_modules/next")), "installed");
    assert.ok(existsSync(join(clone, ".next/BUILD_ID")), "built");
    await door.said("the build's progress", (log) => /Compiled successfully/.test(JSON.stringify(log)));

    let pid;
    for (const browser of browsers) {
      await visiting(browser, door.origin("http"), async (page) => {
        ({ pid } = await (await page.request.get("/api/process")).json());
        await openChat(page);
        await say(page, "from nothing");
        await heard(page, "broadcast", "from nothing");
      });
    }

    assert.deepEqual(await door.stop(), { code: 0, signal: null });
    await eventually("the app to be gone", () => !alive(pid));
  } finally {
    await door.stop();
  }
});

function alive(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
