// The `ws` library from npm, as a program that is no browser uses it.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { config, Doorway } from "../browser/harness/doorway.js";

const ANY = "127.0.0.1:0";

let app;
before(async () => {
  app = createServer((_, response) => response.end("app")).listen(0, "127.0.0.1");
  await once(app, "listening");
});
after(() => {
  app.close();
  app.closeAllConnections();
});

for (const kind of ["http", "https"]) {
  test(`a message over ${kind} comes back as echo and as broadcast, in that order`, async () => {
    const url = `http://127.0.0.1:${app.address().port}`;
    const listen = kind === "https" ? { http: [], https: ANY } : { http: ANY };
    const door = await Doorway.start(config({ app: { url }, listen }));
    try {
      const socket = new WebSocket(`${door.origin(kind).replace("http", "ws")}/api/ws`, { rejectUnauthorized: false });
      await once(socket, "open");
      const heard = [];
      const both = new Promise((resolve) => socket.on("message", (data) => heard.push(JSON.parse(data)) === 2 && resolve()));
      socket.send("hello");
      await both;
      assert.deepEqual(heard.map(({ type, data }) => [type, data]), [["echo", "hello"], ["broadcast", "hello"]]);
      socket.close(1000);
      const [code] = await once(socket, "close");
      assert.equal(code, 1000);
    } finally {
      await door.stop();
    }
  });
}
