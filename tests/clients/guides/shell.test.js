// Every line of shell in a guide, as it is printed: what it says next to the door is what comes of it.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeCertificate } from "../../browser/harness/certificate.js";
import { Child } from "../../browser/harness/child.js";
import { config, Doorway } from "../../browser/harness/doorway.js";
import { eventually } from "../../browser/harness/eventually.js";
import { paths, scratch } from "../../browser/harness/paths.js";
import { blocks, guides, read } from "../harness/guides.js";
import { makeProject } from "../harness/project.js";

const [CI, FRESH, LONG, RELEASES] = ["what .ci/run does", "it asks the network for the newest: tests/generators/run", "takes many minutes", "tests/it/releases runs it"];
const CACHE = "tests/it/command_line.rs runs it";
const MACHINE = "it changes the machine: tests/it/install.rs does it in a folder";
const EVENING = "tests/clients/guides/evening.test.js runs it on a machine of its own";
/** What is not run here, and why. What it names is there all the same. */
const ELSEWHERE = {
  "cargo run --release -- tests/app": CI,
  "tests/run": CI,
  "cargo install --path .": CI,
  ".ci/run": CI,
  "cargo lint": CI,
  "cargo test --lib hub::": CI,
  "cargo test --test it realtime::slow": CI,
  "cargo test --test it -- --exact drain::NAME": CI,
  "cargo test --test architecture": CI,
  "cargo build && DOORWAY_BIN=$PWD/target/debug/doorway node --test tests/clients/pusher_auth.test.js": CI,
  "DOORWAY_BIN=$PWD/target/debug/doorway node --test tests/browser/chat.test.js": CI,
  "DOORWAY_BROWSER=firefox DOORWAY_BIN=$PWD/target/debug/doorway node --test tests/browser/room.test.js": CI,
  "cargo test --test ways": CI,
  "cargo test --test ways -- uploads": CI,
  "cargo test --package ways": CI,
  "tests/generators/run": FRESH,
  ".github/release": LONG,
  "(cd target/dist && sha256sum --check --ignore-missing ../../SHA256SUMS)": LONG,
  "cargo install cargo-fuzz": LONG,
  "RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz websocket_frames -- -max_total_time=60": LONG,
  "cargo run --manifest-path tests/ways/Cargo.toml --target-dir target/ways -- delay=75ms rate=100M": LONG,
  "tests/bench/run": LONG,
  "tests/bench/run http1 echo": LONG,
  "tests/bench/run all": LONG,
  "tests/bench/run --record": LONG,
  "tests/bench/run sockudo": LONG,
  "tests/bench/run instructions": LONG,
  "tests/bench/run growth": LONG,
  "tests/bench/run ways": LONG,
  "npx create-next-app@latest chat --ts --app --no-src-dir --yes && cd chat": FRESH,
  "npm install standardwebhooks": FRESH,
  "doorway deploy": RELEASES,
  "doorway deploy main": RELEASES,
  "doorway deploy --no-build": RELEASES,
  "tar -cf - . | ssh box doorway deploy -": RELEASES,
  "doorway deploy --no-build --host me@box": RELEASES,
  "doorway releases": RELEASES,
  "doorway rollback": RELEASES,
  "doorway status": RELEASES,
  "while read old new ref; do": RELEASES,
  '[ "$ref" != refs/heads/main ] || doorway deploy "$new" || exit 1': RELEASES,
  done: RELEASES,
  "sudo doorway install [DIR --domain example.com]": MACHINE,
  "sudo doorway install /srv/app --domain example.com": EVENING,
  "sudo doorway install /srv/app --domain example.com --dry-run": EVENING,
  "sudo adduser --system --group --shell /bin/bash --home /srv/app app": EVENING,
  "sudo -u app mkdir /srv/app/releases /srv/app/shared": EVENING,
  "doorway check --online": EVENING,
  "npx next build": EVENING,
  "doorway cache": CACHE,
  "doorway cache --purge /blog/hello": CACHE,
  "doorway cache --why /account": CACHE,
  "doorway deploy --no-build --host app@box": EVENING,
};

