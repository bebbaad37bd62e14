// Liveblocks' stock client by React in Chromium, with its Yjs provider and `y-websocket` beside it, and its server library in a
// route of the app: cursors, a list and a text that tabs of several people edit, over HTTP and HTTPS.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { utimesSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { copyApp } from "./harness/app.js";
import { broken, launch, visiting } from "./harness/browser.js";
import { config, Doorway } from "./harness/doorway.js";
import { eventually } from "./harness/eventually.js";
import { paths, scratch } from "./harness/paths.js";
import { Relay } from "./harness/relay.js";
import { lines, reads } from "./harness/room.js";

/** What the page says when its line or the door is gone: its client, and links that are fetched ahead. */
const gone = [broken, /Connection to Liveblocks websocket server (closed|could not be established)/, /status of 50[23].*[?&]_rsc=/];

const PUBLIC = "pk_mine";
const SETTINGS = {
  documents: { dir: scratch() },
  "realtime.liveblocks": { secret_env: "LIVEBLOCKS_SECRET_KEY", public_key: PUBLIC },
  "realtime.yjs": { rooms: ["*"] },
};

// Its own: a deploy is written into it.
const dir = copyApp();
let browser, door;
// Of each, what the app gave them when they signed in.
const cookies = {};
before(async () => {
  execFileSync("cp", ["-a", join(paths.app, ".next"), dir]);
  browser = await launch();
  door = await start();
  for (const name of ["Ada", "Bob"]) await visiting(browser, door.origin("http"), (page, context) => signIn(page, context, name));
});
after(async () => {
  await browser?.close();
  await door?.stop();
});

function start(listen) {
  return Doorway.start(config({ app: { dir }, https: { redirect: false }, ...(listen && { listen }), ...SETTINGS }));
}

const room = ((number) => () => `room-${number++}`)(1);

/** Comes to a room, and waits until all of it is there. */
async function open(page, room, query = "") {
  await page.goto(`/liveblocks?room=${room}${query}`);
  await shows(page, "#status", "connected");
  await page.getByLabel("item").waitFor();
  await isSynced(page);
}

async function signIn(page, context, name) {
  await page.goto("/sign-in");
  await page.getByLabel("name").fill(name);
  await page.getByRole("button", { name: "sign in" }).click();
  await page.waitForURL("**/rooms/lobby");
  cookies[name] = await context.cookies();
}

function shows(page, selector, text) {
  return page.locator(selector, { hasText: text instanceof RegExp ? text : new RegExp(`^${text}$`) }).waitFor();
}

async function isSynced(page) {
  await shows(page, "#sync", "synchronized");
  await shows(page, "#text-status", "synchronized");
}

async function add(page, ...items) {
  for (const item of items) {
    await page.getByLabel("item").fill(item);
    await page.getByRole("button", { name: "add" }).click();
  }
}

async function press(page, name) {
  await page.getByRole("button", { name, exact: true }).click();
}

/** What the list says, without its buttons. */
const list = async (page) => (await lines(page, "item")).map((line) => line.replace(/ ×$/, ""));

/** Who else the page says is there. */
const others = async (page) => (await cursors(page)).map((cursor) => cursor.replace(/ at .*/, ""));

/** The same, and where they point. */
const cursors = async (page) => (await page.locator("[data-type=cursor]").allTextContents()).sort();

const text = (page) => page.getByLabel("text").inputValue();

/** Types at an end of the text, key after key. */
async function type(page, end, typed) {
  await page.getByLabel("text").press(`Control+${end}`);
  await page.keyboard.type(typed);
}

/** Waits until `look` sees the same, and this, on each of the pages. */
async function see(pages, look, wanted) {
  for (const page of pages) {
    const isSo = async () => {
      assert.deepEqual(await look(page), wanted);
      return true;
    };
    await eventually(`${look.name} to be ${JSON.stringify(wanted)}`, isSo);
  }
}

/** People who are signed in, each with a browser of their own, by `scheme` or where `origins` says. */
function meeting(scheme, names, act, { origins = {}, expected } = {}) {
  const pages = [];
  const next = ([name, ...rest]) => {
    if (!name) return act(...pages);
    const come = async (page, context) => {
      await context.addCookies(cookies[name] ?? []);
      pages.push(page);
      await next(rest);
    };
    return visiting(browser, origins[name] ?? door.origin(scheme), come, { expected });
  };
  return next(names);
}

const READER = "&reader";

