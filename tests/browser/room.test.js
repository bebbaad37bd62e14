// The room chat: who may come in, who is there, what was said before, and what the app makes of what is said,
// in itself or by a Server Action that publishes.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { broken, launch, listen, visiting } from "./harness/browser.js";
import { Relay } from "./harness/relay.js";
import { enter, here, isOpen, lines, reads, say, signIn, startRoomDoor } from "./harness/room.js";

let browser, door;
before(async () => {
  browser = await launch();
  door = await startRoomDoor();
});
after(async () => {
  await browser?.close();
  await door?.stop();
});

test("two people in three tabs: presence, moderation, an announcement, history, and a reload that nobody notices", () =>
  visiting(browser, door.origin("http"), async (ada, adasContext) =>
    visiting(browser, door.origin("http"), async (bob) => {
      await signIn(ada, "Ada");
      await here(ada, ["Ada"]);
      await signIn(bob, "Bob");
      await here(ada, ["Ada", "Bob"]);
      const adaAgain = await adasContext.newPage();
      const complaints = listen(adaAgain);
      await enter(adaAgain);
      await here(adaAgain, ["Ada", "Bob"]);

      await say(ada, "hello, Bob");
      for (const page of [ada, adaAgain, bob]) await reads(page, "message", "Ada: hello, Bob");
      await say(bob, "this darn lift");
      for (const page of [ada, adaAgain, bob]) await reads(page, "message", "Bob: this **** lift");

      await say(bob, "Buy now and save");
      await reads(bob, "error", "no advertising, please");
      await say(bob, "sorry");
      const said = ["Ada: hello, Bob", "Bob: this **** lift", "Bob: sorry"];
      for (const page of [ada, adaAgain, bob]) {
        await reads(page, "message", "Bob: sorry");
        assert.deepEqual(await lines(page, "message"), said);
      }
      assert.deepEqual(await lines(ada, "error"), [], "only the sender is told of a refusal");

      await bob.getByLabel("announcement").fill("we close at ten");
      await bob.getByRole("button", { name: "announce" }).click();
      said.push("the house: we close at ten");
      for (const page of [ada, adaAgain, bob]) await reads(page, "message", "the house: we close at ten");

      await bob.reload();
      await isOpen(bob);
      await reads(bob, "message", "the house: we close at ten");
      assert.deepEqual(await lines(bob, "message"), said, "history");
      await say(bob, "I am back");
      await reads(ada, "message", "Bob: I am back");

      // One of Ada's two tabs goes: she is still here.
      await adaAgain.close();
      await say(ada, "and I am still here");
      await reads(bob, "message", "Ada: and I am still here");
      await here(bob, ["Ada", "Bob"]);
      assert.deepEqual(await lines(bob, "notice"), []);
      assert.deepEqual(await lines(ada, "notice"), ["Bob: join"], "a reload is silent");
      assert.deepEqual(complaints, []);

      await bob.goto("/isr");
      await reads(ada, "notice", "Bob: leave");
      await here(ada, ["Ada"]);
    }),
  ));

test("without the session's cookie there is no way in, whichever door is tried", () =>
  visiting(
    browser,
    door.origin("http"),
    async (page, context) => {
      await page.goto("/rooms/lobby");
      await page.getByRole("heading", { name: "Sign in" }).waitFor();
      const code = () =>
        page.evaluate(
          () =>
            new Promise((resolve) => {
              const socket = new WebSocket("/api/ws/room-lobby");
              socket.onopen = () => resolve("let in");
              socket.onclose = ({ code }) => resolve(code);
            }),
        );
      assert.equal(await code(), 1006);
      const state = await page.evaluate(
        () =>
          new Promise((resolve) => {
            const stream = new EventSource("/api/ws/room-lobby");
            stream.onopen = () => resolve("let in");
            stream.onerror = () => resolve(stream.readyState);
          }),
      );
      assert.equal(state, 2, "EventSource.CLOSED: it does not come again");
      const history = await page.request.get("/api/ws/room-lobby", { headers: { accept: "application/json" } });
      assert.equal(history.status(), 401);

      await context.addCookies([{ name: "session", value: "Ada.forged", url: door.origin("http") }]);
      assert.equal(await code(), 1006);
    },
    { expected: [/401|no valid credentials/, broken] },
  ));

