// The npm packages, from the files that `npm pack` makes: the command is there without a script at the install, is the
// program as far as one process can be another, and says what is missing where it is.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { Child } from "../browser/harness/child.js";
import { eventually } from "../browser/harness/eventually.js";
import { paths, scratch } from "../browser/harness/paths.js";
import { makeProject } from "./harness/project.js";

const home = scratch();
const packed = join(home, "packed");
const project = join(home, "app");
const own = join(project, "node_modules/.bin/doorway");
const platform = `${process.platform}-${process.arch}`;
const { name } = JSON.parse(readFileSync(join(paths.root, ".github/npm/package.json"), "utf8"));
const environment = { ...process.env, XDG_STATE_HOME: home, XDG_RUNTIME_DIR: home, npm_config_cache: join(home, "cache"), npm_config_update_notifier: "false" };
delete environment.DOORWAY_BIN;

const npm = (...words) => execFileSync("npm", words, { cwd: project, env: environment, encoding: "utf8" });
const runs = (...words) => spawnSync(own, words, { cwd: project, env: environment, encoding: "utf8" });

before(() => {
  // In place of a hundred megabytes of debug binary, what becomes it.
  const program = join(home, "doorway");
  writeFileSync(program, `#!/bin/sh\nexec "${paths.doorway}" "$@"\n`, { mode: 0o755 });
  execFileSync("node", [join(paths.root, ".github/npm/build.mjs"), "1.2.3", packed, `${platform}=${program}`], { env: environment });
  mkdirSync(project);
  makeProject(project, "packed");
  const manifest = JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
  writeFileSync(join(project, "package.json"), JSON.stringify({ ...manifest, scripts: { ...manifest.scripts, dev: "doorway --dev ." } }));
  writeFileSync(join(project, "proxy.toml"), '[listen]\nhttp = "127.0.0.1:0"\n[admin]\nlisten = "127.0.0.1:0"\n');
  const files = readdirSync(packed).map((file) => join(packed, file));
  // Offline: packages of other platforms cannot be had, and are not needed.
  npm("install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", "--save-dev", ...files);
});

test("the command is there, for npx and for scripts", () => {
  const version = execFileSync(paths.doorway, ["--version"], { encoding: "utf8" });
  assert.equal(npm("exec", "--offline", "--", "doorway", "--version"), version);
  const manifest = JSON.parse(readFileSync(join(project, `node_modules/${name}/package.json`), "utf8"));
  assert.equal(manifest.scripts, undefined, "nothing runs at an install");
  assert.equal(manifest.optionalDependencies[`${name}-${platform}`], "1.2.3");
});

test("what it is sent and how it ends are the program's", async () => {
  assert.equal(runs("check", "nowhere.toml").status, 1);
  assert.equal(runs("--nonsense").status, 2);
  // As the script `dev` runs it, and as Ctrl-C ends it: all of the terminal's foreground hear of it. npm tells its shell alone.
  const door = new Child("npm run dev", "npm", ["run", "dev"], { cwd: project, env: environment, detached: true });
  const address = await door.until("where it listens", (line) => /"kind":"http".*"address":"([^"]+)"|"address":"([^"]+)".*"kind":"http"/.exec(line)?.slice(1).find(Boolean));
  await door.until("that it is ready", (line) => line.includes('"message":"ready"'));
  assert.equal(await (await fetch(`http://${address}/`)).text(), "dev: packed");
  const running = Number(/"pid":(\d+)/.exec(door.lines.find((line) => line.includes('"message":"app started"')))[1]);
  process.kill(-door.pid, "SIGINT");
  await door.exited;
  await eventually("the app to end", () => !existsSync(`/proc/${running}`));

  const alone = new Child("doorway", own, ["--dev", "."], { cwd: project, env: environment });
  await alone.until("that it is ready", (line) => line.includes('"message":"ready"'));
  alone.signal("SIGHUP");
  await alone.until("the reload", (line) => line.includes('"message":"reload'));
  assert.deepEqual(await alone.stop(), { code: 0, signal: null });
  assert.ok(alone.lines.some((line) => line.includes('"message":"stopped"')), "it drained");
});

test("what is missing is named", () => {
  rmSync(join(project, `node_modules/${name}-${platform}`), { recursive: true });
  const { status, stderr } = runs("--version");
  assert.equal(status, 1);
  assert.match(stderr, /^doorway: the package \S+ is not installed\. .* npm install \S+@1\.2\.3\n$/);
});
