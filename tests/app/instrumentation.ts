/** Tells a door that has not started this app what Next.js declares old. One that has started it hears it by itself. */
export function register() {
  const name = Symbol.for("@next/cache-handlers-set");
  const url = process.env.PURGE_URL;
  if (process.env.NEXT_RUNTIME !== "nodejs" || !url || name in globalThis) return;

  const purge = async (tags: string[]) => {
    const paths = tags.map((tag) => decodeURI(/^_N_T_(\/.*)/.exec(tag)?.[1] ?? ""));
    // A tag, or the pattern of a route: nobody but Next.js knows which pages have it.
    const isAll = paths.some((path) => !path || /\/(layout|page|route)$/.test(path));
    const body = JSON.stringify(isAll ? { all: true } : { paths });
    const headers = { "content-type": "application/json" };
    await fetch(url, { method: "POST", cache: "no-store", headers, body }).catch(console.error);
  };
  const listener = {
    updateTags: purge,
    expireTags: (...tags: string[]) => purge(tags),
    async get() {},
    async set() {},
    async refreshTags() {},
    getExpiration: async () => 0,
  };
  let handlers: Set<object>;
  Object.defineProperty(globalThis, name, {
    get: () => handlers,
    set: (given: Set<object>) => (handlers = given.add(listener)),
  });
}
