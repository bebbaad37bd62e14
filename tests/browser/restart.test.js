// What only a door can do: the app dies and comes back, and no socket notices.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, visiting } from "./harness/browser.js";
import { heard, openChat, say } from "./harness/chat.js";
import { config, Doorway } from "./harness/doorway.js";
import { eventually } from "./harness/eventually.js";

let browser, door;
before(async () => {
  browser = await launch();
  door = await Doorway.start(config());
});
after(async () => {
  await browser?.close();
  await door?.stop();
});

// What the app was at work on when it died is lost, and rightly a 502, or a stream reset where the answer had begun:
// a prefetch of a link may be.
const expected = [/(status of 502|net::ERR_HTTP2_PROTOCOL_ERROR).*[?&]_rsc=/];

test("the app is killed and started again while sockets stay open and pages wait", () =>
  visiting(browser, door.origin("https"), async (alice) =>
    visiting(browser, door.origin("https"), async (bob) => {
      await openChat(alice);
      await openChat(bob);
      const { pid: first } = await runningApp(alice);
      const logged = await door.said("the app's start", (log) => log.message === "app started" && log.pid);
      assert.ok(Number(logged) > 0);

      const heardSoFar = door.heard;
      process.kill(first, "SIGKILL");

      // While it is away the hub speaks on, and a page that is asked for waits instead of failing.
      const waiting = bob.request.get("/large");
      await say(alice, "is anybody home?");
      await heard(bob, "broadcast", "is anybody home?");
      assert.equal((await waiting).status(), 200);

      await door.said("the app's next start", (log) => log.message === "app started" && log.pid && log.pid !== logged, { after: heardSoFar });
      const { pid: second } = await eventually("the new app to answer", () => runningApp(alice));
      assert.notEqual(second, first);

      await say(bob, "the app is back");
      await heard(alice, "broadcast", "the app is back");
      for (const page of [alice, bob]) {
        assert.equal(await page.locator("#status").textContent(), "open");
        assert.equal(await page.locator("#opened").textContent(), "1");
      }

      // And the pages that were open go on working with the new process.
      await alice.getByRole("link", { name: "action", exact: true }).click();
      await alice.getByLabel("name").fill("Ida");
      await alice.getByRole("button", { name: "sign" }).click();
      await alice.locator("#signed", { hasText: "Ida signed with 3 letters" }).waitFor();
    }, { expected }),
    { expected },
  ));

async function runningApp(page) {
  const response = await page.request.get("/api/process");
  assert.equal(response.status(), 200);
  return response.json();
}
