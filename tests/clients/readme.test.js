// README's tour is what the test app is made of, and its hooks do what they promise with the real libraries.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { get } from "svelte/store";
import { effectScope, watch } from "vue";
import WebSocket from "ws";
import { config, Doorway } from "../browser/harness/doorway.js";
import { eventually } from "../browser/harness/eventually.js";
import { paths } from "../browser/harness/paths.js";
import { Relay } from "../browser/harness/relay.js";

const readme = readFileSync(join(paths.root, "README.md"), "utf8");

/** README's blocks of code by what their first line, a comment, calls them. */
const blocks = new Map(
  [...readme.matchAll(/^```\w+\n(?:\/\/|#) ([^\n]+)\n(.*?)^```$/gms)].map(([, name, code]) => [name, code]),
);

test("the tour's files are those of the test app", () => {
  const files = [
    "proxy.toml",
    "lib/session.ts",
    "lib/room.ts",
    "lib/use-room.ts",
    "app/sign-in/page.tsx",
    "app/api/ws/route.ts",
    "app/rooms/[room]/page.tsx",
    "app/rooms/[room]/room.tsx",
    "app/rooms/[room]/actions.ts",
  ];
  for (const file of files) assert.equal(blocks.get(file), readFileSync(join(paths.app, file), "utf8"), file);
  // Nothing of our own is imported that the tour does not show.
  for (const file of files) {
    for (const [, name] of blocks.get(file).matchAll(/from "@\/(.+?)"/g)) {
      assert.ok([".ts", ".tsx"].some((ending) => blocks.has(name + ending)), `${file} imports ${name}`);
    }
  }
});

test("the Socket.IO chat's files are those of the test app", () => {
  for (const file of ["app/api/socket-io/route.ts", "app/socket-io/chat.tsx"]) {
    assert.equal(blocks.get(file), readFileSync(join(paths.app, file), "utf8"), file);
  }
});

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
    // As in a page: an address without a host means the page's own.
    globalThis.WebSocket = class extends WebSocket {
      constructor(address) {
        super(new URL(address, relay.origin.replace("http", "ws")));
        this.on("error", () => {}); // a browser says it on its console, and `close` follows
      }
    };
    // Where `vue` and `svelte` are found.
    folder = mkdtempSync(join(import.meta.dirname, "node_modules/.readme-"));
    compile("room", blocks.get("lib/room.ts"));
  });
  after(async () => {
    relay?.stop();
    await door?.stop();
    app?.close();
    app?.closeAllConnections();
    if (folder && existsSync(folder)) rmSync(folder, { recursive: true });
  });

  /** Compiles a block as a bundler would, and says where it is now. */
  function compile(name, code) {
    assert.ok(code, `README has no ${name}`);
    const typescript = createRequire(join(paths.app, "package.json"))("typescript");
    const { ModuleKind, ScriptTarget } = typescript;
    const options = { compilerOptions: { module: ModuleKind.ESNext, target: ScriptTarget.ES2022 } };
    const { outputText } = typescript.transpileModule(code, options);
    const file = join(folder, `${name}.mjs`);
    writeFileSync(file, outputText.replace(/"\.\/room"/g, '"./room.mjs"'));
    return pathToFileURL(file).href;
  }

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
    const { useRoom } = await import(compile("vue", blocks.get("use-room.ts, with Vue")));
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
    const { roomStore } = await import(compile("svelte", blocks.get("room-store.ts, with Svelte")));
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
