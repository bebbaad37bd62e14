// Makes each new app, starts it by `doorway DIR` without a config of its own, twice, and says what came of it.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Child } from "../browser/harness/child.js";
import { eventually } from "../browser/harness/eventually.js";
import { paths, scratch } from "../browser/harness/paths.js";

const WebSocket = createRequire(join(paths.root, "tests/clients/package.json"))("ws");

/** Each makes `app` in the folder where it runs, installed or not. */
const GENERATORS = {
  "create-next-app": "npx --yes create-next-app@latest app --ts --app --no-src-dir --yes",
  "create-next-app, empty": "npx --yes create-next-app@latest app --js --app --empty --src-dir --no-tailwind --no-eslint --skip-install --yes",
  sv: "npx --yes sv@latest create app --template minimal --types ts --add sveltekit-adapter=adapter:node --install npm",
  "sv, as it is": "npx --yes sv@latest create app --template demo --types ts --no-add-ons --no-install",
  nuxi: "npx --yes nuxi@latest init app --template minimal --packageManager npm --no-gitInit",
  "create-react-router": "npx --yes create-react-router@latest app --yes --no-git-init",
};

const LISTEN = '[listen]\nhttp = "127.0.0.1:0"\n[admin]\nlisten = "127.0.0.1:0"\n';

const wanted = process.argv.slice(2);
const results = [];
for (const [name, command] of Object.entries(GENERATORS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const began = Date.now();
  let result;
  try {
    result = await attempt(command);
  } catch (error) {
    result = `FAILED: ${error.message}`;
  }
  results.push(`${name}: ${result} (${Math.round((Date.now() - began) / 1000)} s)`);
  console.log(results.at(-1));
}
console.log(`\n${results.map((result) => result.split("\n")[0]).join("\n")}`);
process.exit(results.some((result) => result.includes("FAILED")) ? 1 : 0);

async function attempt(command) {
  const folder = scratch();
  const made = spawnSync("bash", ["-c", command], { cwd: folder, encoding: "utf8", timeout: 600_000, env: { ...process.env, CI: "1" } });
  const said = `${made.stdout}${made.stderr}`;
  // The template itself is not on npm: nothing is known of the door then.
  if (/github/i.test(said) && made.status !== 0) return "not made: its template is on GitHub, which cannot be reached";
  if (made.status !== 0) throw new Error(`${command}\n${said}`);
  // Beside the app, so that it stays as it was made; and of no port that somebody else may have.
  const config = join(folder, "proxy.toml");
  writeFileSync(config, LISTEN);
  const app = join(folder, "app");
  const first = await starts(app, config);
  if (first.missing) return `not started: ${first.missing}`;
  const second = await starts(app, config);
  if (second.built) throw new Error(`the second start builds again: ${second.built}`);
  return "works";
}

async function starts(app, config) {
  const door = new Child("doorway", paths.doorway, [app, "--config", config], { cwd: dirname(app), env: { ...process.env, NEXT_TELEMETRY_DISABLED: "1" } });
  const log = (pick) => (line) => line.startsWith("{") && pick({ ...JSON.parse(line), ...JSON.parse(line).fields });
  try {
    const address = await door.until("where it listens", log(({ kind, address }) => kind === "http" && address));
    const admin = await door.until("its admin listener", log(({ kind, address }) => kind === "admin" && address));
    const ended = () => door.process.exitCode !== null;
    await eventually("the app", async () => ended() || (await fetch(`http://${admin}/health/ready`)).ok, 600_000);
    const fonts = door.lines.find((line) => /fetch .* from Google Fonts/.test(line));
    if (ended() && fonts) return { missing: "its build wants fonts of Google's, which cannot be reached" };
    // As the generator leaves it nothing can serve it on a machine of one's own, and the door says what to do.
    const adapter = door.lines.map(log(({ level, message }) => level === "ERROR" && /adapter/.test(message) && message)).find(Boolean);
    if (ended() && adapter) return { missing: adapter };
    if (ended()) throw new Error(door.lines.slice(-20).join("\n"));
    const page = await fetch(`http://${address}/`);
    const text = await page.text();
    if (page.status !== 200 || !/<html/i.test(text)) throw new Error(`${page.status}: ${text.slice(0, 300)}`);
    await echoes(`ws://${address}/api/ws`);
    const built = door.lines.find((line) => /"message":"building/.test(line));
    const complaints = door.lines.filter((line) => /"level":"(WARN|ERROR)"/.test(line));
    for (const line of complaints) console.log(`  ${line}`);
    const { code } = await door.stop();
    if (code !== 0) throw new Error(`ended with ${code}`);
    return { built };
  } finally {
    await door.stop();
  }
}

function echoes(url) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.on("open", () => socket.send("hello"));
    socket.on("error", reject);
    socket.on("message", (data) => {
      if (JSON.parse(data).data !== "hello") return;
      socket.close();
      resolve();
    });
  });
}
