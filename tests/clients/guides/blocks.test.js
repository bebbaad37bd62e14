// Every block of code in a guide is run by a test as it is printed, or stands here with the reason why it cannot be.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeCertificate } from "../../browser/harness/certificate.js";
import { paths, scratch } from "../../browser/harness/paths.js";
import { blocks, guides, prose, read } from "../harness/guides.js";

/** What is no program: the language, and how the block begins. */
const PICTURES = [
  ["README.md", "            ┌──"],
  ["src/realtime/README.md", "   Offer::read "],
  ["src/cache/README.md", "would not be kept: "],
  ["src/telemetry/README.md", "doorway       https://example.com"],
  ["src/releases/README.md", "/srv/app/releases/"],
  ["src/server/README.md", '"devDependencies": '], // tests/clients/npm.test.js
  // No container engine runs where tests run: checked by hadolint, by hand.
  ["src/server/README.md", "FROM node:22-slim"],
  ["src/server/README.md", "services:"],
];

const all = guides.flatMap(blocks);
const tests = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".test.js"));
const sources = tests.map((name) => readFileSync(join(import.meta.dirname, name), "utf8")).join("\n");
const run = [...sources.matchAll(/\bsnippet\(\s*"([^"]+)",\s*("(?:[^"\\]|\\.)*"|'[^']*'|`[^`]*`),?\s*\)/g)].map(([, file, start]) => ({
  file,
  start: start.startsWith('"') ? JSON.parse(start) : start.slice(1, -1),
}));

test("every program in a guide is run by one of these tests, and every picture is known", () => {
  const nobody = all.filter(({ file, language, code }) => {
    if (language === "toml" || language === "sh") return false; // below, and shell.test.js: each of them
    if (language === "text") return !PICTURES.some(([guide, start]) => guide === file && code.startsWith(start));
    if (/^\/\/ from \S+\n/.test(code)) return false; // a part of a file that has tests of its own
    return !run.some((one) => one.file === file && code.startsWith(one.start));
  });
  assert.deepEqual(nobody.map(({ file, code }) => `${file}: ${code.split("\n")[0]}`), []);
  assert.ok(run.length >= 9, `${run.length} programs are run`);
});

test("every block says its language, which is one of four", () => {
  for (const { file, language, code } of all) {
    assert.ok(["ts", "toml", "sh", "text"].includes(language), `${file}: ${language || "no language"}\n${code}`);
  }
});

test("code that is said to be from a file is from it", () => {
  let compared = 0;
  for (const { file, code } of all) {
    const [, source, rest] = /^(?:\/\/|#) from (\S+)\n(.*)$/s.exec(code) ?? [];
    if (!source) continue;
    assert.ok(read(source).includes(rest), `${file} has what is not in ${source}`);
    compared += 1;
  }
  assert.ok(compared >= 2);
});

test("every config is one that `doorway check` agrees to", () => {
  const folder = scratch();
  const { certificate, key } = makeCertificate();
  const secret = join(folder, "secret");
  writeFileSync(secret, "a secret of at least thirty-two bytes");
  const configs = all.filter(({ language }) => language === "toml");
  for (const { file, code } of configs) {
    const config = join(folder, "proxy.toml");
    // The same text with files that are there.
    const here = code.replace(/"\/etc\/\S*fullchain\.pem"/, JSON.stringify(certificate)).replace(/"\/etc\/\S*privkey\.pem"/, JSON.stringify(key));
    writeFileSync(config, here.replace('"/etc/doorway/jwt-secret"', JSON.stringify(secret)));
    const env = { ...process.env, PUSHER_SECRET: "not-a-secret", LIVEBLOCKS_SECRET_KEY: "sk_not_a_secret_at_all", ACME_SECRET: "not a secret, and of thirty-two bytes" };
    const { status, stdout, stderr } = spawnSync(paths.doorway, ["check", config], { env, encoding: "utf8" });
    assert.equal(status, 0, `${file}\n${code}\n${stdout}${stderr}`);
    assert.doesNotMatch(stdout + stderr, /warning/i, `${file}\n${code}`);
  }
  assert.ok(configs.length >= 8);
});

test("every key, section, flag and metric that a guide's sentences name is there", () => {
  const documented = read("proxy.toml");
  const keys = new Set([...documented.matchAll(/\b([a-z][a-z0-9_]*) = /g)].map(([, key]) => key));
  const sections = new Set([...documented.matchAll(/^#? ?(\[\[?[a-z._]+\]\]?)/gm)].map(([, name]) => name));
  const help = ["--help", "check --help", "config --help", "reload --help", "status --help", "install --help", "deploy --help", "top --help", "cache --help"];
  help.push("documents --help", "documents list --help", "documents export --help", "documents import --help");
  const flags = new Set(help.flatMap((words) => [...execFileSync(paths.doorway, words.split(" "), { encoding: "utf8" }).matchAll(/--[a-z-]+/g)].map(String)));
  const metrics = read("src/telemetry/metrics.md");
  const wrong = [];
  let looked = 0;
  for (const guide of guides) {
    for (const [, code] of prose(guide).matchAll(/`([^`\n]+)`/g)) {
      const say = (what, isThere) => {
        looked += 1;
        if (!isThere) wrong.push(`${guide}: ${what} in ${code}`);
      };
      const [, section, key] = /^(\[\[?[a-z._]+\]\]?)?(?: ?([a-z][a-z0-9_]*))?(?: = .*)?$/.exec(code) ?? [];
      if (section) say(section, sections.has(section));
      if (key && (section || / = /.test(code))) say(key, keys.has(key));
      const [, flag] = /^(?:doorway .*)?(--[a-z-]+)\b/.exec(code) ?? [];
      if (flag && !guide.startsWith("tests/bench")) say(flag, flags.has(flag));
      const [, metric] = /^(doorway_[a-z0-9_]+)(?:\{.*)?$/.exec(code) ?? [];
      if (metric && !metric.endsWith("_")) say(metric, metrics.includes(metric));
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(looked > 60, `${looked} names`);
});
