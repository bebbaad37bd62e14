// Vue, Svelte and React pages of stock Nuxt, SvelteKit and React Router apps, and Astro's forms, behind one door each.
import assert from "node:assert/strict";
import { utimesSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { copyApp, edit } from "./harness/app.js";
import { launch, visiting } from "./harness/browser.js";
import { config, Doorway } from "./harness/doorway.js";
import { eventually } from "./harness/eventually.js";
import { paths } from "./harness/paths.js";

const CHANNELS = [{ match: "room-*", history: 100, presence: "all" }];
const HUB = {
  "realtime.channel": CHANNELS,
  "realtime.socketio": [{ path: "/socket.io/" }],
  "realtime.pusher": [{ id: "1", key: "app-key", secret: "app-secret", auth: "doorway" }],
};

/** Its folder, the first file of a build of it, and what is its own. */
const FRAMEWORKS = [
  { name: "nuxt", mark: ".output/server/index.mjs", socket: "/_ws" },
  { name: "sveltekit", mark: "build/index.js", form: "/form", client: true },
  { name: "react-router", mark: "build/server/index.js", form: "/form" },
];

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** A door before a copy of a stock app, that nobody has told which framework it is. */
async function open(name) {
  const dir = copyApp(join(paths.root, "tests/apps", name));
  const app = { dir, build: "never", health_interval: "100ms" };
  const sections = { app, https: { redirect: false }, ...HUB };
  return { dir, door: await Doorway.start(config(sections)) };
}

const text = (page, id, is) => page.locator(`#${id}`, { hasText: is }).waitFor();

async function enter(page) {
  await page.goto("/room");
  await text(page, "status", /^open$/);
}

async function say(page, words) {
  await page.getByLabel("message").fill(words);
  await page.getByRole("button", { name: "send" }).click();
}

const heard = (page, words) => page.locator("#room li", { hasText: words }).waitFor();

const asked = async (door, method, path) => {
  const response = await fetch(`http://${door.addresses.admin}${path}`, { method });
  return { status: response.status, text: await response.text() };
};

async function running(page) {
  const response = await page.request.get("/api/process");
  assert.equal(response.status(), 200);
  return response.json();
}

for (const { name, mark, form, client, socket } of FRAMEWORKS) {
  describe(name, () => {
    let door, dir;
    before(async () => ({ door, dir } = await open(name)));
    after(() => door?.stop());

    test("its pages use the hub, and keep their sockets when the app dies and when it is deployed", () =>
      visiting(browser, door.origin("https"), (alice) =>
        visiting(browser, door.origin("https"), async (bob) => {
          await enter(alice);
          await enter(bob);
          for (const page of [alice, bob]) {
            await text(page, "members", /^2$/);
            for (const said of ["socket.io connected", "pusher connected"]) await text(page, "stock", said);
          }
          await say(alice, "hello from alice");
          await heard(bob, "hello from alice");

          const first = await running(alice);
          assert.equal(first.url, `${door.origin("https")}/api/process`);
          process.kill(first.pid, "SIGKILL");
          await say(bob, "is anybody there?");
          await heard(alice, "is anybody there?");
          const second = await eventually("the app to answer again", async () => {
            const now = await running(alice);
            return now.pid !== first.pid && now;
          });

          const now = new Date();
          utimesSync(join(dir, mark), now, now);
          const { status, text: outcome } = await asked(door, "POST", "/reload");
          assert.equal(status, 200, outcome);
          assert.notEqual((await running(alice)).pid, second.pid, "another build, another process");
          await say(alice, "deployed");
          await heard(bob, "deployed");
          for (const page of [alice, bob]) {
            await text(page, "opened", /^1$/);
            await text(page, "status", /^open$/);
          }

          // What was said before and between two lives of the app is there for who comes later.
          await bob.reload();
          for (const words of ["hello from alice", "is anybody there?", "deployed"]) await heard(bob, words);
        }),
      ));

    test("files with a hash in their name never wake the app, and never change", () =>
      visiting(browser, door.origin("https"), async (page) => {
        const files = [];
        page.on("response", (response) => {
          if (["script", "stylesheet"].includes(response.request().resourceType())) files.push(response);
        });
        await enter(page);
        assert.ok(files.length > 0);
        for (const file of files) {
          const headers = file.headers();
          assert.equal(headers["cache-control"], "public, max-age=31536000, immutable", file.url());
        }
        const { text: metrics } = await asked(door, "GET", "/metrics");
        const answers = Number(/^doorway_files_answers_total(?:\{[^}]*\})? (\d+)/m.exec(metrics)?.[1]);
        assert.ok(answers >= files.length, `${answers} of ${files.length} files came from disk`);
      }));

    if (form) {
      for (const scheme of ["https", "http"]) {
        test(`its forms are sent over ${scheme}, with and without JavaScript`, async () => {
          const origin = door.origin(scheme);
          for (const javaScriptEnabled of [true, false]) {
            const sign = async (page) => {
              await page.goto(form);
              await page.getByLabel("name").fill("Ida");
              await page.getByRole("button", { name: "sign" }).click();
              await text(page, "signed", `Ida at ${origin}`);
            };
            await visiting(browser, origin, sign, { javaScriptEnabled });
          }
        });
      }
    }

    if (client) {
      test("it knows clients by their own addresses", async () => {
        const headers = { origin: door.origin("http"), host: `localhost:${door.port("http")}`, "content-type": "application/x-www-form-urlencoded" };
        const there = { host: "127.0.0.1", port: door.port("http"), localAddress: "127.0.0.2", path: form, method: "POST", headers };
        const answer = await new Promise((resolve, reject) => request(there, resolve).on("error", reject).end("name=Ida"));
        const page = (await answer.toArray()).join("");
        assert.match(page, /Ida at http:\/\/localhost:\d+ from 127\.0\.0\.2/);
      });
    }

    if (socket) {
      test("its own WebSocket is its own", () =>
        visiting(browser, door.origin("https"), async (page) => {
          await page.goto("/");
          const said = await page.evaluate(
            (path) =>
              new Promise((resolve, reject) => {
                const ws = new WebSocket(path);
                const said = [];
                ws.onerror = () => reject(new Error("no socket"));
                ws.onmessage = async ({ data }) => {
                  said.push(typeof data === "string" ? data : await data.text());
                  if (said.length === 1) ws.send("hello");
                  else resolve(said);
                };
              }),
            socket,
          );
          assert.deepEqual(said, ["nitro is there", "nitro heard hello"]);
        }));
    }

    test("the door's question how it is stands in no log", () => {
      // It was asked ten times a second all the while.
      const asked = door.child.lines.filter((line) => /HEAD|_next\/static\/doorway/.test(line));
      assert.deepEqual(asked, []);
    });
  });
}

