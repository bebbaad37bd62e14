// What clients without a WebSocket hear when each of their requests takes a while on its way: all of it, once.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Distance } from "./harness/distance.js";
import { APP, collect, eventually, Site, subscribed } from "./harness/pusher.js";
import { Clients, doorway, node } from "./harness/socketio.js";

const BATCH = 10; // events in one call of the stock server's library
const range = (length) => Array.from({ length }, (_, n) => n);

/** Events of many sizes, up to the 10 KB that one may have, in characters of one to four bytes. */
function various(n) {
  const character = ["x", "ü", "€", "🦀", "\"", "\\"][n % 6];
  const bytes = [1, 30, 400, 1500, 4000, 9900][Math.floor(n / 6) % 6];
  const escaped = Buffer.byteLength(JSON.stringify(character)) - 2;
  return { n, filler: character.repeat(Math.ceil(bytes / escaped)) };
}

for (const transport of ["xhr_streaming", "xhr_polling"]) {
  describe(`pusher-js by ${transport}, 50 ms away`, { concurrency: 1 }, () => {
    const listening = async (act) => {
      const site = await Site.start({ apps: [APP] });
      const distance = await Distance.to(site.port);
      try {
        const client = await site.connected({ enabledTransports: [transport], httpPort: distance.port });
        const changes = collect(client.connection, "state_change");
        const heard = collect(await subscribed(client, "far"), "n");
        await act(site, heard);
        assert.deepEqual(changes, [], "it was connected all the time");
      } finally {
        distance.stop();
        await site.stop();
      }
    };
    const call = (site, first, make) =>
      site.server().triggerBatch(range(BATCH).map((n) => ({ channel: "far", name: "n", data: JSON.stringify(make(first + n)) })));

    test("several megabytes in events of many sizes: each once, in order", { timeout: 120_000 }, () =>
      listening(async (site, heard) => {
        const many = 1500;
        for (let first = 0; first < many; first += BATCH) {
          // No more on their way than may wait for a client.
          await eventually(`event ${first - 100}`, () => heard.length >= first - 100);
          await call(site, first, various);
        }
        await eventually("the last", () => heard.length >= many);
        assert.deepEqual(heard.map(({ n }) => n), range(many));
        heard.forEach((event, n) => assert.deepEqual(event, various(n)));
      }),
    );

    test("a burst of 1,000 events", { timeout: 120_000 }, () =>
      listening(async (site, heard) => {
        const make = (n) => ({ n, filler: "x".repeat(400) });
        await Promise.all(range(1000 / BATCH).map((batch) => call(site, batch * BATCH, make)));
        await eventually("the last", () => heard.length >= 1000);
        assert.deepEqual(heard.map(({ n }) => n).sort((a, b) => a - b), range(1000));
      }),
    );
  });
}

for (const [name, start] of [
  ["the Node server", () => node((io) => io.on("connection", (socket) => socket.on("message", (data) => io.emit("message", { data }))))],
  ["Doorway", () => doorway()],
]) {
  test(`a Socket.IO client that polls from 50 ms away hears a burst of 1,000 events of ${name}`, { timeout: 120_000 }, async () => {
    const server = await start();
    const distance = await Distance.to(Number(new URL(server.url).port));
    const far = new Clients(`http://127.0.0.1:${distance.port}`, { transports: ["polling"] });
    const near = new Clients(server.url, { transports: ["websocket"] });
    try {
      const listener = await far.connected();
      const ends = [];
      listener.on("disconnect", (reason) => ends.push(reason));
      const heard = [];
      listener.on("message", ({ data }) => heard.push(data.n));
      const speaker = await near.connected();
      speaker.on("disconnect", (reason) => ends.push(`speaker: ${reason}`));
      // It hears itself: on a full machine it would be too slow for more than may wait for it.
      let echoed = 0;
      speaker.on("message", () => (echoed += 1));
      for (const n of range(1000)) {
        speaker.emit("message", { n, filler: "x".repeat(700) });
        if ((n + 1) % 200 === 0) await eventually("the speaker to hear itself", () => echoed > n || ends.length > 0);
      }
      await eventually("the last", () => heard.length >= 1000 || ends.length > 0).catch((error) => {
        throw new Error(`${error.message}; ${heard.length} were heard, the last was ${heard.at(-1)}`);
      });
      assert.deepEqual(ends, []);
      assert.deepEqual(heard, range(1000));
    } finally {
      near.close();
      far.close();
      distance.stop();
      await server.stop();
    }
  });
}
