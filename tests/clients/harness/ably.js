// A door with an app of Ably, and the stock client on it.
import { createRequire } from "node:module";
import { config, Doorway } from "../../browser/harness/doorway.js";
import { eventually } from "../../browser/harness/eventually.js";

export const Ably = createRequire(import.meta.url)("ably");
export { eventually };

export const KEY = "app.key:a-secret-of-enough-bytes";

/** Both of the formats that clients speak. */
export const FORMATS = [
  ["JSON", { useBinaryProtocol: false }],
  ["MessagePack", { useBinaryProtocol: true }],
];

export class Site {
  static async start({ ably = [{ key: KEY }], app = { url: "off" }, listen = { http: "127.0.0.1:0" }, ...rest } = {}) {
    const site = new Site();
    site.door = await Doorway.start(config({ app, listen, "realtime.ably": ably, ...rest }));
    site.tls = !listen.http?.length;
    return site;
  }

  clients = [];

  get port() {
    return this.door.port(this.tls ? "https" : "http");
  }

  options(options = {}) {
    return {
      endpoint: "127.0.0.1",
      port: this.port,
      tlsPort: this.port,
      tls: this.tls,
      logLevel: 0,
      disableConnectivityCheck: true,
      ...(options.authCallback || options.authUrl || options.token || options.key ? {} : { key: KEY }),
      ...options,
    };
  }

  client(options) {
    const client = new Ably.Realtime(this.options(options));
    this.clients.push(client);
    return client;
  }

  rest(options) {
    return new Ably.Rest(this.options(options));
  }

  /** A client that is connected. */
  async connected(options) {
    const client = this.client(options);
    await reached(client.connection, "connected");
    return client;
  }

  async stop() {
    for (const client of this.clients) client.close();
    await this.door.stop();
  }
}

/** Waits until a connection or a channel is in `state`; fails when it has failed instead. */
export async function reached(emitter, state) {
  await eventually(`${state}, is ${emitter.state}`, () => {
    if (emitter.state === "failed" && state !== "failed") throw new Error(`failed: ${emitter.errorReason}`);
    return emitter.state === state;
  }).catch((error) => {
    throw new Error(`${error.message}: it is ${emitter.state}, ${emitter.errorReason}`, { cause: error });
  });
}

/** What a channel hears from now on. */
export async function heard(channel, ...filter) {
  const all = [];
  await channel.subscribe(...filter, (message) => all.push(message));
  return all;
}

/** What of its presence a channel hears from now on. */
export async function watched(channel) {
  const all = [];
  await channel.presence.subscribe((member) => all.push(member));
  return all;
}

/** Has the client lose its link, as a tunnel does: nothing is said. */
export function cut(client) {
  const transport = client.connection.connectionManager.activeProtocol.getTransport();
  transport.wsConnection.terminate?.() ?? transport.wsConnection._socket?.destroy();
}
