// `output: "export"`: the door serves the pages from disk by itself, without a process of Node.js.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { build, copyApp, edit } from "./harness/app.js";
import { launch, visiting } from "./harness/browser.js";
import { config, Doorway } from "./harness/doorway.js";
import { paths } from "./harness/paths.js";

const APP = join(paths.root, "tests/apps/export");

let browser, door, origin;
before(async () => {
  browser = await launch();
  door = await Doorway.start(config({ listen: { http: "127.0.0.1:0" }, app: { dir: APP } }));
  origin = door.origin("http");
});
after(async () => {
  await door?.stop();
  await browser?.close();
});

const get = (path, options) => fetch(origin + path, { redirect: "manual", ...options });

test("pages have clean addresses, and one each", async () => {
  for (const [path, heading] of [["/", "Home"], ["/about", "About"], ["/about?from=1", "About"], ["/about.html", "About"]]) {
    const answer = await get(path);
    assert.equal(answer.status, 200, path);
    assert.match(answer.headers.get("content-type"), /^text\/html/);
    assert.equal(answer.headers.get("cache-control"), "public, max-age=0, must-revalidate");
    assert.match(await answer.text(), new RegExp(`<h1>${heading}</h1>`), path);
    const again = await get(path, { headers: { "if-none-match": answer.headers.get("etag") } });
    assert.equal(again.status, 304, path);
  }
  const slash = await get("/about/?from=1");
  assert.deepEqual([slash.status, slash.headers.get("location")], [308, "/about?from=1"]);
  assert.equal((await get("/", { method: "POST" })).status, 405);
});

test("what is not there is the app's own 404", async () => {
  for (const path of ["/nothing", "/about/nothing", "/_next/static/nothing.js", "/.env", "/about%2f"]) {
    const answer = await get(path);
    assert.equal(answer.status, 404, path);
    if (!path.startsWith("/about%")) assert.match(await answer.text(), /Nothing is here/, path);
  }
});

test("files have their names, and those that never change say so", async () => {
  assert.equal(await (await get("/robots.txt")).text(), "of the public folder\n");
  assert.equal(await (await get("/.well-known/test.txt")).text(), "known\n");
  const chunks = readdirSync(join(APP, "out/_next/static/chunks")).filter((name) => name.endsWith(".js"));
  const chunk = await get(`/_next/static/chunks/${chunks[0]}`);
  assert.deepEqual([chunk.status, chunk.headers.get("cache-control")], [200, "public, max-age=31536000, immutable"]);
});

test("a person goes from page to page, and sockets are the hub's", () =>
  visiting(browser, origin, async (page) => {
    await page.goto("/");
    await page.getByRole("link", { name: "About" }).click();
    await page.locator("h1", { hasText: "About" }).waitFor();
    assert.equal(page.url(), `${origin}/about`);
    const heard = await page.evaluate(
      () =>
        new Promise((resolve, reject) => {
          const socket = new WebSocket("/api/ws/lobby");
          socket.onopen = () => socket.send("hello");
          socket.onmessage = ({ data }) => JSON.parse(data).data === "hello" && resolve("hello");
          socket.onclose = () => reject(new Error("closed"));
        }),
    );
    assert.equal(heard, "hello");
  }));

test("no process is started, and a second start builds nothing", async () => {
  const said = (door) => door.child.lines.join("\n");
  assert.doesNotMatch(said(door), /app started/);
  assert.match(said(door), /the app is an export/);
  const second = await Doorway.start(config({ listen: { http: "127.0.0.1:0" }, app: { dir: APP } }));
  assert.doesNotMatch(said(second), /"building: /);
  assert.equal((await fetch(second.origin("http"))).status, 200);
  await second.stop();
});

test("trailingSlash ends addresses in a slash", async () => {
  const copy = copyApp(APP);
  edit(join(copy, "next.config.mjs"), "trailingSlash: false", "trailingSlash: true");
  build(copy);
  const other = await Doorway.start(config({ listen: { http: "127.0.0.1:0" }, app: { dir: copy, build: "never" } }));
  const bare = await fetch(`${other.origin("http")}/about?from=1`, { redirect: "manual" });
  assert.deepEqual([bare.status, bare.headers.get("location")], [308, "/about/?from=1"]);
  const page = await fetch(`${other.origin("http")}/about/`, { redirect: "manual" });
  assert.equal(page.status, 200);
  assert.match(await page.text(), /<h1>About<\/h1>/);
  assert.equal((await fetch(`${other.origin("http")}/robots.txt`, { redirect: "manual" })).status, 200);
  await other.stop();
});
