// Where things are.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { whenLeaving } from "./leaving.js";

const root = resolve(import.meta.dirname, "../../..");

export const paths = {
  root,
  app: join(root, "tests/app"),
  doorway: resolve(process.env.DOORWAY_BIN ?? join(root, "target/debug/doorway")),
  chromium: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium",
  firefox: process.env.FIREFOX_BIN ?? "/usr/bin/firefox-esr",
};

/** A new empty directory, gone when the test process ends. */
export function scratch(near = tmpdir()) {
  mkdirSync(near, { recursive: true });
  const directory = mkdtempSync(join(near, "doorway-test-"));
  whenLeaving(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