for (const scheme of ["http", "https"]) {
  describe(scheme, () => {
    test("tabs see each other's cursors, list and text, until they go", () =>
      meeting(scheme, ["Ada", "Bob"], async (ada, bob) => {
        const place = room();
        await open(ada, place);
        await open(bob, place);
        await shows(ada, "#self", /Ada, who may write/);
        await see([ada], others, ["Bob"]);
        await see([bob], others, ["Ada"]);

        await ada.mouse.move(410, 300);
        await bob.mouse.move(520, 310);
        await see([ada], cursors, ["Bob at 520,310"]);
        await see([bob], cursors, ["Ada at 410,300"]);
        const { x, y } = await bob.locator("[data-type=cursor]").boundingBox();
        assert.deepEqual([x, y], [410, 300], "it is drawn where she points");

        await add(ada, "milk", "bread");
        await see([bob], list, ["milk", "bread"]);
        await add(bob, "salt: ä€😀");
        await see([ada, bob], list, ["milk", "bread", "salt: ä€😀"]);
        await press(bob, "remove bread");
        await see([ada, bob], list, ["milk", "salt: ä€😀"]);

        await type(ada, "End", "Dear all");
        await see([bob], text, "Dear all");
        await Promise.all([type(ada, "End", ", says Ada"), type(bob, "Home", "Bob says: ")]);
        await see([ada, bob], text, "Bob says: Dear all, says Ada");

        await press(bob, "wave");
        await reads(ada, "notice", "Bob: wave");
        for (const page of [ada, bob]) {
          await isSynced(page);
          assert.deepEqual(await lines(page, "error"), []);
        }

        const second = await bob.context().newPage();
        await open(second, place);
        await see([ada], others, ["Bob", "Bob"]);
        await see([second], others, ["Ada", "Bob"]);
        await see([second], list, ["milk", "salt: ä€😀"]);
        await see([second], text, "Bob says: Dear all, says Ada");
        await second.close();
        await see([ada], others, ["Bob"]);

        await bob.goto("/isr");
        await see([ada], others, []);
        await open(bob, place);
        await see([ada], others, ["Bob"]);
        await see([bob], list, ["milk", "salt: ä€😀"]);
        await see([bob], text, "Bob says: Dear all, says Ada");
      }));

    test("who is offline for a while edits on, and all of it comes together", async () => {
      const relay = await Relay.to(door.port(scheme));
      const origins = { Bob: relay.origin.replace("http", scheme) };
      const come = async (ada, bob) => {
        const place = room();
        await open(ada, place);
        await open(bob, place);
        await add(ada, "before", "between");
        await type(ada, "End", "begun. ");
        await see([bob], list, ["before", "between"]);
        await see([bob], text, "begun. ");

        relay.cut();
        await shows(bob, "#status", "reconnecting");
        await reads(bob, "notice", "connection lost");
        await see([ada], others, []);
        await add(bob, "from afar");
        await press(bob, "remove before");
        await type(bob, "End", "Bob far away.");
        await shows(bob, "#sync", "synchronizing");
        await add(ada, "at home");
        await press(ada, "remove between");
        await type(ada, "Home", "Ada at home. ");
        await see([bob], list, ["between", "from afar"]);
        await see([ada], list, ["before", "at home"]);

        relay.mend();
        await reads(bob, "notice", "connection restored");
        await see([ada, bob], list, ["at home", "from afar"]);
        await see([ada, bob], text, "Ada at home. begun. Bob far away.");
        await see([ada], others, ["Bob"]);
        for (const page of [ada, bob]) {
          await isSynced(page);
          assert.deepEqual(await lines(page, "error"), []);
        }
      };
      try {
        await meeting(scheme, ["Ada", "Bob"], come, { origins, expected: gone });
      } finally {
        relay.stop();
      }
    });

    test("the door is restarted: all come back with everything", () => {
      const come = async (ada, bob) => {
        const place = room();
        await open(ada, place);
        await open(bob, place);
        await add(ada, "kept");
        await type(bob, "End", "kept too");
        await see([ada, bob], list, ["kept"]);
        await see([ada, bob], text, "kept too");
        for (const page of [ada, bob]) await isSynced(page);
        const { http, https } = door.addresses;
        await door.stop();
        for (const page of [ada, bob]) await shows(page, "#status", "reconnecting");
        await add(ada, "meanwhile");
        await type(bob, "End", ", and meanwhile");
        door = await start({ http, https });
        for (const page of [ada, bob]) await shows(page, "#status", "connected");
        await see([ada, bob], list, ["kept", "meanwhile"]);
        await see([ada, bob], text, "kept too, and meanwhile");
        await see([ada], others, ["Bob"]);
        const late = await bob.context().newPage();
        await open(late, place);
        await see([late], list, ["kept", "meanwhile"]);
        await see([late], text, "kept too, and meanwhile");
        for (const page of [ada, bob, late]) await isSynced(page);
      };
      return meeting(scheme, ["Ada", "Bob"], come, { expected: gone });
    });
  });
}

