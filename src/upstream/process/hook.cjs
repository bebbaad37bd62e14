// Runs before the app, in its process, and says on a pipe what Next.js declares to be old, the moment that it does; and on
// answers, how old what they were made of is, and by which tags. On another it hears what processes before it and beside it
// said. Nothing that goes wrong in here is the app's.
((mouth, ear) => {
  const fs = require('fs'), net = require('net'), dc = require('diagnostics_channel');
  const { createRequire } = require('module'), { AsyncLocalStorage } = require('async_hooks');
  const { StringDecoder } = require('string_decoder');
  const CACHE = 'next/dist/server/lib/incremental-cache/', MANIFEST = CACHE + 'tags-manifest.external.js';
  const NAME = 'x-doorway-entry', TAGS = 'x-next-cache-tags', LONGEST = 3500, LONGEST_LINE = 4000;
  let hasFailed = false, isKnown = false, isSaid = false;
  const write = (what) => fs.writeSync(mouth, JSON.stringify(what) + '\n');
  const fail = (error) => {
    if (hasFailed) return;
    hasFailed = true;
    try { write({ fault: String(error && error.message).slice(0, 300) }) } catch {}
  };
  const attempt = (what) => { try { return what() } catch (error) { fail(error) } };
  const plain = (tag) => { try { return decodeURIComponent(tag) } catch { return String(tag) } };
  // Lines are shorter than what a pipe takes whole, so that those of two processes never mix.
  const old = (tags, times) => attempt(() => {
    for (const tag of [tags].flat()) {
      const text = plain(tag), line = { old: text, raw: text === tag ? undefined : String(tag), said: Date.now(), ...times };
      write(Buffer.byteLength(JSON.stringify(line)) > LONGEST_LINE ? 'everything' : line);
    }
  });
  // What Next.js notes of a tag, in a table that ends with the process: gone now, or stale now and gone in a while.
  const times = (durations) => {
    const now = Date.now(), expired = Math.floor(now + durations?.expire * 1000);
    if (!durations) return { expired: now };
    return { stale: now, expired: Number.isSafeInteger(expired) ? expired : undefined };
  };
  // The same table, for what others noted: of Next.js 16 as it is, of 15 the time alone.
  const told = new Set();
  let manifest;
  const learn = (line) => {
    const { tag, at, ...noted } = JSON.parse(line);
    manifest ??= createRequire(process.argv[1])(MANIFEST);
    const { tagsManifest: known, areTagsExpired, isStale } = manifest;
    if (areTagsExpired) known.set(tag, { ...known.get(tag), ...noted });
    else if (isStale) known.set(tag, Math.max(known.get(tag) ?? 0, at)), told.add(tag);
    else throw new Error('Next.js keeps its tags in another way');
  };
  // Next.js 15 notes here a tag that has no time yet, and leaves others to whoever comes after.
  const forget = (tags) => attempt(() => {
    for (const tag of [tags].flat()) if (told.delete(tag)) manifest.tagsManifest.delete(tag);
  });
  const hear = () => {
    const decoder = new StringDecoder('utf8'), chunk = Buffer.alloc(65536);
    let rest = '', isOver = false, hasForgotten = false;
    const take = (bytes) => {
      const lines = (rest + decoder.write(bytes)).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        try {
          if (line === '"go"') isOver = true;
          else learn(line);
        } catch (error) {
          if (!hasForgotten) attempt(() => write({ forgets: String(error && error.message).slice(0, 300) }));
          hasForgotten = true;
        }
      }
    };
    while (!isOver) {
      const length = fs.readSync(ear, chunk, 0, chunk.length, null);
      if (!length) return;
      take(chunk.subarray(0, length));
    }
    new net.Socket({ fd: ear, readable: true, writable: false }).on('data', take).on('error', () => {}).unref();
  };
  attempt(hear);
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
    let Base;
    try {
      Base = require(CACHE + 'file-system-cache').default;
    } catch (error) {
      // A release that keeps its pages elsewhere: it is not heard.
      if (error.code === 'MODULE_NOT_FOUND') return;
      throw error;
    }
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
        old(args[0], times(args[1]));
        forget(args[0]);
        return super.revalidateTag(...args);
      }
    }
    const handlers = Symbol.for('@next/cache-handlers');
    globalThis[handlers] = { ...globalThis[handlers], FetchCache: Heard };
    isKnown = true;
  });
  attempt(() => {
    let taken;
    const listener = {
      async get() {},
      async set() {},
      async refreshTags() {},
      async getExpiration() { return 0 },
      async updateTags(tags, durations) { old(tags, times(durations)) },
      async expireTags(...tags) { old(tags, times()) },
    };
    Object.defineProperty(globalThis, Symbol.for('@next/cache-handlers-set'), {
      configurable: true,
      get: () => taken,
      set(given) {
        taken = given;
        attempt(() => {
          given.add(listener);
          if (!isSaid && isKnown && !hasFailed) write({ ready: process.pid });
          isSaid = true;
        });
      },
    });
  });
})
