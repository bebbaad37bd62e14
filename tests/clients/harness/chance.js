// Chance that a seed repeats.
export class Chance {
  #state;

  constructor(seed) {
    this.#state = seed >>> 0;
  }

  /** A number below `most`. */
  below(most) {
    let t = (this.#state = (this.#state + 0x6d2b79f5) >>> 0);
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % most;
  }

  /** One of these. */
  of(all) {
    return all[this.below(all.length)];
  }

  /** Yes once in so many times, in the mean. */
  once(times) {
    return this.below(times) === 0;
  }
}
