// A door with an app of Pusher Channels, and the stock libraries on both sides of it.
import { createServer } from "node:http";
import { once } from "node:events";
import Server from "pusher";
import Client from "pusher-js";
import { config, Doorway } from "../../browser/harness/doorway.js";
import { eventually } from "../../browser/harness/eventually.js";



export { Client };

export const APP = { id: "1", key: "app-key", secret: "app-secret" };
const MASTER = Buffer.alloc(32, 7).toString("base64");

/** A door in front of an app whose auth routes are written with the stock server library. */
export class Site {
  static async start({ apps = [APP], realtime, listen, channels, ...rest } = {}) {
    const site = new Site();
    site.kind = listen?.https ? "https" : "http";
    site.asked = [];
    site.routes = {};
    site.app = createServer((request, response) => site.#answer(request, response)).listen(0, "127.0.0.1");
    await once(site.app, "listening");
    site.door = await Doorway.start(
      config({
        app: { url: `http://127.0.0.1:${site.app.address().port}` },
        listen: listen ?? { http: "127.0.0.1:0" },
        ...(realtime ? { realtime } : {}),
        ...(channels ? { "realtime.channel": channels } : {}),
        "realtime.pusher": apps,
        ...rest,
      }),
    );
    return site;
  }

  clients = [];

  get port() {
    return this.door.port(this.kind);
  }

  get origin() {
    return `${this.kind}://127.0.0.1:${this.port}`;
  }

  /** A stock client, connected to this site by `path`. */
  client(options = {}, key = APP.key) {
    const client = new Client(key, {
      cluster: "x",
      wsHost: "127.0.0.1",
      wsPort: this.port,
      wssPort: this.port,
      httpHost: "127.0.0.1",
      httpPort: this.port,
      httpsPort: this.port,
      forceTLS: this.kind === "https",
      enabledTransports: ["ws", "wss"],
      authEndpoint: `${this.origin}/pusher/auth`,
      userAuthentication: { endpoint: `${this.origin}/pusher/user-auth`, transport: "ajax" },
      ...options,
    });
    this.clients.push(client);
    return client;
  }

  /** A client that is connected and somebody: the app's routes sign for whom `as` says. */
  async connected(options, key) {
    const client = this.client(options, key);
    await heard(client.connection, "connected");
    return client;
  }

  as(user) {
    return { auth: { headers: { "x-user": JSON.stringify(user) } }, userAuthentication: { endpoint: `${this.origin}/pusher/user-auth`, transport: "ajax", headers: { "x-user": JSON.stringify(user) } } };
  }

  /** The stock server library, as the app's server has it. */
  server(app = APP, options = {}) {
    return new Server({
      appId: app.id,
      key: app.key,
      secret: app.secret,
      host: "127.0.0.1",
      port: String(this.port),
      useTLS: this.kind === "https",
      encryptionMasterKeyBase64: MASTER,
      timeout: 30_000,
      ...options,
    });
  }

  async stop() {
    for (const client of this.clients) client.disconnect();
    await this.door.stop();
    this.app.close();
    this.app.closeAllConnections();
  }

  async #answer(request, response) {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    const { pathname } = new URL(request.url, "http://app");
    if (this.routes[pathname]) return this.routes[pathname](request, response, body);
    if (!pathname.startsWith("/pusher/")) return response.end("app");
    const form = new URLSearchParams(body);
    const user = JSON.parse(request.headers["x-user"] ?? "null");
    const signer = this.signer ?? this.server();
    this.asked.push({ pathname, ...Object.fromEntries(form) });
    response.setHeader("content-type", "application/json");
    if (pathname === "/pusher/auth") {
      const channel = form.get("channel_name");
      if (channel.includes("forbidden")) return response.writeHead(403).end("no");
      const member = channel.startsWith("presence-") && user ? { user_id: user.id, user_info: user.info ?? {} } : undefined;
      return response.end(JSON.stringify(signer.authorizeChannel(form.get("socket_id"), channel, member)));
    }
    if (!user) return response.writeHead(401).end("no");
    response.end(JSON.stringify(signer.authenticateUser(form.get("socket_id"), { ...user, user_info: user.info })));
  }
}

/** What `emitter` says of `event` next; fails after a while. */
export function heard(emitter, event, within = 30_000) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${event} was never heard`)), within);
    const hear = (data, metadata) => {
      clearTimeout(timer);
      emitter.unbind(event, hear);
      resolve(metadata?.user_id === undefined ? data : { data, ...metadata });
    };
    emitter.bind(event, hear);
  });
}

/** All that `emitter` says of `event` from now on, in order. */
export function collect(emitter, event) {
  const all = [];
  emitter.bind(event, (data) => all.push(data));
  return all;
}

/** Subscribes and waits until it stands. */
export async function subscribed(client, name) {
  const channel = client.subscribe(name);
  if (!channel.subscribed) await heard(channel, "pusher:subscription_succeeded");
  return channel;
}

export { eventually };
