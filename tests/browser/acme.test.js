// A certificate that the door ordered by itself, in Chromium: the padlock, a page and a socket; and what is there before.
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { visiting } from "./harness/browser.js";
import { makeServerCertificate } from "./harness/certificate.js";
import { Child } from "./harness/child.js";
import { config, Doorway } from "./harness/doorway.js";
import { eventually } from "./harness/eventually.js";
import { paths, scratch } from "./harness/paths.js";

const NAME = "site.test";

let browser, door, names, authority;
const directory = scratch();
/** For pebble itself. */
const own = makeServerCertificate();

/** A port that was free just now. */
const free = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** What pebble says at its management address. */
const ask = (port, path) =>
  new Promise((resolve, reject) => {
    const request = get({ host: "127.0.0.1", port, path, ca: readFileSync(own.certificate), servername: "localhost" }, async (answer) => {
      let text = "";
      for await (const piece of answer) text += piece;
      resolve(text);
    });
    request.on("error", reject);
  });

before(async () => {
  const [listens, management, dns, records] = await Promise.all([free(), free(), free(), free()]);
  const acme = { directory: `https://127.0.0.1:${listens}/dir`, ca_file: own.certificate, storage: join(directory, "acme") };
  const sections = config({ tls: { domains: [NAME] }, "tls.acme": { ...acme, directory: "https://127.0.0.1:9/dir" } });
  // The authority must know the door's ports, so it comes second.
  door = await Doorway.start(sections);
  await door.said("that there is no authority", (log) => log.message === "no certificate");

  const file = join(directory, "pebble.json");
  const pebble = {
    listenAddress: `127.0.0.1:${listens}`,
    managementListenAddress: `127.0.0.1:${management}`,
    certificate: own.certificate,
    privateKey: own.key,
    httpPort: door.port("http"),
    tlsPort: door.port("https"),
    ocspResponderURL: "",
    externalAccountBindingRequired: false,
  };
  writeFileSync(file, JSON.stringify({ pebble }));
  names = new Child("names", "pebble-challtestsrv", ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "", "-dns01", `127.0.0.1:${dns}`, "-management", `127.0.0.1:${records}`]);
  authority = new Child("pebble", "pebble", ["-config", file, "-dnsserver", `127.0.0.1:${dns}`], { env: { ...process.env, PEBBLE_VA_NOSLEEP: "1" } });
  const intermediate = await eventually("pebble", () => ask(management, "/intermediates/0"));

  const key = new X509Certificate(intermediate).publicKey.export({ type: "spki", format: "der" });
  const trusted = createHash("sha256").update(key).digest("base64");
  const [http, https] = ["http", "https"].map((kind) => door.port(kind));
  // Also the port that the door itself sends to, which is not 443 here.
  const map = [`${NAME}:80 127.0.0.1:${http}`, `${NAME}:443 127.0.0.1:${https}`, `${NAME}:${https} 127.0.0.1:${https}`].map((rule) => `MAP ${rule}`).join(", ");
  browser = await chromium.launch({
    executablePath: paths.chromium,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", `--host-resolver-rules=${map}`, `--ignore-certificate-errors-spki-list=${trusted}`],
  });
  before.acme = { sections, acme };
});
after(async () => {
  await browser?.close();
  await door?.stop();
  await authority?.stop();
  await names?.stop();
});

test("before the certificate a page says so, and comes again by itself to the site", () =>
  visiting(
    browser,
    `http://${NAME}`,
    async (page) => {
      const waiting = await page.goto("/");
      assert.equal(waiting.status(), 503);
      assert.match(await page.textContent("body"), /certificate/);
      await assert.rejects(page.context().newPage().then((other) => other.goto(`https://${NAME}/`)), /ERR_CERT/);

      const { sections, acme } = before.acme;
      door.rewrite({ ...sections, "tls.acme": acme });
      door.signal("SIGHUP");
      await door.said("that it is there", (log) => log.message === "the certificate is in use");
      await page.waitForURL(/^https:/, { timeout: 60_000 });
    },
    { ignoreHTTPSErrors: false, expected: [/503/] },
  ));

test("the certificate is the authority's, for page and socket", () =>
  visiting(
    browser,
    `https://${NAME}`,
    async (page) => {
      const answer = await page.goto("/");
      assert.equal(answer.status(), 200);
      const { issuer, protocol } = await answer.securityDetails();
      assert.match(issuer, /Pebble Intermediate/);
      assert.equal(protocol, "TLS 1.3");
      const opened = await page.evaluate(
        () =>
          new Promise((resolve) => {
            const socket = new WebSocket("/api/ws/room-lobby");
            socket.onopen = () => resolve(true);
            socket.onclose = () => resolve(false);
          }),
      );
      assert.ok(opened, "wss");
    },
    { ignoreHTTPSErrors: false },
  ));
