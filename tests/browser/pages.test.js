// What a visitor sees of a stock Next.js app behind the door, over http and over https.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, visiting } from "./harness/browser.js";
import { config, Doorway } from "./harness/doorway.js";
import { eventually } from "./harness/eventually.js";
import { scratch } from "./harness/paths.js";

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

for (const scheme of ["https", "http"]) {
  describe(`pages over ${scheme}`, () => {
    let door, origin;
    before(async () => {
      door = await Doorway.start(config({ listen: { [scheme]: "127.0.0.1:0" } }));
      origin = door.origin(scheme);
    });
    after(() => door?.stop());

    const page = (visit, options) => visiting(browser, origin, visit, options);

    test("a page loads and hydrates", () =>
      page(async (page) => {
        const response = await page.goto("/");
        assert.equal(response.status(), 200);
        assert.equal(await page.title(), "Doorway's test app");
        const counter = page.locator("#counter");
        await eventually("the counter to count", async () => {
          await counter.click();
          return (await counter.textContent()) !== "clicked 0 times";
        });
      }));

    test("links go from page to page without loading anew", () =>
      page(async (page) => {
        await page.goto("/");
        await page.evaluate(() => (window.stayed = true));
        for (const [link, heading] of [["isr", "Incremental static regeneration"], ["cookies", "Cookies"], ["stream", "Stream"], ["chat", "Chat"]]) {
          await page.getByRole("link", { name: link, exact: true }).click();
          await page.getByRole("heading", { name: heading, exact: true }).waitFor();
        }
        assert.equal(await page.evaluate(() => window.stayed), true);
      }));

    test("a streamed page shows its shell before its slow part", () =>
      page(async (page) => {
        await page.goto("/stream?wait=3000", { waitUntil: "commit" });
        await page.locator("#shell").waitFor();
        assert.equal(await page.locator("#waiting").isVisible(), true);
        assert.equal(await page.locator("#slow").count(), 0);
        await page.locator("#slow").waitFor();
        assert.equal(await page.locator("#waiting").count(), 0);
      }));

    test("a large page comes compressed, by the best the browser takes", () =>
      page(async (page) => {
        const response = await page.goto("/large");
        const encoding = await response.headerValue("content-encoding");
        assert.ok(scheme === "https" ? ["br", "zstd"].includes(encoding) : encoding, `content-encoding: ${encoding}`);
        assert.equal(await page.locator("main li").count(), 2000);
        const { transferred, decoded } = await page.evaluate(() => {
          const [entry] = performance.getEntriesByType("navigation");
          return { transferred: entry.encodedBodySize, decoded: entry.decodedBodySize };
        });
        assert.ok(transferred * 4 < decoded, `${transferred} of ${decoded} bytes`);
      }));

    test("the protocol is the best there is", () =>
      page(async (page) => {
        await page.goto("/");
        const protocol = await page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
        assert.equal(protocol, scheme === "https" ? "h2" : "http/1.1");
      }));

    test("a Server Action answers", () =>
      page(async (page) => {
        await page.goto("/action");
        await page.getByLabel("name").fill("Zoë");
        await page.getByRole("button", { name: "sign" }).click();
        assert.equal(await page.locator("#signed").textContent(), "Zoë signed with 3 letters");
      }));

    test("a Server Action answers without scripts, too", () =>
      page(
        async (page) => {
          await page.goto("/action");
          await page.getByLabel("name").fill("Noor");
          await page.getByRole("button", { name: "sign" }).click();
          assert.equal(await page.locator("#signed").textContent(), "Noor signed with 4 letters");
        },
        { javaScriptEnabled: false },
      ));

    test("an ISR page is kept, then made anew", () =>
      page(async (page) => {
        const made = async () => {
          await page.goto("/isr");
          return page.locator("#made").textContent();
        };
        const first = await made();
        await eventually("the page to be made anew", async () => (await made()) !== first);
      }));

    test("server-sent events come as they are sent", () =>
      page(async (page) => {
        await page.goto("/events");
        await page.locator("#done").waitFor();
        const late = await page.locator("main li").evaluateAll((ticks) => ticks.map((tick) => Number(tick.dataset.late)));
        assert.equal(late.length, 5);
        // Held back until the end, the first would be 1,000 ms late.
        assert.ok(late[0] < 600, `seen ${late} ms late`);
      }));

    test("an upload arrives whole", () =>
      page(async (page) => {
        const bytes = randomBytes(24 * 1024 * 1024);
        const file = join(scratch(), "noise.bin");
        writeFileSync(file, bytes);
        await page.goto("/upload", { waitUntil: "networkidle" });
        await page.getByLabel("file").setInputFiles(file);
        const received = await page.locator("#received").textContent({ timeout: 60_000 });
        assert.equal(received, `${bytes.length} bytes, sha256 ${createHash("sha256").update(bytes).digest("hex")}`);
      }));

    test("next/image makes the picture smaller and the browser shows it", () =>
      page(async (page) => {
        const answer = page.waitForResponse(/\/_next\/image\?/);
        await page.goto("/image");
        assert.equal(await (await answer).headerValue("content-type"), "image/webp");
        const image = page.getByAltText("A door in a wall");
        await eventually("the picture", () => image.evaluate((image) => image.complete && image.naturalWidth > 0));
      }));

    test("a cookie is set, read and forgotten", () =>
      page(async (page, context) => {
        const greeting = page.locator("#greeting");
        const says = (text) => page.locator("#greeting", { hasText: text }).waitFor();
        await page.goto("/cookies");
        assert.equal(await greeting.textContent(), "Hello, stranger");
        await page.getByLabel("name").fill("Ada");
        await page.getByRole("button", { name: "remember me" }).click();
        await says("Hello again, Ada");
        const [cookie] = await context.cookies();
        assert.equal(cookie.secure, scheme === "https");
        await page.reload();
        assert.equal(await greeting.textContent(), "Hello again, Ada");
        await page.getByRole("button", { name: "forget me" }).click();
        await says("Hello, stranger");
      }));

    for (const path of ["/old", "/api/go"]) {
      test(`a redirect from ${path} stays at the door`, () =>
        page(async (page) => {
          await page.goto(path);
          assert.equal(page.url(), `${origin}/moved`);
          assert.equal(await page.locator("h1").textContent(), "It is here now");
        }));
    }

    test("proxy.ts runs, and the app learns the public address", () =>
      page(async (page) => {
        const response = await page.goto("/api/headers");
        assert.equal(await response.headerValue("x-app-proxy"), "seen");
        const { headers } = await response.json();
        assert.equal(headers["x-forwarded-proto"], scheme);
        assert.equal(headers["x-forwarded-host"], new URL(origin).host);
        assert.equal(headers["x-forwarded-port"], String(door.port(scheme)));
        assert.equal(headers["x-forwarded-for"], "127.0.0.1");
      }));

    test("a page that is not there is the app's own 404", () =>
      page(
        async (page) => {
          const response = await page.goto("/nowhere");
          assert.equal(response.status(), 404);
          await page.getByText("This page could not be found").waitFor();
        },
        { expected: [/status of 404 .*\/nowhere$/] },
      ));
  });
}

test("http leads to https, path and query kept", async () => {
  const door = await Doorway.start(config());
  try {
    await visiting(browser, door.origin("http"), async (page) => {
      await page.goto("/isr?from=http");
      assert.equal(page.url(), `${door.origin("https")}/isr?from=http`);
      await page.locator("#made").waitFor();
    });
  } finally {
    await door.stop();
  }
});
