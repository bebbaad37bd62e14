// The guides, their blocks of code, and how a block is lifted out and made to run.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { paths } from "../../browser/harness/paths.js";

export const read = (file) => readFileSync(join(paths.root, file), "utf8");

/** Every guide: README, and what lies in the rooms beside the code. */
export const guides = ["README.md", ".github/CONTRIBUTING.md", ...markdown("src"), ...markdown("tests")];

function markdown(folder) {
  const found = [];
  for (const entry of readdirSync(join(paths.root, folder), { withFileTypes: true })) {
    if (entry.name.startsWith(".") || ["node_modules", "target", "public"].includes(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...markdown(path));
    else if (entry.name.endsWith(".md")) found.push(path);
  }
  return found;
}

/** The blocks of code of a guide. */
export function blocks(file) {
  return [...read(file).matchAll(/^ *```(\S*)\n(.*?)^ *```$/gms)].map(([, language, code]) => ({ file, language, code }));
}

export const prose = (file) => read(file).replace(/^ *```.*?^ *```$/gms, "");

/**
 * The block of `file` that begins with `start`. A test that calls this with both as plain strings runs the block:
 * `guides/blocks.test.js` looks for these calls, and fails where a block of a program has none.
 */
export function snippet(file, start) {
  const found = blocks(file).filter(({ code }) => code.startsWith(start));
  assert.equal(found.length, 1, `${file} has ${found.length} blocks that begin with ${start}`);
  return found[0].code;
}

/** JavaScript of TypeScript, as a bundler makes it. */
export function javascript(code) {
  const { ModuleKind, ScriptTarget, transpileModule } = createRequire(join(paths.app, "package.json"))("typescript");
  return transpileModule(code, { compilerOptions: { module: ModuleKind.ESNext, target: ScriptTarget.ES2022 } }).outputText;
}

/** Compiles code into a module in `folder`, and says where it is now. */
export function compile(folder, name, code) {
  const file = join(folder, `${name}.mjs`);
  writeFileSync(file, javascript(code).replace(/"\.\/room"/g, '"./room.mjs"'));
  return pathToFileURL(file).href;
}
