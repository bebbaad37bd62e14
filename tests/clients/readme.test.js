// README is a front page; its links and those of the guides lead somewhere, and their code is code that runs.
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { get } from "svelte/store";
import { effectScope, watch } from "vue";
import WebSocket from "ws";
import { config, Doorway } from "../browser/harness/doorway.js";
import { eventually } from "../browser/harness/eventually.js";
import { paths, scratch } from "../browser/harness/paths.js";
import { Relay } from "../browser/harness/relay.js";

const read = (file) => readFileSync(join(paths.root, file), "utf8");

/** Every guide: README, and what lies in the rooms beside the code. */
const guides = ["README.md", ...markdown("src"), ...markdown("tests")];


function markdown(folder) {
  const found = [];
  for (const entry of readdirSync(join(paths.root, folder), { withFileTypes: true })) {
    if (entry.name.startsWith(".") || ["node_modules", "target", "public"].includes(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...markdown(path));
    else if (entry.name.endsWith(".md")) found.push(path);
  }
  return found;
}

/** The blocks of code of a guide. */
function blocks(file) {
  return [...read(file).matchAll(/^ *```(\S*)\n(.*?)^ *```$/gms)].map(([, language, code]) => ({ file, language, code }));
}

/** Where anybody may come in: with callbacks, a channel that no section names is the app's. */
const OPEN = '[[realtime.channel]]\nmatch = "lobby"\nhistory = 10\n';

/** A page's WebSocket: an address without a host means the page's own. */
const at = (origin) =>
  class extends WebSocket {
    constructor(address) {
      super(new URL(address, origin.replace("http", "ws")));
      this.on("error", () => {}); // a browser says it on its console, and `close` follows
    }
  };

/** Compiles code as a bundler would, and says where it is now. */
function transpiled(folder, name, code) {
  const { ModuleKind, ScriptTarget, transpileModule } = createRequire(join(paths.app, "package.json"))("typescript");
  const options = { compilerOptions: { module: ModuleKind.ESNext, target: ScriptTarget.ES2022 } };
  const { outputText } = transpileModule(code, options);
  const file = join(folder, `${name}.mjs`);
  writeFileSync(file, outputText.replace(/"\.\/room"/g, '"./room.mjs"'));
  return pathToFileURL(file).href;
}

const prose = (file) => read(file).replace(/^ *```.*?^ *```$/gms, "");

/** What a forge makes of a heading's text for a link to it. */
function anchors(file) {
  const headings = [...prose(file).matchAll(/^#+ (.+)$/gm)].map(([, text]) => text);
  return headings.map((text) => text.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replace(/ /g, "-"));
}

/** The block that begins with this comment. */
function snippet(file, comment) {
  const found = blocks(file).find(({ code }) => code.startsWith(`// ${comment}\n`));
  assert.ok(found, `${file} has no ${comment}`);
  return found.code;
}

test("README is a front page", () => {
  assert.ok(read("README.md").trimEnd().split("\n").length <= 200);
  for (const guide of guides.filter((file) => file.endsWith("README.md"))) {
    assert.ok(read(guide).trimEnd().split("\n").length <= 300, guide);
  }
});

test("every link leads to a file, and to a heading, that is there", () => {
  const wrong = [];
  for (const guide of guides) {
    const text = prose(guide).replace(/`[^`]*`/g, "code");
    for (const [, angled, plain] of text.matchAll(/\]\((?:<([^>]+)>|([^)\s]+))\)/g)) {
      const target = angled ?? plain;
      if (/^(https?|mailto):/.test(target)) continue;
      const [path, anchor] = target.split("#");
      const file = path ? relative(paths.root, resolve(paths.root, dirname(guide), path)) : guide;
      if (file.startsWith("..") || !existsSync(join(paths.root, file))) wrong.push(`${guide}: ${target} is not there`);
      else if (anchor && !anchors(file).includes(anchor)) wrong.push(`${guide}: ${target} has no such heading`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("every path of this repository that a guide names is there", () => {
  const wrong = [];
  for (const guide of guides) {
    for (const [, path] of prose(guide).matchAll(/`((?:src|tests|systemd|\.ci)\/[\w./-]+)`/g)) {
      if (!existsSync(join(paths.root, path))) wrong.push(`${guide}: ${path}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("README leads to every guide", () => {
  const links = [...prose("README.md").matchAll(/\]\(([^)#\s]+)/g)].map(([, target]) => target);
  const wrong = guides.filter((file) => file !== "README.md" && file.endsWith("README.md") && !links.includes(file));
  assert.deepEqual(wrong, []);
});

test("code that is said to be from a file is from it", () => {
  let compared = 0;
  for (const { file, code } of guides.flatMap(blocks)) {
    const [, source, rest] = /^(?:\/\/|#) from (\S+)\n(.*)$/s.exec(code) ?? [];
    if (!source) continue;
    assert.ok(read(source).includes(rest), `${file} has what is not in ${source}`);
    compared += 1;
  }
  assert.ok(compared >= 2);
});

test("every block of code says its language, and is code", () => {
  const { ModuleKind, ScriptTarget, transpileModule } = createRequire(join(paths.app, "package.json"))("typescript");
  const compilerOptions = { module: ModuleKind.ESNext, target: ScriptTarget.ES2022 };
  for (const { file, language, code } of guides.flatMap(blocks)) {
    assert.notEqual(language, "", `${file}: a block without a language\n${code}`);
    // The beginning and the end of a file are no programs of their own: they are compared with it.
    if (!["ts", "tsx"].includes(language) || code.startsWith("// from ")) continue;
    const fileName = `snippet.${language}`;
    const { diagnostics } = transpileModule(code, { compilerOptions, fileName, reportDiagnostics: true });
    const wrong = diagnostics.map(({ messageText }) => messageText);
    assert.deepEqual(wrong, [], `${file}\n${code}`);
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
    globalThis.WebSocket = at(relay.origin);
    // Where `vue` and `svelte` are found.
    folder = scratch(join(import.meta.dirname, "node_modules"));
    compile("room", read("tests/app/lib/room.ts"));
  });
  after(async () => {
    relay?.stop();
    await door?.stop();
    app?.close();
    app?.closeAllConnections();
  });

  const compile = (name, code) => transpiled(folder, name, code);
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
    const { useRoom } = await import(compile("vue", snippet("tests/app/README.md", "use-room.ts, with Vue")));
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
    const { roomStore } = await import(compile("svelte", snippet("tests/app/README.md", "room-store.ts, with Svelte")));
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

test("README's socket of ten lines hears what it says, and its route decides", async () => {
  const [socket, route] = blocks("README.md").filter(({ language }) => language === "ts").map(({ code }) => code);
  const folder = scratch(join(import.meta.dirname, "node_modules"));
  const { POST } = await import(transpiled(folder, "route", `const signedIn = async () => "ada";\n${route}`));
  const app = createServer(async (request, response) => {
    if (request.method !== "POST") return response.end("app");
    const body = Buffer.concat(await request.toArray());
    const answer = await POST(new Request("http://app/api/ws", { method: "POST", body }));
    response.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text());
  }).listen(0, "127.0.0.1");
  await once(app, "listening");
  const url = `http://127.0.0.1:${app.address().port}`;
  const callbacks = { events: ["connect", "message"] };
  const door = await Doorway.start(config({ app: { url }, callbacks, listen: { http: "127.0.0.1:0" } }), [], OPEN);
  try {
    const heard = [];
    const page = { WebSocket: at(door.origin("http")), console: { log: (said) => heard.push(said) } };
    const opened = Function("WebSocket", "console", `${socket}\nreturn socket;`)(page.WebSocket, page.console);
    await eventually("what it said", () => heard.length === 3);
    assert.deepEqual(heard.map(({ type, data }) => [type, data]), [
      ["subscribed", undefined],
      ["echo", "hello"],
      ["broadcast", "hello"],
    ]);
    const promised = [...socket.matchAll(/^\/\/ \{"type":"(\w+)"/gm)].map(([, type]) => type);
    assert.deepEqual(promised, heard.map(({ type }) => type));
    opened.send("spam");
    await eventually("a refusal", () => heard.some(({ type, message }) => type === "error" && /mind your words/.test(message)));
    opened.close();
  } finally {
    await door.stop();
    app.close();
    app.closeAllConnections();
  }
});
