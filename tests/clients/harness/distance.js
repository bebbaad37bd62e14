// A wire of some length: what is said on one side comes out on the other later, all of it and in order.
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { Transform } from "node:stream";
import { whenLeaving } from "../../browser/harness/leaving.js";

export class Distance {
  #sockets = new Set();

  /** Leads to `port` of this machine, `ms` each way. */
  static async to(port, ms = 50) {
    const distance = new Distance();
    distance.ms = ms;
    distance.server = createServer({ allowHalfOpen: true }, (near) => distance.#join(near, port)).listen(0, "127.0.0.1");
    await once(distance.server, "listening");
    whenLeaving(() => distance.stop());
    return distance;
  }

  get port() {
    return this.server.address().port;
  }

  #join(near, port) {
    const far = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    this.#oneWay(near, far);
    this.#oneWay(far, near);
  }

  #oneWay(from, to) {
    this.#sockets.add(from);
    const later = (act) => void setTimeout(act, this.ms);
    const wire = new Transform({
      // Read on at once: the wire is long, not narrow.
      transform(chunk, _encoding, done) {
        later(() => this.push(chunk));
        done();
      },
      flush: later,
    });
    from.setNoDelay(true).on("error", () => {});
    // Broken off on one side, it is so on the other when that can be known there.
    from.on("close", () => {
      this.#sockets.delete(from);
      later(() => (from.readableEnded ? undefined : to.destroy()));
    });
    from.pipe(wire).pipe(to);
  }

  stop() {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
