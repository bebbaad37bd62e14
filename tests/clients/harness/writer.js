// One who writes numbered words, and what is known of them.

/** One who writes words to a list or a text, and knows which of them were confirmed. */
export class Writer {
  written = 0;
  /** Their numbers: who comes back sends what is new before what was not answered. */
  confirmed = new Set();

  constructor(name, write, known) {
    Object.assign(this, { name, write, known });
  }

  step() {
    this.look();
    this.write(`${this.name}${++this.written} `);
  }

  /** Nothing is waited for: what is known now was confirmed. */
  look() {
    const { isSynced, heard } = this.known();
    const known = isSynced ? Array.from({ length: this.written }, (_, n) => n + 1) : this.in(heard);
    known.forEach((number) => this.confirmed.add(number));
  }

  /** The numbers of what it wrote, in this text. */
  in(text) {
    return [...text.matchAll(new RegExp(`${this.name}(\\d+) `, "g"))].map(([, number]) => Number(number));
  }
}
