// A deploy under open tabs: those of the build before go on with the app of that build for a while, and load themselves anew
// when it is gone.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { build, copyApp } from "./harness/app.js";
import { launch, visiting } from "./harness/browser.js";
import { config, Doorway } from "./harness/doorway.js";
import { eventually } from "./harness/eventually.js";
import { paths, scratch } from "./harness/paths.js";

const folder = scratch(join(paths.root, "target"));
const current = join(folder, "current");
let browser, door;
// One real build, named as the door names those that it makes.
const NAME = "0123456789ab";
const first = copyApp();
before(async () => {
  build(first, { NEXT_DEPLOYMENT_ID: NAME });
  browser = await launch();
  lead(first);
  door = await Doorway.start(config({ app: { dir: current } }));
});
after(async () => {
  await browser?.close();
  await door?.stop();
});

/** In one step, as a deploy does. */
function lead(release) {
  symlinkSync(release, join(folder, "next"));
  renameSync(join(folder, "next"), current);
}

async function deploy(release) {
  lead(release);
  const answer = await fetch(`http://${door.addresses.admin}/reload`, { method: "POST" });
  assert.equal(answer.status, 200, await answer.text());
}

/** As the build names itself. */
function id(release) {
  return JSON.parse(readFileSync(join(release, ".next/required-server-files.json"), "utf8")).config.deploymentId;
}

/** Another build without its cost: a copy with another name, in which each Server Action is another. */
function rebuilt(release, name) {
  const copy = join(folder, name);
  mkdirSync(copy);
  for (const file of readdirSync(release)) {
    if (file === "node_modules") symlinkSync(join(release, file), join(copy, file));
    else if (file !== ".next") execFileSync("cp", ["-a", join(release, file), copy]);
  }
  execFileSync("cp", ["-a", join(release, ".next"), copy]);
  const actions = JSON.parse(readFileSync(join(copy, ".next/server/server-reference-manifest.json"), "utf8"));
  const names = Object.keys({ ...actions.node, ...actions.edge });
  assert.notEqual(names.length, 0);
  // Of the same length; what it begins with says which arguments it takes.
  const other = (action) => action.slice(0, -4) + [...action.slice(-4)].map((digit) => ((parseInt(digit, 16) + name.length) % 16).toString(16)).join("");
  const words = [[id(release), name.padEnd(12, "0")], ...names.map((action) => [action, other(action)])];
  for (const entry of readdirSync(join(copy, ".next"), { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (!entry.isFile() || file.includes("/.next/cache/")) continue;
    const text = readFileSync(file, "latin1");
    const changed = words.reduce((text, [from, to]) => text.replaceAll(from, to), text);
    if (changed !== text) writeFileSync(file, changed, "latin1");
  }
  return copy;
}

async function metric(name) {
  const text = await (await door.admin("/metrics")).text();
  return Number(new RegExp(`^doorway_${name} (.*)$`, "m").exec(text)?.[1]);
}

/** Which build the page in a tab is of, by the addresses of its scripts, and whether it was not loaded anew since it was marked. */
const state = (page) =>
  page.evaluate(() => {
    const [build] = [...document.scripts].map(({ src }) => src && new URL(src).searchParams.get("dpl")).filter(Boolean);
    return { build, isMarked: window.marked === true };
  });
const mark = (page) => page.evaluate(() => void (window.marked = true));

async function open(page) {
  await page.goto("/action");
  await page.getByRole("button", { name: "sign" }).waitFor();
  await page.waitForLoadState("networkidle");
  await mark(page);
}

async function sign(page, name) {
  await page.getByLabel("name").fill(name);
  await page.getByRole("button", { name: "sign" }).click();
}

const signed = (page, name) => page.locator("#signed", { hasText: `${name} signed with ${name.length} letters` }).waitFor();

// What the new build says of an action that it does not know; a prefetch that a reload breaks off.
const expected = [/status of 409/, /net::ERR_ABORTED/];

test("open tabs go on with their build, and load themselves anew when it is gone", () =>
  visiting(browser, door.origin("https"), async (alice) =>
    visiting(browser, door.origin("https"), async (bob) => {
      const one = id(first);
      assert.equal(one, NAME);
      await open(alice);
      await open(bob);
      assert.deepEqual(await state(alice), { build: one, isMarked: true });

      const second = rebuilt(first, "second");
      await deploy(second);
      assert.equal(await metric("upstream_previous"), 1);
      await sign(alice, "Ida");
      await signed(alice, "Ida");
      const asked = await metric("upstream_previous_requests_total");
      assert.ok(asked >= 1, `the old build was asked ${asked} times`);
      await alice.getByRole("link", { name: "cookies", exact: true }).click();
      await alice.getByRole("heading", { name: /cookies/i }).waitFor();
      assert.deepEqual(await state(alice), { build: one, isMarked: true }, "nothing was loaded anew");
      assert.ok((await metric("upstream_previous_requests_total")) > asked);

      await visiting(browser, door.origin("https"), async (carol) => {
        await open(carol);
        assert.equal((await state(carol)).build, id(second));
        await sign(carol, "Carol");
        await signed(carol, "Carol");

        // The next deploy: the build of Alice and Bob is gone, that of Carol is kept.
        await deploy(rebuilt(first, "the-third"));
        await sign(carol, "Caroline");
        await signed(carol, "Caroline");
        assert.deepEqual(await state(carol), { build: id(second), isMarked: true });
      }, { expected });

      const third = id(current);
      assert.equal(new Set([one, id(second), third]).size, 3);
      await sign(bob, "Bob");
      await eventually("the page of a gone build to load itself anew", async () => {
        const { build, isMarked } = await state(bob).catch(() => ({}));
        return build === third && isMarked === false;
      });
      assert.equal(new URL(bob.url()).pathname, "/action");
      assert.equal(await metric("upstream_stale_actions_total"), 1);
      await bob.getByRole("button", { name: "sign" }).waitFor();
      await bob.waitForLoadState("networkidle");
      await sign(bob, "Robert");
      await signed(bob, "Robert");

      await alice.getByRole("link", { name: "action", exact: true }).click();
      await alice.getByRole("heading", { name: "Server Action" }).waitFor();
      // From memory still; what has to be asked for is of another build.
      await alice.getByRole("link", { name: "cookies", exact: true }).click();
      await eventually("a navigation to load the new build", async () => {
        if ((await state(alice).catch(() => ({}))).build === third) return true;
        await alice.getByRole("link", { name: "events", exact: true }).click({ timeout: 1000 }).catch(() => {});
        await alice.getByRole("link", { name: "cookies", exact: true }).click({ timeout: 1000 }).catch(() => {});
        return false;
      });
    }, { expected }),
    { expected },
  ));
