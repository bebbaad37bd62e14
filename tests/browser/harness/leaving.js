// What must not outlive the test process: processes and scratch directories.
const leftovers = new Set();

/** Calls `clean` when the test process ends, however it does. */
export function whenLeaving(clean) {
  leftovers.add(clean);
}

process.on("exit", () => leftovers.forEach((clean) => clean()));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
