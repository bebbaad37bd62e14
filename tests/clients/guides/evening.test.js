// "From nothing to https in one evening", line by line as it is printed, on a server of its own with a real systemd; and
// what systemd then does with the service.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeServerCertificate } from "../../browser/harness/certificate.js";
import { eventually } from "../../browser/harness/eventually.js";
import { paths } from "../../browser/harness/paths.js";
import { blocks } from "../harness/guides.js";
import { Machine, whyNot } from "../harness/machine.js";
import { makeProject } from "../harness/project.js";

const GUIDE = "src/server/one-evening.md";
const lines = blocks(GUIDE).flatMap(({ code }) => code.split("\n").map((line) => line.trim()).filter(Boolean));

/** The line of the guide that begins with `start`. */
function printed(start) {
  const found = lines.filter((line) => line.startsWith(start));
  assert.ok(found.length > 0, `${GUIDE} has no line that begins with ${start}`);
  return found[0];
}

// Asks without end, and says at the end how that went.
const LOAD = `
const https = require("https");
const ca = require("fs").readFileSync("/box/root.pem");
let good = 0, isOver = false;
const bad = [];
process.on("SIGTERM", () => (isOver = true));
const ask = () => new Promise((done) => {
  const failed = (error) => (bad.push(error.code ?? error.message), setTimeout(done, 10));
  https.get("https://example.com/", { ca, agent: false }, (answer) => {
    answer.resume();
    answer.on("end", () => (answer.statusCode === 200 ? good++ : bad.push(answer.statusCode), done()));
  }).on("error", failed);
});
Promise.all([1, 2, 3, 4].map(async () => { while (!isOver) await ask(); })).then(() => console.log(JSON.stringify({ good, bad })));
`;

