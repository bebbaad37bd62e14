// The room chat, as people use it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { config, Doorway } from "./doorway.js";
import { paths } from "./paths.js";

/** A door over plain HTTP with the config that the test app brings. */
export function startRoomDoor(options) {
  const own = readFileSync(join(paths.app, "proxy.toml"), "utf8");
  return Doorway.start(config({ listen: { http: "127.0.0.1:0" }, ...options }), [], own);
}

export async function signIn(page, name) {
  await page.goto("/sign-in");
  await page.getByLabel("name").fill(name);
  await page.getByRole("button", { name: "sign in" }).click();
  await isOpen(page);
}

/** A further tab of the one who is signed in already. */
export async function enter(page, room = "lobby") {
  await page.goto(`/rooms/${room}`);
  await isOpen(page);
}

export async function isOpen(page) {
  await page.locator("#status", { hasText: /^open$/ }).waitFor();
}

export async function say(page, text) {
  await page.getByLabel("message").fill(text);
  await page.getByRole("button", { name: "send" }).click();
}

/** Waits for a line of this kind, as the whole of it. */
export async function reads(page, kind, text) {
  await page.locator(`li[data-type=${kind}]`).filter({ hasText: text }).first().waitFor();
}

/** Who the page says is here. */
export async function here(page, names) {
  await page.locator("#members", { hasText: new RegExp(`^${names.join(", ")}$`) }).waitFor();
}

/** The lines of this kind, in order. */
export function lines(page, kind) {
  return page.locator(`li[data-type=${kind}]`).allTextContents();
}