test("what one did is undone and done again, and nobody else's", () =>
  meeting("https", ["Ada", "Bob"], async (ada, bob) => {
    const place = room();
    await open(ada, place);
    await open(bob, place);
    await add(ada, "one");
    await see([bob], list, ["one"]);
    await add(bob, "two");
    await see([ada], list, ["one", "two"]);
    await add(ada, "three");
    await see([bob], list, ["one", "two", "three"]);
    await press(bob, "remove one");
    await see([ada, bob], list, ["two", "three"]);
    await press(ada, "undo");
    await see([ada, bob], list, ["two"]);
    await press(bob, "undo");
    await see([ada, bob], list, ["one", "two"]);
    await press(ada, "redo");
    await see([ada, bob], list, ["one", "two", "three"]);
    for (const page of [ada, bob]) await isSynced(page);
  }));

test("a reader sees everything, and edits nothing", () =>
  meeting("https", ["Ada", "Bob"], async (ada, bob) => {
    const place = room();
    await open(ada, place);
    await add(ada, "to be read");
    await open(bob, place, READER);
    await shows(bob, "#self", /Bob, who may read/);
    await see([bob], list, ["to be read"]);
    await type(ada, "End", "and this");
    await see([bob], text, "and this");
    await bob.mouse.move(450, 260);
    await see([ada], cursors, ["Bob at 450,260"]);
    for (const name of ["add", "remove to be read"]) assert.ok(await bob.getByRole("button", { name, exact: true }).isDisabled());
    await type(bob, "End", "no");
    await add(ada, "later");
    await see([ada, bob], list, ["to be read", "later"]);
    for (const page of [ada, bob]) assert.equal(await text(page), "and this");
  }));

test("an editor by y-websocket has the same text, and a visitor by the public key", () =>
  meeting("https", ["Ada", "Bob", "a stranger"], async (ada, bob, stranger) => {
    const place = room();
    await open(ada, place);
    await type(ada, "End", "by one, ");
    await open(bob, place, "&socket");
    await see([bob], text, "by one, ");
    await type(bob, "End", "by the other");
    await open(stranger, place, `&public=${PUBLIC}`);
    await shows(stranger, "#self", "somebody, who may write");
    await see([ada], others, ["Bob", "somebody"]);
    await type(stranger, "End", ", by anybody");
    await add(stranger, "anything");
    await see([ada, bob, stranger], text, "by one, by the other, by anybody");
    await see([ada, bob, stranger], list, ["anything"]);
    for (const page of [ada, bob, stranger]) await isSynced(page);
  }));

test("whom the app or the door refuses hears why", () => {
  const come = async (unknown, keyed) => {
    await unknown.goto("/liveblocks");
    await reads(unknown, "error", "Sign in first.");
    await keyed.goto("/liveblocks?public=pk_other");
    await reads(keyed, "error", "not the public key");
    for (const page of [unknown, keyed]) {
      await shows(page, "#status", "disconnected");
      // What waits for the room's storage waits on.
      await page.locator(".loading").last().waitFor();
    }
  };
  return meeting("https", ["a stranger", "another"], come, { expected: [/status of 403/, /Sign in first/, /not the public key/] });
});

test("a deploy of the app is noticed by nobody", () =>
  meeting("https", ["Ada", "Bob"], async (ada, bob) => {
    const place = room();
    await open(ada, place);
    await open(bob, place);
    await add(ada, "before");
    const process = async () => (await (await ada.request.get("/api/process")).json()).pid;
    const first = await process();
    const now = new Date();
    utimesSync(join(dir, ".next/BUILD_ID"), now, now);
    const answer = await fetch(`http://${door.addresses.admin}/reload`, { method: "POST" });
    assert.equal(answer.status, 200, await answer.text());
    await eventually("another process of the app", async () => (await process()) !== first);
    await add(bob, "after");
    await type(ada, "End", "as ever");
    await see([ada, bob], list, ["before", "after"]);
    await see([ada, bob], text, "as ever");
    await see([ada], others, ["Bob"]);
    for (const page of [ada, bob]) {
      await shows(page, "#status", "connected");
      assert.deepEqual(await lines(page, "notice"), [], "no connection was lost");
    }
  }));
