// A wire that is cut at random: whole, or on one side first, or after a while in which what is said on it goes nowhere.
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { whenLeaving } from "../../browser/harness/leaving.js";

const TICK = 50; // ms

export class Cutter {
  /** How often a wire was cut. */
  cuts = 0;
  #wires = new Set();

  /** Leads to `port` of this machine. */
  static async to(port) {
    const cutter = new Cutter();
    cutter.server = createServer({ noDelay: true }, (near) => cutter.#join(near, port)).listen(0, "127.0.0.1", 1024);
    await once(cutter.server, "listening");
    whenLeaving(() => cutter.stop());
    return cutter;
  }

  get port() {
    return this.server.address().port;
  }

  /** From now on wires last so many ms, in the mean. */
  begin(life) {
    this.timer = setInterval(() => {
      for (const wire of this.#wires) if (Math.random() < TICK / life) this.#cut(wire);
    }, TICK);
  }

  end() {
    clearInterval(this.timer);
  }

  #join(near, port) {
    const far = connect({ port, host: "127.0.0.1", noDelay: true });
    const wire = [near, far];
    this.#wires.add(wire);
    for (const [from, to] of [wire, [far, near]]) {
      from.on("error", () => {});
      from.on("close", () => {
        this.#wires.delete(wire);
        // The other side of one that is cut learns of it when it is told.
        if (!wire.isCut) to.destroy();
      });
      from.pipe(to);
    }
  }

  #cut(wire) {
    this.#wires.delete(wire);
    this.cuts++;
    wire.isCut = true;
    const [first, second] = Math.random() < 0.5 ? wire : [...wire].reverse();
    const least = Math.random();
    if (least < 1 / 3) {
      // All that is under way is lost.
      for (const side of wire) side.unpipe().resume();
      setTimeout(() => wire.forEach((side) => side.resetAndDestroy()), 500 * Math.random());
    } else if (least < 2 / 3) {
      first.unpipe().destroy();
      second.unpipe().resume();
      setTimeout(() => second.destroy(), 2000 * Math.random());
    } else {
      for (const side of wire) side.destroy();
    }
  }

  stop() {
    this.end();
    this.server.close();
    for (const wire of this.#wires) wire.forEach((side) => side.destroy());
  }
}