test("the app's own route is closed to the world", () =>
  visiting(browser, door.origin("http"), async (page) => {
    const answer = await page.request.post("/api/ws", { data: { type: "connect" } });
    assert.ok([403, 405].includes(answer.status()), String(answer.status()));
  }));

test("a page whose connection is cut comes back by itself and has missed nothing", async () => {
  const relay = await Relay.to(door.port("http"));
  try {
    await visiting(
      browser,
      relay.origin,
      async (ada) =>
        visiting(browser, door.origin("http"), async (bob) => {
          await signIn(ada, "Ada");
          await enter(ada, "cut");
          await signIn(bob, "Bob");
          await enter(bob, "cut");
          await say(bob, "before");
          await reads(ada, "message", "Bob: before");
          relay.cut();
          await ada.locator("#status", { hasText: "offline" }).waitFor();
          for (const text of ["one", "two", "three"]) {
            await say(bob, text);
            await reads(bob, "message", `Bob: ${text}`);
          }
          relay.mend();
          await isOpen(ada);
          await say(bob, "after");
          await reads(ada, "message", "Bob: after");
          const said = ["before", "one", "two", "three", "after"].map((text) => `Bob: ${text}`);
          assert.deepEqual(await lines(ada, "message"), said);
          assert.deepEqual(await lines(bob, "notice"), [], "nor did anybody notice that she was away");
        }),
      { expected: [broken] },
    );
  } finally {
    relay.stop();
  }
});

test("EventSource reads the same room, and takes up where its stream was cut", async () => {
  const relay = await Relay.to(door.port("http"));
  try {
    await visiting(
      browser,
      relay.origin,
      async (ada) =>
        visiting(browser, door.origin("http"), async (bob) => {
          await signIn(ada, "Ada");
          await signIn(bob, "Bob");
          await enter(bob, "stream");
          await ada.evaluate(
            () =>
              new Promise((resolve) => {
                window.heard = [];
                window.opened = 0;
                window.stream = new EventSource("/api/ws/room-stream");
                window.stream.onopen = () => resolve(window.opened++);
                window.stream.onmessage = ({ data, lastEventId }) => {
                  const said = JSON.parse(data);
                  if (said.type === "broadcast") window.heard.push({ text: said.data.text, lastEventId });
                };
              }),
          );
          const heard = (count) => ada.waitForFunction((count) => window.heard.length >= count, count);
          await say(bob, "one");
          await heard(1);
          relay.cut();
          await ada.waitForFunction(() => window.stream.readyState === EventSource.CONNECTING);
          for (const text of ["two", "three"]) {
            await say(bob, text);
            await reads(bob, "message", `Bob: ${text}`);
          }
          relay.mend();
          await heard(3);
          await say(bob, "four");
          await heard(4);
          const all = await ada.evaluate(() => window.heard);
          assert.deepEqual(all.map(({ text }) => text), ["one", "two", "three", "four"]);
          assert.equal(new Set(all.map(({ lastEventId }) => lastEventId)).size, 4, "each has a position of its own");
          assert.ok((await ada.evaluate(() => window.opened)) >= 2, "it was opened again");
          await ada.evaluate(() => window.stream.close());
        }),
      { expected: [broken] },
    );
  } finally {
    relay.stop();
  }
});

test("the plain chat beside it asks nobody who they are", () =>
  visiting(browser, door.origin("http"), async (page) => {
    await page.goto("/chat");
    await isOpen(page);
    await say(page, "buy now, says anybody");
    await page.locator("li[data-type=echo]", { hasText: "buy now" }).waitFor();
    await page.locator("li[data-type=broadcast]", { hasText: "buy now" }).waitFor();
  }));
