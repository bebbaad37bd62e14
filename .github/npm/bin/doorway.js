#!/usr/bin/env node
// Finds the program in the package for this machine and becomes it, as far as one process can: what it is sent, it passes
// on; as the program ends, so does it.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";

const read = (file) => JSON.parse(readFileSync(new URL(file, import.meta.url), "utf8"));
const { name, version } = read("../package.json");
const platforms = read("../platforms.json");

function fail(words) {
  console.error(`doorway: ${words}`);
  process.exit(1);
}

/** Which C library Node.js itself runs with: only with glibc does it know its version. */
const isMusl = () => process.platform === "linux" && !process.report.getReport().header.glibcVersionRuntime;

function program() {
  if (process.env.DOORWAY_BIN) return process.env.DOORWAY_BIN;
  const platform = `${process.platform}-${process.arch}`;
  const own = `${name}-${platform}`;
  if (!platforms[platform]) fail(`there is no package for ${platform}, only for ${Object.keys(platforms).join(", ")}. DOORWAY_BIN=FILE names a program built from source`);
  if (isMusl()) fail(`this is a system with musl (Alpine): the package is for glibc. Take an image such as node:22-slim, or DOORWAY_BIN=FILE of a build from source`);
  let found;
  try {
    found = join(dirname(createRequire(import.meta.url).resolve(`${own}/package.json`)), "bin/doorway");
  } catch {
    fail(`the package ${own} is not installed. Were optional packages left out (--omit=optional), or was the lock file written on another platform? npm install ${own}@${version}`);
  }
  if (!existsSync(found)) fail(`${found} is missing: npm install ${own}@${version}`);
  return found;
}

const child = spawn(program(), process.argv.slice(2), { stdio: "inherit" });
child.once("error", (error) => fail(error.message));
// Ctrl-C reaches the program too, from the terminal: twice would mean at once.
const isFromTerminal = () => process.stdin.isTTY || process.stderr.isTTY;
for (const signal of ["SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"]) process.on(signal, () => child.kill(signal));
process.on("SIGINT", () => isFromTerminal() || child.kill("SIGINT"));
child.once("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
