// Waiting on a condition, never on the clock.
import { setTimeout } from "node:timers/promises";

/** How long, in ms, a state is waited for that is sure to come: a busy machine is slow, and only a failure waits it out. */
export const PATIENCE = 60_000;

/** The same for what comes after an app is installed and built, beside other tests that build theirs. */
export const BUILDING = 600_000;

/** Calls `probe` until it gives something truthy, and gives that back; fails after `within` ms, naming `what`. */
export async function eventually(what, probe, within = PATIENCE) {
  const deadline = Date.now() + within;
  let last;
  for (;;) {
    try {
      const found = await probe();
      if (found) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`waited ${within} ms for ${what}`, { cause: last });
    await setTimeout(25);
  }
}
