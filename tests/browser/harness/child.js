// A process of ours: its lines are kept, and it never outlives the test.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { BUILDING, eventually } from "./eventually.js";
import { whenLeaving } from "./leaving.js";

const KEPT = 5_000; // lines; the oldest go

/** SIGSTOP, and until it has stopped: one thread takes the signal, and others may run on until that one has its turn. */
export async function standStill(process) {
  process.kill("SIGSTOP");
  const tasks = `/proc/${process.pid}/task`;
  const hasStopped = (task) => / T /.test(readFileSync(`${tasks}/${task}/stat`, "utf8").split(")").pop());
  await eventually("it stands still", () => readdirSync(tasks).every(hasStopped));
}

export class Child {
  lines = [];
  heard = 0; // lines in all, those that have gone too
  #waiting = new Set();

  constructor(name, command, args, options = {}) {
    this.name = name;
    this.process = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    this.exited = new Promise((resolve) => {
      this.process.on("exit", (code, signal) => resolve({ code, signal }));
      this.process.on("error", (error) => {
        this.#hear(`${command}: ${error.message}`);
        resolve({ code: -1, signal: null });
      });
    });
    this.exited.then(({ code, signal }) => {
      for (const { what, fail } of this.#waiting) fail(this.#failure(`ended (${signal ?? code}) before ${what}`));
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      createInterface({ input: stream }).on("line", (line) => this.#hear(line));
    }
    whenLeaving(() => this.process.kill("SIGKILL"));
  }

  get pid() {
    return this.process.pid;
  }

  /** What `pick` gives for the first line, said already or still to come, for which it gives anything; `after` skips lines. */
  async until(what, pick, { within = BUILDING, after = 0 } = {}) {
    for (const line of this.lines.slice(Math.max(0, after - (this.heard - this.lines.length)))) {
      const found = pick(line);
      if (found) return found;
    }
    return new Promise((resolve, reject) => {
      const done = (settle) => (value) => {
        clearTimeout(timer);
        this.#waiting.delete(waiting);
        settle(value);
      };
      const waiting = { what, pick, found: done(resolve), fail: done(reject) };
      const timer = setTimeout(() => waiting.fail(this.#failure(`said nothing of ${what} in ${within} ms`)), within);
      this.#waiting.add(waiting);
    });
  }

  signal(name) {
    this.process.kill(name);
  }

  standStill() {
    return standStill(this.process);
  }

  /** SIGTERM, and how it ended; killed if that takes more than `within` ms. */
  async stop(within = 30_000) {
    this.process.kill("SIGTERM");
    const timer = setTimeout(() => this.process.kill("SIGKILL"), within);
    const ended = await this.exited;
    clearTimeout(timer);
    return ended;
  }

  #hear(line) {
    this.heard++;
    this.lines.push(line);
    if (this.lines.length > KEPT) this.lines.shift();
    for (const waiting of this.#waiting) {
      const found = waiting.pick(line);
      if (found) waiting.found(found);
    }
  }

  #failure(message) {
    return new Error(`${this.name} ${message}\n${this.lines.slice(-40).join("\n")}`);
  }
}