const lines = guides.flatMap((guide) => blocks(guide).filter(({ language }) => language === "sh")).flatMap(({ code }) => code.split("\n"));
const commands = [...new Set(lines.map((line) => line.replace(/(^| )\s*# .*$/, "").trim()).filter(Boolean))];
const run = [];

/** A test of one line: `act` gets it, and each of the forms in which it may be typed where it has brackets. */
function line(text, act) {
  run.push(text);
  test(text, () => act(text, forms(text)));
}

/** `a [b or c]` and `a [b | c]` are `a`, `a b`, `a c`; `a [--b C]` is `a`, `a --b C`. */
function forms(text) {
  const [, before, optional] = /^(.*?) \[(.*)\]$/.exec(text) ?? [];
  return before ? [before, ...optional.split(/ or | \| /).map((word) => `${before} ${word}`)] : [text];
}

const ANY = "127.0.0.1:0";
// What asks a door reads in its config where that is: on an address of this process alone, so that the port is free.
const ADMIN = `127.${64 + ((process.pid >> 16) & 63)}.${(process.pid >> 8) & 255}.${process.pid & 255}`;
const listen = (port) => `[listen]\nhttp = "${ANY}"\n[admin]\nlisten = "${ADMIN}:${port}"\n`;
const home = scratch();
const tools = join(home, "tools");
mkdirSync(tools);
symlinkSync(paths.doorway, join(tools, "doorway"));
const environment = { ...process.env, PATH: `${tools}:${process.env.PATH}`, CURL_HOME: home, XDG_STATE_HOME: home, XDG_RUNTIME_DIR: home, NEXT_TELEMETRY_DISABLED: "1" };

/** Runs a line in `folder` to its end. */
async function runs(text, folder, more = {}) {
  const child = spawn("bash", ["-c", text], { cwd: folder, env: { ...environment, ...more }, stdio: ["ignore", "pipe", "pipe"] });
  const [out, err] = [child.stdout.toArray(), child.stderr.toArray()];
  const [code] = await once(child, "exit");
  return { code, out: Buffer.concat(await out).toString(), err: Buffer.concat(await err).toString() };
}

async function succeeds(text, folder, more) {
  const { code, out, err } = await runs(text, folder, more);
  assert.equal(code, 0, `${text}\n${out}${err}`);
  return out;
}

/** Runs a line that is a door until `act` is done, which gets where it listens; and ends it as a person does. */
async function serves(text, folder, act, more = {}) {
  const child = new Child(text, "bash", ["-c", `exec ${text}`], { cwd: folder, env: { ...environment, ...more } });
  const log = (pick) => (line) => line.startsWith("{") && pick({ ...JSON.parse(line), ...JSON.parse(line).fields });
  try {
    const address = await child.until("where it listens", log((said) => ["http", "https"].includes(said.kind) && said.address));
    await child.until("that it is ready", log(({ message }) => message === "ready"));
    await act(`http://${address}`, child);
    assert.deepEqual(await child.stop(), { code: 0, signal: null });
  } finally {
    await child.stop();
  }
}

const says = (origin, text) =>
  eventually(`${origin} to say ${text}`, async () => {
    const answer = await fetch(origin);
    assert.equal(await answer.text(), text);
    return true;
  });

test("every line is run here, or it is known why not", () => {
  assert.deepEqual(commands.filter((command) => !run.includes(command) && !ELSEWHERE[command]), []);
  assert.deepEqual([...run, ...Object.keys(ELSEWHERE)].filter((command) => !commands.includes(command)), [], "no guide has it any more");
  const named = Object.keys(ELSEWHERE).flatMap((command) => command.match(/(?<=^|\s)(?:\.ci|tests)\/\S+/g) ?? []);
  for (const file of named) assert.ok(existsSync(join(paths.root, file)), file);
});

line("PROTOCOL_HEADER=x-forwarded-proto HOST_HEADER=x-forwarded-host ADDRESS_HEADER=x-real-ip HOST=127.0.0.1 PORT=3000 node build", async (text) => {
  const free = createServer();
  await once(free.listen(0, "127.0.0.1"), "listening");
  const { port } = free.address();
  free.close();
  const words = text.replace("PORT=3000", `PORT=${port}`).split(" ");
  const app = new Child("SvelteKit", "env", words, { cwd: join(paths.root, "tests/apps/sveltekit"), env: environment });
  try {
    await app.until("that it listens", (said) => said.includes("Listening on"));
    // As a form of a page behind a door with https: it is not taken for one of another site.
    const form = await fetch(`http://127.0.0.1:${port}/form`, {
      method: "POST",
      headers: { origin: "https://shop.test", "x-forwarded-proto": "https", "x-forwarded-host": "shop.test", "x-real-ip": "192.0.2.7" },
      body: new URLSearchParams({ name: "Ada" }),
    });
    assert.equal(form.status, 200, await form.text());
  } finally {
    await app.stop();
  }
});

describe("the command line", () => {
  const app = createServer((_, response) => response.end("an app that runs already"));
  const folder = scratch();
  const project = join(folder, "path/to/your/app");
  before(async () => {
    await once(app.listen(0, "localhost"), "listening");
    makeProject(project, "yours");
    writeFileSync(join(project, "proxy.toml"), listen(9080));
    const here = `${listen(9080)}[app]\nurl = "http://localhost:${app.address().port}"\n`;
    writeFileSync(join(folder, "proxy.toml"), here);
    writeFileSync(join(folder, "FILE"), here);
    makeProject(join(folder, "DIR"), "a folder");
    writeFileSync(join(folder, "DIR/proxy.toml"), listen(9080));
  });
  after(() => {
    app.close();
    app.closeAllConnections();
  });

  line("doorway path/to/your/app", (text) => serves(text, folder, (origin) => says(origin, "yours")));
  line("doorway path/to/your/app --build", (text) =>
    serves(text, folder, async (origin, child) => {
      await child.until("its build", (said) => /build/.test(said) && said.includes("asked for"));
      await says(origin, "yours");
    }));
  line("doorway path/to/your/app --dev", async (text) => {
    await serves(text, folder, (origin) => says(origin, "dev: yours"));
    // What the line says beside it: these go with all.
    const browser = join(tools, "browser");
    writeFileSync(browser, `#!/bin/sh\necho "$1" > ${home}/opened\n`, { mode: 0o755 });
    const more = text.replace("--dev", "--https --port 0 --open");
    await serves(more, folder, async () => {
      const opened = await eventually("a browser", () => existsSync(join(home, "opened")) && readFileSync(join(home, "opened"), "utf8").trim());
      assert.match(opened, /^https:\/\/localhost:\d+$/);
      const answer = await succeeds(`curl -sk ${opened}`, folder);
      assert.equal(answer, "yours");
    }, { BROWSER: browser });
  });
  line("doorway --app http://localhost:3000", (text) =>
    serves(text.replace("3000", app.address().port), folder, (origin) => says(origin, "an app that runs already")));
  line("doorway --config FILE", (text) => serves(text, folder, (origin) => says(origin, "an app that runs already")));
  line("doorway", (text) => serves(text, folder, (origin) => says(origin, "an app that runs already")));
  line("doorway --domain example.com DIR", async (text) => {
    const own = scratch();
    makeProject(join(own, "DIR"), "by its name");
    // In a network of its own, where the ports of the web are free and no authority is; without the right to one, elsewhere.
    const apart = ["--user", "--map-root-user", "--net"];
    const isApart = spawnSync("unshare", [...apart, "ip", "link", "set", "lo", "up"]).status === 0;
    if (!isApart) writeFileSync(join(own, "DIR/proxy.toml"), `${listen(9080).replace("[admin]", `https = "${ANY}"\n[admin]`)}`);
    const words = isApart ? ["unshare", ...apart, "bash", "-c", `ip link set lo up && exec ${text}`] : ["bash", "-c", `exec ${text}`];
    const child = new Child(text, words[0], words.slice(1), { cwd: own, env: environment });
    try {
      const log = (pick) => (line) => line.startsWith("{") && pick({ ...JSON.parse(line), ...JSON.parse(line).fields });
      for (const [kind, port] of [["http", "80"], ["https", "443"]]) {
        const address = await child.until(kind, log((said) => said.message === "listening" && said.kind === kind && said.address));
        if (isApart) assert.equal(address.split(":").at(-1), port);
      }
      // It orders, and a failure ends nothing.
      const failed = await child.until("the order", log((said) => said.message === "no certificate" && said));
      assert.equal(failed.name, "example.com");
      assert.match(failed.authority, /letsencrypt/);
      const ready = await child.until("that it is ready", log((said) => said.message === "ready" && said));
      if (isApart) assert.match(ready.open, /https:\/\/example\.com$/);
      assert.deepEqual(await child.stop(), { code: 0, signal: null });
    } finally {
      await child.stop();
    }
  });
  for (const text of ["doorway reload [DIR | --config FILE]", "doorway status [DIR | --config FILE]"]) {
    line(text, async (_, [bare, withFolder, withFile]) => {
      const [here, there] = ["an app that runs already", "a folder"];
      for (const [door, ask, said] of [["doorway", bare, here], ["doorway DIR", withFolder, there], ["doorway --config FILE", withFile, here]]) {
        await serves(door, folder, (origin) => says(origin, said).then(() => succeeds(ask, folder)));
        const { code, err } = await runs(ask, folder);
        assert.equal(code, 1, "no door runs any more");
        assert.notEqual(err, "");
      }
    });
  }
  line("doorway init [DIR]", async (_, [bare, withFolder]) => {
    const empty = scratch();
    mkdirSync(join(empty, "DIR"));
    for (const [text, file] of [[bare, "proxy.toml"], [withFolder, "DIR/proxy.toml"]]) {
      await succeeds(text, empty);
      await succeeds(`doorway check ${file}`, empty);
      assert.equal((await runs(text, empty)).code, 1, "it never overwrites one");
    }
  });
  line("doorway check [FILE or DIR]", async (_, all) => {
    assert.deepEqual(all, ["doorway check", "doorway check FILE", "doorway check DIR"]);
    for (const text of all) await succeeds(text, folder);
    writeFileSync(join(folder, "wrong"), "[listen]\nhtpp = 1\n");
    const { code, out, err } = await runs("doorway check wrong", folder);
    assert.equal(code, 1);
    assert.match(out + err, /wrong:2:1/, "with line and column");
  });
  line("doorway config", async (text) => assert.equal(await succeeds(text, folder), read("proxy.toml")));
  line("doorway config --diff [FILE]", async (_, all) => {
    for (const text of all) assert.match(await succeeds(text, folder), /listen\.http.*127\.0\.0\.1:0/s);
  });
  line("doorway .", async (text) => serves(text, project, (origin) => says(origin, "yours")));
});

describe("a deploy", () => {
  const root = scratch();
  const file = join(root, "proxy.toml");
  const here = (text) => text.replaceAll("/srv/app", root).replace("/etc/doorway/proxy.toml", file);
  const [build, link, reload] = commands.filter((text) => /\/srv\/app\/|\/etc\/doorway/.test(text));
  let door;
  before(async () => {
    makeProject(join(root, "releases/41"), "forty-one");
    makeProject(join(root, "releases/42"), "forty-two");
    symlinkSync(join(root, "releases/41"), join(root, "current"));
    writeFileSync(file, `${listen(9081)}[app]\ndir = "${root}/current"\n`);
    door = new Child("doorway", paths.doorway, ["--config", file], { env: environment });
  });
  after(() => door?.stop());

  test("the new release answers, and one that does not start leaves the old one in place", async () => {
    const address = await door.until("where it listens", (said) => said.includes('"kind":"http"') && /"address":"([^"]+)"/.exec(said)?.[1]);
    await says(`http://${address}`, "forty-one");
    for (const text of [build, link, reload]) await succeeds(here(text), root);
    await says(`http://${address}`, "forty-two");

    makeProject(join(root, "releases/43"), "broken");
    for (const text of [build, link]) await succeeds(here(text).replaceAll("releases/42", "releases/43"), root);
    assert.equal((await runs(here(reload), root)).code, 1);
    await says(`http://${address}`, "forty-two");
  });
  run.push(build, link, reload);
});

describe("curl, at the addresses that are printed", () => {
  const token = "a-token-of-at-least-thirty-two-bytes";
  const { certificate, key } = makeCertificate("hub.example.com");
  let door;
  before(async () => {
    const channel = [{ match: "*", history: 10 }];
    door = await Doorway.start(
      config({ app: { url: "off" }, listen: { http: ANY, https: ANY }, tls: { certificate, key }, https: { redirect: false }, api: { token }, "realtime.channel": channel }),
    );
    const places = { "127.0.0.1:9080": door.addresses.admin, "hub.example.com:443": door.addresses.https, "localhost:8080": door.addresses.http };
    const settings = Object.entries(places).map(([printed, address]) => `connect-to = "${printed}:${address}"`);
    writeFileSync(join(home, ".curlrc"), ["silent", "show-error", "fail", `cacert = "${certificate}"`, ...settings].join("\n"));
  });
  after(() => door?.stop());
  const ask = async (text) => JSON.parse(await succeeds(text, home, { DOORWAY_TOKEN: token }));

  line(`curl http://127.0.0.1:9080/_doorway/api/v1/publish -H 'Content-Type: application/json' -d '{"channel":"lobby","text":"hi"}'`, async (text) => {
    await ask(text);
    const { messages } = await ask("curl -H 'Accept: application/json' http://localhost:8080/api/ws/lobby");
    assert.deepEqual(messages.map(({ data }) => data), ["hi"]);
  });
  line(`curl 'https://hub.example.com/_doorway/api/v1/channels?prefix=room-' -H "Authorization: Bearer $DOORWAY_TOKEN"`, async (text) => {
    await ask(`curl http://127.0.0.1:9080/_doorway/api/v1/publish -H 'Content-Type: application/json' -d '{"channel":"room-7","text":"hi"}'`);
    assert.match(JSON.stringify(await ask(text)), /room-7/);
  });
  line(`curl http://127.0.0.1:9080/_doorway/api/v1/purge -H 'Content-Type: application/json' -d '{"paths":["/blog/hello"],"tags":["posts"]}'`, async (text) => {
    assert.deepEqual(await ask(text), { paths: 1, tags: 1, all: false });
  });
  line("curl -H 'Accept: application/json' 'http://localhost:8080/api/ws/ROOM?limit=50'", async (text) => {
    await ask(`curl http://127.0.0.1:9080/_doorway/api/v1/publish -H 'Content-Type: application/json' -d '{"channel":"ROOM","text":"hi"}'`);
    const { messages } = await ask(text);
    assert.deepEqual(messages.map(({ type, data }) => [type, data]), [["broadcast", "hi"]]);
  });
});

describe("the rest", () => {
  line('echo "SESSION_SECRET=$(openssl rand -hex 32)" > .env.local', async (text) => {
    await succeeds(text, home);
    assert.match(readFileSync(join(home, ".env.local"), "utf8"), /^SESSION_SECRET=[0-9a-f]{64}\n$/);
  });
});
