// README is a front page; its links and those of the guides lead somewhere. Their code is tried in guides/.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { test } from "node:test";
import { paths } from "../browser/harness/paths.js";
import { guides, prose, read, snippet } from "./harness/guides.js";

/** What a forge makes of a heading's text for a link to it. */
function anchors(file) {
  const headings = [...prose(file).matchAll(/^#+ (.+)$/gm)].map(([, text]) => text);
  return headings.map((text) => text.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replace(/ /g, "-"));
}

test("README is a front page", () => {
  assert.ok(read("README.md").trimEnd().split("\n").length <= 200);
  for (const guide of guides.filter((file) => file.endsWith("README.md"))) {
    assert.ok(read(guide).trimEnd().split("\n").length <= 300, guide);
  }
});

test("every link leads to a file, and to a heading, that is there", () => {
  const wrong = [];
  for (const guide of guides) {
    const text = prose(guide).replace(/`[^`]*`/g, "code");
    for (const [, angled, plain] of text.matchAll(/\]\((?:<([^>]+)>|([^)\s]+))\)/g)) {
      const target = angled ?? plain;
      if (/^(https?|mailto):/.test(target)) continue;
      const [path, anchor] = target.split("#");
      const file = path ? relative(paths.root, resolve(paths.root, dirname(guide), path)) : guide;
      if (file.startsWith("..") || !existsSync(join(paths.root, file))) wrong.push(`${guide}: ${target} is not there`);
      else if (anchor && !anchors(file).includes(anchor)) wrong.push(`${guide}: ${target} has no such heading`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("every path of this repository that a guide names is there", () => {
  const wrong = [];
  for (const guide of guides) {
    for (const [, path] of prose(guide).matchAll(/`((?:src|tests|systemd|\.ci)\/[\w./-]+)`/g)) {
      if (!existsSync(join(paths.root, path))) wrong.push(`${guide}: ${path}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("README leads to every guide", () => {
  const links = [...prose("README.md").matchAll(/\]\(([^)#\s]+)/g)].map(([, target]) => target);
  const wrong = guides.filter((file) => file !== "README.md" && file.endsWith("README.md") && !links.includes(file));
  assert.deepEqual(wrong, []);
});

test("the stock apps of other frameworks are made of the guide's own text", () => {
  const vue = snippet("tests/app/README.md", "// use-room.ts, with Vue");
  const svelte = snippet("tests/app/README.md", "// room-store.ts, with Svelte");
  for (const [file, text] of [
    ["tests/apps/nuxt/app/use-room.ts", vue],
    ["tests/apps/nuxt/app/room.ts", read("tests/app/lib/room.ts")],
    ["tests/apps/sveltekit/src/lib/room-store.ts", svelte],
    ["tests/apps/sveltekit/src/lib/room.ts", read("tests/app/lib/room.ts")],
    ["tests/apps/react-router/app/use-room.ts", read("tests/app/lib/use-room.ts")],
    ["tests/apps/react-router/app/room.ts", read("tests/app/lib/room.ts")],
  ]) {
    assert.equal(read(file), text, file);
  }
});