describe("one evening", { skip: whyNot() }, () => {
  let machine;
  /** What the page says, by https with the certificate of the authority. */
  const page = () => machine.run("curl -sS --max-time 10 --cacert /box/root.pem https://example.com/").stdout;
  const answers = (text) => eventually(`the page to say ${text}`, () => page().includes(text));
  const release = (version) => {
    const build = ["systemd/debian/build", paths.doorway, "amd64", version, join(machine.box, `doorway_${version}.deb`)];
    execFileSync("bash", build, { cwd: paths.root, env: { ...process.env, COMPRESS: "none" }, stdio: "ignore" });
  };
  /** What became of requests while `act` is done. */
  async function under(act) {
    const asking = machine.start("exec node /box/load.cjs");
    const said = asking.stdout.toArray();
    await act();
    machine.does("pkill -TERM -f '^node /box/load.cjs'");
    await once(asking, "exit");
    return JSON.parse(Buffer.concat(await said).toString());
  }

  before(async () => {
    machine = await Machine.boot();
    const { certificate, key } = makeServerCertificate();
    const config = {
      ...{ listenAddress: "127.0.0.1:14000", managementListenAddress: "127.0.0.1:15000", certificate: "/box/ca.pem", privateKey: "/box/ca.key" },
      ...{ httpPort: 80, tlsPort: 443, ocspResponderURL: "", externalAccountBindingRequired: false },
    };
    copyFileSync(certificate, join(machine.box, "ca.pem"));
    copyFileSync(key, join(machine.box, "ca.key"));
    writeFileSync(join(machine.box, "pebble.json"), JSON.stringify({ pebble: config }));
    writeFileSync(join(machine.box, "load.cjs"), LOAD);
    machine.start("exec pebble-challtestsrv -http01 '' -https01 '' -tlsalpn01 '' -defaultIPv6 '' -dns01 127.0.0.1:8053 -management 127.0.0.1:8055");
    machine.start("PEBBLE_VA_NOSLEEP=1 exec pebble -config /box/pebble.json -dnsserver 127.0.0.1:8053");
    await eventually("the authority", () => machine.run("curl -sSf --insecure https://127.0.0.1:15000/roots/0 -o /box/root.pem").status === 0);
    mkdirSync(join(machine.box, "app"));
    makeProject(join(machine.box, "app"), "first");
    machine.does("cp -r /box/app /root/app && cd /root/app && npm install --no-audit --no-fund --offline");
    release("1.0");
    release("1.1");
  });
  after(() => machine?.end());

  test("ten steps lead from nothing to https", async () => {
    // 3: nothing starts yet.
    machine.does("dpkg --install /box/doorway_1.0.deb");
    assert.equal(machine.service("ActiveState"), "inactive");
    // 4
    machine.does(printed("sudo adduser "));
    machine.does(printed("sudo -u app mkdir "));
    // The authority of this test in place of Let's Encrypt.
    machine.does("install -m 644 /box/ca.pem /etc/authority.pem");
    const acme = '[tls.acme]\ndirectory = "https://127.0.0.1:14000/dir"\nca_file = "/etc/authority.pem"\n';
    writeFileSync(join(machine.box, "proxy.toml"), `[tls]\ndomains = ["example.com"]\n${acme}`);
    machine.does("install -m 644 /box/proxy.toml /srv/app/proxy.toml");
    // 5
    const dry = lines.find((line) => line.endsWith(" --dry-run"));
    assert.match(machine.does(dry), /^ExecStart=\/usr\/bin\/doorway --domain example\.com \/srv\/app$/m);
    assert.equal(machine.service("ActiveState"), "inactive");
    assert.match(machine.does(printed("doorway check --online"), "/srv/app"), /^name example\.com: leads to 127\.0\.0\.1$/m);
    // 6
    assert.match(machine.does(dry.replace(" --dry-run", "")), /^ready\. Next: doorway status/m);
    assert.equal(machine.service("ActiveState"), "active");
    await answers("Nothing has been deployed here yet.");
    // 7
    machine.does(printed("npx next build"), "/root/app");
    assert.match(machine.does(printed("doorway deploy "), "/root/app"), /^live: /m);
    assert.equal(page(), "first");
    assert.match(machine.run("curl -sS -o /dev/null -w '%{http_code} %{redirect_url}' http://example.com/a").stdout, /^308 https:\/\/example\.com\/a$/);
    // 8
    assert.match(machine.does("sudo -u app doorway status"), /^ready$[^]*^release: .*archive/m);
    assert.match(machine.does("sudo -u app doorway top"), /^certificates +example\.com \d+ days$/m);
    await eventually("it says so", () => machine.does("journalctl -u doorway --no-pager -o cat").includes("the certificate is in use"));
    // 9
    writeFileSync(join(machine.box, "app/page.txt"), "second");
    machine.does("cp /box/app/page.txt page.txt && npx next build", "/root/app");
    const { good, bad } = await under(async () => {
      machine.does(printed("doorway deploy "), "/root/app");
      assert.equal(page(), "second");
      machine.does("sudo -u app doorway rollback");
      assert.equal(page(), "first");
    });
    assert.ok(good > 0);
    assert.deepEqual(bad, []);
    // 10
    const metrics = machine.does("curl -sS http://127.0.0.1:9080/metrics");
    assert.match(metrics, /^doorway_deploys_total\{outcome="live"\} 3$/m);
    assert.match(metrics, /^doorway_acme_orders_total\{name="example\.com",outcome="issued"\} 1$/m);
  });

  test("systemd reloads it, and starts it again when it was killed or hangs", async () => {
    const process = machine.service("MainPID");
    machine.does("systemctl reload doorway");
    assert.equal(machine.service("MainPID"), process);
    // What is said comes to the journal a moment later.
    await eventually("it says so", () => machine.does("journalctl -u doorway --no-pager -o cat").includes('"message":"reloaded"'));
    machine.does(`kill -KILL ${process}`);
    await eventually("another process", () => machine.service("NRestarts") === "1" && machine.service("ActiveState") === "active");
    await answers("first");
    // Thirty seconds are nothing new.
    machine.does("mkdir -p /run/systemd/system/doorway.service.d && printf '[Service]\\nWatchdogSec=2s\\n' >/run/systemd/system/doorway.service.d/test.conf");
    machine.does("systemctl daemon-reload && systemctl restart doorway");
    machine.does(`kill -STOP ${machine.service("MainPID")}`);
    await eventually("another process", () => machine.service("NRestarts") === "1" && machine.service("ActiveState") === "active");
    await answers("first");
    await eventually("it is said why", () => machine.does("journalctl -u doorway --no-pager").includes("Watchdog timeout"));
  });

  test("an upgrade of the package refuses nobody where systemd holds the sockets", async () => {
    machine.does("systemctl stop doorway && systemctl enable --now doorway.socket doorway-https.socket");
    await answers("first");
    const process = machine.service("MainPID");
    const { good, bad } = await under(async () => {
      machine.does("dpkg --install /box/doorway_1.1.deb");
      assert.notEqual(machine.service("MainPID"), process);
      assert.equal(page(), "first");
    });
    assert.ok(good > 0);
    assert.deepEqual(bad, []);
    assert.equal(machine.service("ActiveState"), "active");
  });

  test("what is installed is taken away without a trace of the service", () => {
    machine.does("doorway uninstall && dpkg --purge doorway");
    assert.notEqual(machine.run("systemctl cat doorway").status, 0);
    assert.notEqual(machine.run("ls /etc/doorway").status, 0);
    assert.equal(machine.does("ls /srv/app/current/.next/BUILD_ID").trim(), "/srv/app/current/.next/BUILD_ID");
  });
});
