// The test app in other shapes: a copy to edit, `next dev`, the standalone build.
import { execFileSync } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { basename, join } from "node:path";
import { Child } from "./child.js";
import { BUILDING, eventually } from "./eventually.js";
import { paths, scratch } from "./paths.js";

const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1" };

/** A copy that may be edited, as a clone has it: neither installed nor built. */
export function cloneApp(app = paths.app) {
  const copy = join(scratch(join(paths.root, "target")), "app");
  cpSync(app, copy, {
    recursive: true,
    preserveTimestamps: true, // else its lock file is newer than its packages, and they are installed again
    // Packages at the top only: the server of a build may have some of its own.
    filter: (path) => path !== join(app, "node_modules") && basename(path) !== ".doorway" && !basename(path).startsWith(".next"),
  });
  return copy;
}

/** A copy that is installed; its packages are hard links to the original's. */
export function copyApp(app = paths.app) {
  const copy = cloneApp(app);
  execFileSync("cp", ["-al", join(app, "node_modules"), copy]);
  return copy;
}

/** `next build` in `directory`, with `more` in its environment. */
export function build(directory, more = {}) {
  const next = join(directory, "node_modules/next/dist/bin/next");
  execFileSync(process.execPath, [next, "build"], { cwd: directory, env: { ...env, ...more }, stdio: "pipe" });
}

/** Changes one file as an editor would. */
export function edit(file, from, to) {
  const text = readFileSync(file, "utf8");
  if (!text.includes(from)) throw new Error(`${file} has no ${JSON.stringify(from)}`);
  writeFileSync(file, text.replace(from, to));
}

/** `next dev` in `directory`, on a port of its own. */
export function startDev(directory) {
  const next = join(directory, "node_modules/next/dist/bin/next");
  return start("next dev", [next, "dev", "--hostname", "localhost"], directory);
}

export function buildStandalone(directory) {
  const next = join(directory, "node_modules/next/dist/bin/next");
  execFileSync(process.execPath, [next, "build"], { cwd: directory, env: { ...env, STANDALONE: "1" }, stdio: "pipe" });
}

/** Puts the static files beside `server.js`, as a container image does, and runs it. */
export function startStandalone(directory) {
  const standalone = join(directory, ".next-standalone/standalone");
  cpSync(join(directory, ".next-standalone/static"), join(standalone, ".next-standalone/static"), { recursive: true });
  return start("server.js", ["server.js"], standalone);
}

/** `next start` in `directory`, on a port of its own, with what `--hostname` gives it. */
export function startNext(directory, hostname, answers) {
  const next = join(directory, "node_modules/next/dist/bin/next");
  return start("next start", [next, "start", "--hostname", hostname], directory, answers);
}

async function start(name, args, cwd, answers = "/api/process") {
  const port = await freePort();
  const child = new Child(name, process.execPath, args, { cwd, env: { ...env, PORT: String(port), HOSTNAME: "localhost" } });
  const url = `http://localhost:${port}`;
  const over = () => child.process.exitCode !== null;
  await eventually(`${name} to answer`, async () => over() || (await fetch(`${url}${answers}`)).ok, BUILDING);
  if (over()) throw new Error(child.lines.join("\n"));
  return { child, url };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on("error", reject);
    server.listen(0, "localhost", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
