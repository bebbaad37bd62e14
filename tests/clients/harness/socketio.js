// Two servers that run the same code: Socket.IO's own, and Doorway with a route handler behind it.
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Server as NodeServer } from "socket.io";
import * as msgpack from "socket.io-msgpack-parser";
import { io } from "socket.io-client";
import { config, Doorway } from "../../browser/harness/doorway.js";
import { paths, scratch } from "../../browser/harness/paths.js";

export const ANY = "127.0.0.1:0";

/** The test app's own helper, as Next.js would compile it. */
export async function helper() {
  const require = createRequire(join(paths.app, "package.json"));
  const { ModuleKind, ScriptTarget, transpileModule } = require("typescript");
  const source = readFileSync(join(paths.app, "lib/socket-io.ts"), "utf8");
  const compilerOptions = { module: ModuleKind.ESNext, target: ScriptTarget.ES2022 };
  const file = join(scratch(), "socket-io.mjs");
  writeFileSync(file, transpileModule(source, { compilerOptions }).outputText);
  return import(pathToFileURL(file));
}

/** An app whose only route is that of the callbacks: `answer` gets a question and the request's headers. */
export async function app(answer) {
  const server = createServer(async (request, response) => {
    if (request.method !== "POST") return response.end("app");
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const question = JSON.parse(Buffer.concat(chunks));
    const said = await answer(question, new Headers(request.headers)).catch((error) => void console.error(error));
    if (said === undefined) return response.writeHead(410).end();
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(said));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Doorway in front of `behave(io)`; without it, with nothing but its own relay. */
export async function doorway(behave, { socketio = {}, recovery, ...rest } = {}) {
  const { Server } = await helper();
  const server = new Server({ connectionStateRecovery: recovery });
  behave?.(server);
  const backend = await app((question, headers) => server.answer(question, headers));
  const callbacks = behave ? { callbacks: { events: ["connect", "message", "disconnect"] } } : {};
  const door = await Doorway.start(
    config({ app: { url: backend.url }, listen: { http: ANY }, "realtime.socketio": [{ namespaces: ["/*"], ...socketio }], ...callbacks, ...rest }),
  );
  // As Doorway itself gives it to an app that it starts.
  process.env.DOORWAY_URL = `http://${door.addresses.admin}/_doorway/api/v1`;
  return {
    name: "doorway",
    url: door.origin("http"),
    door,
    async stop() {
      await door.stop();
      backend.stop();
    },
  };
}

/** Socket.IO's own server with `behave(io)`. */
export async function node(behave, { socketio = {}, recovery } = {}) {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const parser = socketio.parser === "msgpack" && { parser: msgpack };
  const times = { pingInterval: ms(socketio.ping_interval) ?? 25_000, pingTimeout: ms(socketio.ping_timeout) ?? 20_000 };
  const kept = socketio.recovery && { connectionStateRecovery: { maxDisconnectionDuration: ms(socketio.recovery), ...recovery } };
  const sockets = new NodeServer(server, { ...parser, ...times, ...kept });
  behave?.(sockets);
  return {
    name: "node",
    url: `http://127.0.0.1:${server.address().port}`,
    async stop() {
      await sockets.close();
      server.closeAllConnections();
    },
  };
}

function ms(duration) {
  return duration && Number.parseInt(duration, 10) * (duration.endsWith("ms") ? 1 : 1000);
}

/** Stock clients, all gone when the test is over. */
export class Clients {
  #open = [];

  constructor(url, options) {
    this.url = url;
    this.options = options;
  }

  /** A client that has its own connection and is connected. */
  async connected(namespace = "/", options = {}) {
    const socket = this.open(namespace, options);
    await heard(socket, "connect");
    return socket;
  }

  open(namespace = "/", options = {}) {
    const socket = io(this.url + namespace, { forceNew: true, ...this.options, ...options });
    this.#open.push(socket);
    return socket;
  }

  close() {
    for (const socket of this.#open) {
      socket.disconnect();
      // A socket that was refused has let go of its connection already, which would look for the server for ever.
      socket.io.reconnection(false);
      socket.io.engine?.close();
    }
  }
}

/** The arguments of the next event of this name. */
export function heard(socket, name) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited for ${name} from ${socket.io?.uri ?? socket.constructor?.name}`)), 30_000);
    socket.once(name, (...args) => {
      clearTimeout(timer);
      resolve(args.filter((arg) => typeof arg !== "function"));
    });
  });
}

/** Whatever events come until one of the name `last`, as `[name, ...args]`. */
export function until(socket, last) {
  const events = [];
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited for ${last}, heard ${JSON.stringify(events)}`)), 30_000);
    socket.onAny((name, ...args) => {
      if (name === "welcome") return; // it may come before this began, or after
      if (name !== last) return events.push([name, ...args]);
      clearTimeout(timer);
      resolve(events);
    });
  });
}
