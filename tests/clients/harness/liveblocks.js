// A door with Liveblocks, stock clients on lines that can be held and cut, and the node library.
import "./quiet.js"; // before the library, which keeps what it finds
import { createClient, LiveList, LiveMap, LiveObject, LiveText } from "@liveblocks/client";
import { Liveblocks } from "@liveblocks/node";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";
import { config, Doorway } from "../../browser/harness/doorway.js";
import { eventually } from "../../browser/harness/eventually.js";

export { eventually, LiveList, LiveMap, LiveObject, LiveText };

export const PUBLIC = "pk_mine";
export const SECRET = "sk_a_secret_of_enough_bytes";

/** A WebSocket of one client whose frames can be held back both ways, and which can be cut. */
function line(own) {
  return class Line extends WebSocket {
    constructor(...args) {
      super(...args);
      own.sockets.push(this);
      this.on("open", () => own.opened++);
      this.on("close", (code, reason) => {
        own.closes.push([code, String(reason)]);
        own.wire.push(`closed: ${code} ${reason}`);
      });
    }

    send(data) {
      const send = () => this.readyState === WebSocket.OPEN && super.send(data);
      own.sent++;
      own.wire.push(`> ${data}`);
      if (own.isHeld && data !== "ping") own.held.push(send);
      else send();
    }

    emit(event, ...args) {
      if (event !== "message") return super.emit(event, ...args);
      if (own.isDeaf) return own.unheard.push(() => super.emit(event, ...args));
      own.heard++;
      own.wire.push(`< ${args[0]}`);
      try {
        return super.emit(event, ...args);
      } catch (error) {
        own.thrown.push(error); // the library's own: it hears no more
        return true;
      }
    }
  };
}

/** A stock client and its line. */
export class Editor {
  sockets = [];
  held = [];
  unheard = [];
  thrown = [];
  /** All that was said on its lines, as far as it left it and reached it. */
  wire = [];
  closes = [];
  opened = 0;
  sent = 0;
  heard = 0;
  isHeld = false;
  isDeaf = false;

  constructor(site, options = {}) {
    const { auth, ...rest } = options;
    this.client = createClient({
      baseUrl: site.url,
      throttle: 16,
      polyfills: { WebSocket: line(this) },
      ...(auth ? { authEndpoint: auth } : { publicApiKey: PUBLIC }),
      ...rest,
    });
  }

  /** Enters a room; the rest of the options are the library's. */
  enter(name, { presence = {}, storage } = {}) {
    const entered = this.client.enterRoom(name, { initialPresence: presence, initialStorage: storage });
    this.room = entered.room;
    this.leave = () => (entered.leave(), (this.leave = () => {}));
    this.errors = [];
    this.room.events.lostConnection.subscribe(() => (this.lost = (this.lost ?? 0) + 1));
    this.client.events.error.subscribe((error) => this.errors.push(error));
    return this;
  }

  /** Once it is connected. */
  async connected() {
    await eventually("connected", () => this.room.getStatus() === "connected");
    return this;
  }

  /** Once its storage is there. */
  async stored() {
    this.root = (await this.room.getStorage()).root;
    return this;
  }

  hold() {
    this.isHeld = true;
  }

  release() {
    this.isHeld = false;
    this.held.splice(0).forEach((send) => send());
  }

  /** From now on it hears nothing, though it is told. */
  deafen() {
    this.isDeaf = true;
  }

  /** It hears all that it was told meanwhile. */
  listen() {
    this.isDeaf = false;
    this.unheard.splice(0).forEach((hear) => hear());
  }

  /** Its line is gone, and with it what was under way on it. */
  cut() {
    this.held.splice(0);
    this.unheard.splice(0);
    this.sockets.at(-1)?.terminate();
  }

  /** Once the server has everything: what was changed a moment ago is sent a moment later. */
  async synced(within) {
    let sent = -1;
    await eventually("synchronized", () => {
      const isQuiet = sent === this.sent;
      sent = this.sent;
      return isQuiet && this.room.getStorageStatus() === "synchronized";
    }, within);
  }

  get json() {
    return this.root.toJSON();
  }
}

export class Site {
  editors = [];

  static async start({ liveblocks, documents, ...rest } = {}) {
    const site = new Site();
    site.folder = await mkdtemp(join(tmpdir(), "doorway-documents-"));
    site.settings = {
      app: { url: "off" },
      listen: { http: "127.0.0.1:0" },
      documents: { dir: site.folder, ...documents },
      "realtime.liveblocks": { public_key: PUBLIC, secret: SECRET, ...liveblocks },
      ...rest,
    };
    await site.open();
    return site;
  }

  async open(listen = this.settings.listen) {
    this.door = await Doorway.start(config({ ...this.settings, listen }));
    this.port = this.door.port("http");
  }

  /** The same door again, on the same port: by its word, or as after a crash. */
  async again({ killed = false } = {}) {
    if (killed) {
      const { process } = this.door.child;
      const gone = once(process, "exit");
      process.kill("SIGKILL");
      await gone;
    } else {
      await this.door.stop();
    }
    await this.open({ http: `127.0.0.1:${this.port}` });
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get node() {
    return new Liveblocks({ secret: SECRET, baseUrl: this.url });
  }

  editor(name, options, client) {
    const editor = new Editor(this, client).enter(name, options);
    this.editors.push(editor);
    return editor;
  }

  /** An editor whose storage is there. */
  async stored(name, storage, client) {
    return (await this.editor(name, { storage }, client).connected()).stored();
  }

  async stop() {
    for (const editor of this.editors) editor.leave();
    await this.door.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