test("SvelteKit in development reloads through the door", async () => {
  const dir = copyApp(join(paths.root, "tests/apps/sveltekit"));
  const door = await Doorway.start(config({ app: { dir, dev: true }, listen: { https: "127.0.0.1:0" } }));
  try {
    await visiting(browser, door.origin("https"), async (page) => {
      const connected = page.waitForEvent("console", { predicate: (message) => message.text() === "[vite] connected." });
      await page.goto("/");
      await connected;
      // Vite loads a page anew where it finds another package to prepare, and does not tell a page of a file that the page
      // has not asked for yet: an edit after that counts.
      let [before, edits] = ["SvelteKit", 0];
      await eventually("an edit to be seen in a page that stays", async () => {
        await page.evaluate(() => (window.untouched = true));
        const now = `edited ${++edits}`;
        edit(join(dir, "src/routes/+page.svelte"), `<h1>${before}</h1>`, `<h1>${now}</h1>`);
        before = now;
        await page.getByRole("heading", { name: now, exact: true }).waitFor({ timeout: 5_000 });
        return page.evaluate(() => window.untouched);
      }, 60_000);
    });
  } finally {
    await door.stop();
  }
});

test("Astro's forms are sent over https", async () => {
  const { door } = await open("astro");
  try {
    await visiting(browser, door.origin("https"), async (page) => {
      await page.goto("/form");
      await page.getByLabel("name").fill("Ida");
      await page.getByRole("button", { name: "sign" }).click();
      await text(page, "signed", `Ida at ${door.origin("https")}`);
    });
  } finally {
    await door.stop();
  }
});
