// What stands before several doors: each connection goes to the next door that takes it. And a way to a Redis that can fail.
import { once } from "node:events";
import { connect, createServer } from "node:net";

/** One address before doors that come and go: a door is a port. */
export class Balancer {
  doors = [];
  #next = 0;
  #sockets = new Set();

  static async start() {
    const balancer = new Balancer();
    balancer.server = createServer({ pauseOnConnect: true }, (client) => balancer.#pass(client, 0));
    balancer.server.listen(0, "127.0.0.1");
    await once(balancer.server, "listening");
    balancer.port = balancer.server.address().port;
    return balancer;
  }

  #pass(client, tried) {
    if (tried >= this.doors.length) return client.destroy();
    const door = connect(this.doors[this.#next++ % this.doors.length], "127.0.0.1");
    const refused = () => this.#pass(client, tried + 1);
    door.once("error", refused);
    door.once("connect", () => {
      door.off("error", refused);
      join(client, door, this.#sockets);
      client.resume();
    });
  }

  async stop() {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

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

function join(one, other, all) {
  for (const [from, to] of [[one, other], [other, one]]) {
    all.add(from);
    from.on("error", () => {});
    from.on("close", () => {
      all.delete(from);
      to.destroy();
    });
    from.pipe(to);
  }
}
