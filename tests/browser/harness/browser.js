// A browser with a fresh profile, and pages that must not complain: Chromium, or Firefox with DOORWAY_BROWSER=firefox.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { PATIENCE } from "./eventually.js";
import { launch as launchFirefox } from "./firefox.js";
import { paths } from "./paths.js";

export const BROWSERS = ["chromium", "firefox"];

/** One of `BROWSERS`. */
export function launch(name = process.env.DOORWAY_BROWSER ?? "chromium") {
  assert.ok(BROWSERS.includes(name), `DOORWAY_BROWSER is one of ${BROWSERS.join(", ")}`);
  return name === "firefox" ? launchFirefox() : launchChromium();
}

/** Chromium for which `localhost:8080` and the like are where `places` says: it types what a guide prints. */
export function launchAt(places) {
  const rules = Object.entries(places).map(([host, port]) => `MAP ${host} 127.0.0.1:${port}`);
  return launchChromium([`--host-resolver-rules=${rules.join(",")}`]);
}

/** What a browser says of a connection that fails or ends where a test means it to. */
export const broken =
  /ERR_|WebSocket connection to .* failed|Firefox can’t establish a connection|The connection to .* was interrupted/;

function launchChromium(more = []) {
  return chromium.launch({
    executablePath: paths.chromium,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-first-run",
      "--disable-quic",
      ...more,
    ],
  });
}

/**
 * Opens a page on `origin`, hands it to `visit`, and fails if the page said an error or a warning on its console or
 * threw. `expected` are patterns of what may be said, for tests that provoke it.
 */
export async function visiting(browser, origin, visit, { expected = [], ...options } = {}) {
  const context = await browser.newContext({ baseURL: origin, ignoreHTTPSErrors: true, ...options });
  context.setDefaultTimeout(PATIENCE);
  try {
    const page = await context.newPage();
    const complaints = listen(page);
    try {
      await visit(page, context);
    } catch (error) {
      error.message += `\nThe page at ${page.url()} complained: ${complaints.join("\n") || "of nothing"}`;
      throw error;
    }
    const unexpected = complaints.filter((complaint) => !expected.some((pattern) => pattern.test(complaint)));
    assert.deepEqual(unexpected, [], "the page complained");
  } finally {
    await context.close();
  }
}

/** Gathers what a page complains of, from now on. */
export function listen(page) {
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${message.type()}: ${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => complaints.push(`threw: ${error.stack}`));
  return complaints;
}
