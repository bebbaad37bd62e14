// Runs before the app, in its process, and says on a pipe what Next.js declares to be old, the moment that it does; and on
// answers, how old what they were made of is, and by which tags. Nothing that goes wrong in here is the app's.
((fd) => {
  const fs = require('fs'), dc = require('diagnostics_channel');
  const { createRequire } = require('module'), { AsyncLocalStorage } = require('async_hooks');
  const NAME = 'x-doorway-entry', TAGS = 'x-next-cache-tags', LONGEST = 3500;
  let hasFailed = false, isSaid = false;
  const write = (what) => fs.writeSync(fd, JSON.stringify(what) + '\n');
  const fail = (error) => {
    if (hasFailed) return;
    hasFailed = true;
    try { write({ fault: String(error && error.message).slice(0, 300) }) } catch {}
  };
  const attempt = (what) => { try { return what() } catch (error) { fail(error) } };
  const plain = (tag) => { try { return decodeURIComponent(tag) } catch { return String(tag) } };
  // Lines are shorter than what a pipe takes whole, so that those of two processes never mix.
  const old = (tags) => attempt(() => {
    for (const tag of [tags].flat()) {
      const text = plain(tag);
      write(Buffer.byteLength(text) > 2000 ? 'everything' : { old: text });
    }
  });
  const place = (key) => 'key:' + String(key).replace(/^.*\/\$\//, '/').replace(/^\/?/, '/').replace(/^\/index$/, '/');
  const tagsOf = (key, value) => {
    if (value.kind === 'PAGES') return [place(key)];
    const tags = value.headers && value.headers[TAGS];
    return typeof tags === 'string' && tags ? tags.split(',').filter(Boolean) : ['*'];
  };
  const text = (born, tags) => {
    const line = [Math.floor(born), ...new Set(tags.map((tag) => (tag === '*' ? tag : encodeURIComponent(plain(tag)))))].join();
    return line.length > LONGEST ? Math.floor(born) + ',*' : line;
  };
  const asked = new AsyncLocalStorage();
  dc.subscribe('http.server.request.start', (message) =>
    attempt(() => asked.enterWith({ response: message.response, tags: [], born: Infinity })));
  // Coalesced requests lose the first of these two, segments and pages of the Pages Router the second.
  const noted = (key, value, born) => {
    if (!value || !['APP_PAGE', 'APP_ROUTE', 'PAGES'].includes(value.kind)) return value;
    if (!(born > 0)) born = Date.now();
    const tags = tagsOf(key, value), request = asked.getStore();
    if (request && !request.response.headersSent) {
      request.tags.push(...tags);
      request.born = Math.min(request.born, born);
      request.response.setHeader(NAME, text(request.born, request.tags));
    }
    if (value.kind === 'PAGES') return value;
    return { ...value, headers: { ...value.headers, [NAME]: text(born, tags) } };
  };
  attempt(() => {
    const require = createRequire(process.argv[1]);
    const Base = require('next/dist/server/lib/incremental-cache/file-system-cache').default;
    class Heard extends Base {
      async get(...args) {
        const found = await super.get(...args);
        return attempt(() => found && found.value && { ...found, value: noted(args[0], found.value, found.lastModified) }) || found;
      }
      async set(...args) {
        const done = await super.set(...args), value = args[1];
        attempt(() => {
          if (!value || value.kind === 'FETCH') return;
          const { headers } = noted(args[0], value, Date.now());
          if (headers) value.headers = headers;
          if (value.kind === 'PAGES') old(place(args[0]));
        });
        return done;
      }
      async revalidateTag(...args) {
        old(args[0]);
        return super.revalidateTag(...args);
      }
    }
    const handlers = Symbol.for('@next/cache-handlers');
    globalThis[handlers] = { ...globalThis[handlers], FetchCache: Heard };
  });
  attempt(() => {
    let taken;
    const listener = {
      async get() {},
      async set() {},
      async refreshTags() {},
      async getExpiration() { return 0 },
      async updateTags(tags) { old(tags) },
      async expireTags(...tags) { old(tags) },
    };
    Object.defineProperty(globalThis, Symbol.for('@next/cache-handlers-set'), {
      configurable: true,
      get: () => taken,
      set(given) {
        taken = given;
        attempt(() => {
          given.add(listener);
          if (!isSaid) write({ ready: process.pid });
          isSaid = true;
        });
      },
    });
  });
})
