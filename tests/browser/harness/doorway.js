// The real binary, with a config file of the test's own and every port chosen by the kernel.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Child } from "./child.js";
import { BUILDING, eventually } from "./eventually.js";
import { paths, scratch } from "./paths.js";

export class Doorway {
  /**
   * Starts the door with `config`, an object of sections (an array where there are several of a kind), and waits until
   * it listens and its app answers. `more` is text for the end of the file.
   */
  static async start(config, args = [], more = "") {
    const door = new Doorway(config, args, more);
    await door.#ready();
    return door;
  }

  constructor(config, args, more) {
    this.file = join(scratch(), "proxy.toml");
    writeFileSync(this.file, toToml(config) + "\n" + more);
    this.kinds = ["admin", config.listen.http?.length && "http", config.listen.https?.length && "https"].filter(Boolean);
    this.child = new Child("doorway", paths.doorway, ["--config", this.file, ...args], {
      env: { ...process.env, NEXT_TELEMETRY_DISABLED: "1" },
    });
  }

  async #ready() {
    this.addresses = {};
    for (const kind of this.kinds) {
      this.addresses[kind] = await this.said(`listening for ${kind}`, (log) => log.message === "listening" && log.kind === kind && log.address);
    }
    await this.untilReady();
  }

  /** `https://localhost:PORT`, as a person would type it. */
  origin(kind) {
    return `${kind}://localhost:${this.port(kind)}`;
  }

  port(kind) {
    return Number(this.addresses[kind].split(":").at(-1));
  }

  /** Waits until `/health/ready` says yes: what installs and builds an app first may take minutes for it on a busy machine. */
  async untilReady(within = BUILDING) {
    const over = () => this.child.process.exitCode !== null;
    try {
      await eventually("/health/ready", async () => over() || (await this.admin("/health/ready")).ok, within);
      if (over()) throw new Error("the door ended before it was ready");
    } catch (cause) {
      throw new Error(`${cause.message}; it said last:\n${this.child.lines.slice(-20).join("\n")}`, { cause });
    }
  }

  admin(path) {
    return fetch(`http://${this.addresses.admin}${path}`);
  }

  /** The first log line for which `pick` gives something; `after` skips that many lines. */
  said(what, pick, options) {
    return this.child.until(what, (line) => {
      const log = parse(line);
      return log && pick(log);
    }, options);
  }

  /** How many lines it has said so far: for `after`. */
  get heard() {
    return this.child.heard;
  }

  /** Another config for the same file; SIGHUP makes it read it. */
  rewrite(config) {
    writeFileSync(this.file, toToml(config) + "\n");
  }

  signal(name) {
    this.child.signal(name);
  }

  standStill() {
    return this.child.standStill();
  }

  stop() {
    return this.child.stop();
  }
}

/** A door with https, http and admin on ports of its own, in front of the test app. */
export function config({ app = { dir: paths.app }, listen = { http: ANY, https: ANY }, ...rest } = {}) {
  const tls = listen.https?.length ? { tls: { self_signed: true } } : {};
  // Without the empty list http would be on its default port, where another test's door may be.
  return { listen: { http: [], ...listen }, ...tls, app, admin: { listen: ANY }, ...rest };
}

const ANY = "127.0.0.1:0";

function parse(line) {
  try {
    const log = JSON.parse(line);
    return { ...log, ...log.fields };
  } catch {
    return undefined; // a line for people, such as a panic
  }
}

function toToml(sections) {
  return Object.entries(sections)
    .flatMap(([name, section]) => (Array.isArray(section) ? section.map((each) => [`[[${name}]]`, each]) : [[`[${name}]`, section]]))
    .map(([header, section]) => {
      const keys = Object.entries(section).map(([key, value]) => `${key} = ${toValue(value)}`);
      return [header, ...keys, ""].join("\n");
    })
    .join("\n");
}

function toValue(value) {
  if (typeof value !== "object" || Array.isArray(value)) return JSON.stringify(value);
  return `{ ${Object.entries(value).map(([key, value]) => `${key} = ${toValue(value)}`).join(", ")} }`;
}
