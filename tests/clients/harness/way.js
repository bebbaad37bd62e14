// A way to a Redis that can fail.
import { once } from "node:events";
import { connect, createServer } from "node:net";

/** A way to `target` (a socket's path) that may be slow, or silent in both directions. */
export class Way {
  delay = 0; // ms, each way
  isSilent = false;
  #sockets = new Set();

  static async start(path, target) {
    const way = new Way();
    way.server = createServer((client) => {
      const server = connect(target);
      way.#carry(client, server);
      way.#carry(server, client);
      for (const socket of [client, server]) way.#sockets.add(socket);
    });
    way.server.listen(path);
    await once(way.server, "listening");
    return way;
  }

  #carry(from, to) {
    from.on("data", (data) => {
      if (this.isSilent) return;
      if (this.delay) setTimeout(() => to.write(data), this.delay);
      else to.write(data);
    });
    from.on("error", () => to.destroy());
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }

  stop() {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
