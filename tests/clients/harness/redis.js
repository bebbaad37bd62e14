// A Redis of its own, for doors that share one.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { standStill } from "../../browser/harness/child.js";
import { eventually } from "../../browser/harness/eventually.js";

export class Redis {
  /** One that is there, on a socket of its own; `options` are of its command line. */
  static async start(...options) {
    const redis = await Redis.startAs((folder) => ["--port", "0", "--save", "", "--unixsocket", join(folder, "redis.sock"), ...options]);
    await eventually("redis", () => existsSync(redis.socket));
    return redis;
  }

  /** One with this command line, for a folder of its own. */
  static async startAs(options) {
    const redis = new Redis();
    redis.folder = mkdtempSync(join(tmpdir(), "doorway-redis-"));
    redis.socket = join(redis.folder, "redis.sock");
    redis.options = options(redis.folder);
    redis.again();
    return redis;
  }

  get url() {
    return `unix://${this.socket}`;
  }

  /** Starts it, with what it had. */
  again() {
    this.child = spawn("redis-server", this.options, { cwd: this.folder, stdio: "ignore" });
    this.child.on("error", (error) => console.error(`redis-server cannot be started (Debian's package redis-server): ${error}`));
  }

  signal(name) {
    this.child.kill(name);
  }

  standStill() {
    return standStill(this.child);
  }

  /** Ends it at once. */
  async kill() {
    this.child.kill("SIGKILL");
    await once(this.child, "exit");
  }

  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.kill();
    rmSync(this.folder, { recursive: true });
  }
}
