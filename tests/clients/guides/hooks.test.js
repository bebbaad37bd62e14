// The hooks of the guides for Vue and Svelte, with the libraries' own reactivity.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { get } from "svelte/store";
import { effectScope, watch } from "vue";
import WebSocket from "ws";
import { config, Doorway } from "../../browser/harness/doorway.js";
import { eventually } from "../../browser/harness/eventually.js";
import { scratch } from "../../browser/harness/paths.js";
import { Relay } from "../../browser/harness/relay.js";
import { compile, read, snippet } from "../harness/guides.js";

/** A page's WebSocket: an address without a host means the page's own. */
const at = (origin) =>
  class extends WebSocket {
    constructor(address) {
      super(new URL(address, origin.replace("http", "ws")));
      this.on("error", () => {}); // a browser says it on its console, and `close` follows
    }
  };

describe("hooks", () => {
  let app, door, relay, folder;

  before(async () => {
    app = createServer((_, response) => response.end("app")).listen(0, "127.0.0.1");
    await once(app, "listening");
    const url = `http://127.0.0.1:${app.address().port}`;
    const channel = [{ match: "room-*", history: 100, presence: "all" }];
    const listen = { http: "127.0.0.1:0" };
    door = await Doorway.start(config({ app: { url }, listen, "realtime.channel": channel }));
    relay = await Relay.to(door.port("http"));
    globalThis.WebSocket = at(relay.origin);
    // Where `vue` and `svelte` are found.
    folder = scratch(join(import.meta.dirname, "../node_modules"));
    compile(folder, "room", read("tests/app/lib/room.ts"));
  });
  after(async () => {
    relay?.stop();
    await door?.stop();
    app?.close();
    app?.closeAllConnections();
  });

  const texts = (said) => said.filter(({ type }) => type === "broadcast").map(({ data }) => data);
  const subscriptions = async () => {
    const text = await (await door.admin("/metrics")).text();
    return Number(/^doorway_hub_subscriptions (\d+)$/m.exec(text)[1]);
  };

  /** What every hook promises: history, what is new, what was missed in a cut; and no socket when it is over. */
  async function tries(room, open) {
    const other = new WebSocket(`${door.origin("http").replace("http", "ws")}/api/ws/room-${room}`);
    await once(other, "open");
    other.send("before");
    await once(other, "message");
    const hook = open(room);
    await eventually("history", () => texts(hook.said()).length === 1);
    hook.send("mine");
    await eventually("its own", () => texts(hook.said()).length === 2);
    relay.cut();
    await eventually("the loss to be noticed", async () => (await subscriptions()) === 1);
    for (const text of ["missed", "too"]) other.send(text);
    relay.mend();
    await eventually("what was missed", () => texts(hook.said()).length === 4);
    other.send("after");
    await eventually("what is new", () => texts(hook.said()).length === 5);
    assert.deepEqual(texts(hook.said()), ["before", "mine", "missed", "too", "after"]);
    hook.close();
    await eventually("its socket to be closed", async () => (await subscriptions()) === 1);
    other.close();
    await eventually("nobody to be left", async () => (await subscriptions()) === 0);
    return hook;
  }

  test("Vue: a composable that lives as long as its scope", async () => {
    const { useRoom } = await import(compile(folder, "vue", snippet("tests/app/README.md", "// use-room.ts, with Vue")));
    const scope = effectScope();
    const opened = [];
    await tries("vue", (room) => {
      const hook = scope.run(() => {
        const hook = useRoom(room);
        watch(hook.open, (now) => opened.push(now), { flush: "sync" });
        return hook;
      });
      return { said: () => hook.said.value, send: hook.send, close: () => scope.stop() };
    });
    assert.deepEqual(opened, [true, false, true]);
  });

  test("Svelte: a store that lives as long as it is read", async () => {
    const { roomStore } = await import(compile(folder, "svelte", snippet("tests/app/README.md", "// room-store.ts, with Svelte")));
    let store;
    await tries("svelte", (room) => {
      store = roomStore(room);
      const close = store.subscribe(() => {});
      return { said: () => get(store), send: store.send, close };
    });
    const again = store.subscribe(() => {});
    await eventually("history again", () => texts(get(store)).length === 5);
    again();
  });
});
