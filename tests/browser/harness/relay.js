// A wire between browser and door that a test can cut: what a tunnel, a lift or a change of networks does.
import { connect, createServer } from "node:net";
import { once } from "node:events";
import { whenLeaving } from "./leaving.js";

export class Relay {
  #pairs = new Set();
  #isCut = false;

  /** Leads to `port` of this machine. */
  static async to(port) {
    const relay = new Relay();
    relay.server = createServer((near) => relay.#join(near, port)).listen(0, "127.0.0.1");
    await once(relay.server, "listening");
    whenLeaving(() => relay.stop());
    return relay;
  }

  get origin() {
    return `http://localhost:${this.server.address().port}`;
  }

  #join(near, port) {
    if (this.#isCut) return near.destroy();
    const far = connect(port, "127.0.0.1");
    const pair = [near, far];
    this.#pairs.add(pair);
    const end = () => {
      near.destroy();
      far.destroy();
      this.#pairs.delete(pair);
    };
    for (const socket of pair) socket.setNoDelay(true).on("error", end).on("close", end);
    near.pipe(far);
    far.pipe(near);
  }

  /** Ends every connection, and all that are tried until it is mended. */
  cut() {
    this.#isCut = true;
    for (const [near, far] of this.#pairs) {
      near.destroy();
      far.destroy();
    }
  }

  mend() {
    this.#isCut = false;
  }

  stop() {
    this.cut();
    this.server.close();
  }
}
