// Rewrites of a `proxy.ts` or middleware work over https as over http, in every form and every way to start Next, and an
// app may ask itself at its public address.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { build, copyApp, startNext } from "./harness/app.js";
import { launch, visiting } from "./harness/browser.js";
import { config, Doorway } from "./harness/doorway.js";
import { paths } from "./harness/paths.js";

// What the machine has set is not what is meant to be tested.
delete process.env.NODE_EXTRA_CA_CERTS;

/** A file of certificates that somebody else wants trusted. */
const others = join(mkdtempSync(join(tmpdir(), "authority-")), "authority.pem");
after(() => rmSync(join(others, ".."), { recursive: true }));
const [key, subject] = [join(others, "../key.pem"), "/CN=an authority that nobody here uses"];
execFileSync("openssl", ["req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", key, "-out", others, "-subj", subject], {
  stdio: "ignore",
});

const FORMS = ["url", "clone", "string"];

const MIDDLEWARE = `import { rewrite } from "./rules";\n\nexport const middleware = rewrite;\n`;

/** How each app comes to be; those that are built as they stand were built before the tests. */
const BUILDS = [
  { name: "Next 16, proxy.js", app: "rewrites-16" },
  {
    name: "Next 16, middleware.js at the edge",
    app: "rewrites-16",
    edit(copy) {
      renameSync(join(copy, "proxy.js"), join(copy, "middleware.js"));
      writeFileSync(join(copy, "middleware.js"), MIDDLEWARE);
    },
  },
  { name: "Next 15, middleware.js at the edge", app: "rewrites-15" },
  {
    name: "Next 15, middleware.js in Node",
    app: "rewrites-15",
    edit: (copy) => writeFileSync(join(copy, "middleware.js"), `${MIDDLEWARE}\nexport const config = { runtime: "nodejs" };\n`),
  },
];

let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

for (const { name, app, edit } of BUILDS) {
  describe(name, () => {
    const original = join(paths.root, "tests/apps", app);
    const copy = copyApp(original);
    before(() => {
      edit?.(copy);
      if (edit) build(copy);
      else cpSync(join(original, ".next"), join(copy, ".next"), { recursive: true });
    });

    describe("as a standalone build", () => works(copy));

    describe("by next start, where the app trusts somebody else's authority too", () => {
      before(() => {
        process.env.NODE_EXTRA_CA_CERTS = others;
        renameSync(join(copy, ".next/standalone"), join(copy, ".next/away"));
      });
      after(() => delete process.env.NODE_EXTRA_CA_CERTS);
      works(copy);
    });
  });
}

/** Tests of a door that runs the app in `directory`. */
function works(directory) {
  for (const scheme of ["https", "http"]) {
    let door;
    before(async () => (door = await Doorway.start(config({ app: { dir: directory }, listen: { [scheme]: "127.0.0.1:0" } }))));
    after(() => door?.stop());

    test(`rewrites lead to their targets over ${scheme}`, async () => {
      for (const form of FORMS) {
        for (const [target, heading] of [["app-target", "app target"], ["pages-target", "pages target"]]) {
          const { status, body } = await ask(`${door.origin(scheme)}/${form}/${target}`);
          assert.equal(status, 200, `/${form}/${target}: ${body}`);
          assert.match(body, new RegExp(`<h1>${heading}</h1>`));
        }
      }
    });

    test(`links of the Pages Router to rewritten paths load no page anew over ${scheme}`, () =>
      visiting(browser, door.origin(scheme), async (page) => {
        for (const form of FORMS) {
          await page.goto("/links");
          await page.evaluate(() => (window.isTheSamePage = true));
          await page.getByRole("link", { name: form }).click();
          await page.getByRole("heading", { name: "pages target" }).waitFor();
          assert.equal(await page.evaluate(() => window.isTheSamePage), true, form);
        }
      }, { expected: [/favicon\.ico/] }));

    test(`the app may ask itself at its public address over ${scheme}`, async () => {
      const { status, body } = await ask(`${door.origin(scheme)}/api/self`);
      assert.deepEqual({ status, body }, { status: 200, body: '{"hello":true}' });
    });
  }
}

test("an app that was started with an address is known by its first such answer", async () => {
  const app = await startNext(join(paths.root, "tests/apps/rewrites-16"), "127.0.0.1", "/api/hello");
  try {
    const door = await Doorway.start(config({ app: { url: app.url.replace("localhost", "127.0.0.1") } }));
    try {
      assert.equal((await ask(`${door.origin("https")}/app-target`)).status, 200);
      const heard = door.heard;
      assert.equal((await ask(`${door.origin("https")}/url/app-target`)).status, 500);
      const said = await door.said("what is wrong", (log) => log.help, { after: heard });
      assert.match(said, /next start -H localhost/);
    } finally {
      await door.stop();
    }
  } finally {
    await app.child.stop();
  }
});

/** GET, whoever made the certificate. */
function ask(url) {
  if (url.startsWith("http:")) return fetch(url).then(async (answer) => ({ status: answer.status, body: await answer.text() }));
  return new Promise((resolve, reject) => {
    https.get(url, { rejectUnauthorized: false }, async (answer) => {
      let body = "";
      for await (const chunk of answer.setEncoding("utf8")) body += chunk;
      resolve({ status: answer.statusCode, body });
    }).on("error", reject);
  });
}
