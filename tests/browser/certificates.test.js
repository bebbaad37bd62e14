// New certificates under load: by SIGHUP and by themselves, without a socket or a request lost.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, visiting } from "./harness/browser.js";
import { install, makeCertificate, shown } from "./harness/certificate.js";
import { config, Doorway } from "./harness/doorway.js";
import { eventually } from "./harness/eventually.js";
import { requests } from "./harness/load.js";
import { scratch } from "./harness/paths.js";

const SOCKETS = 40;

let browser, door;
const directory = scratch();
const files = { certificate: join(directory, "fullchain.pem"), key: join(directory, "privkey.pem") };
const first = makeCertificate();
before(async () => {
  install(first, files);
  browser = await launch();
  door = await Doorway.start(config({ tls: files, "realtime.plain": { broadcast: "off" } }));
});
after(async () => {
  await browser?.close();
  await door?.stop();
});

test("certificates are replaced under load; sockets and requests go on", () =>
  visiting(browser, door.origin("https"), async (page) => {
    const port = door.port("https");
    assert.equal(await shown(port), first.fingerprint);

    await page.goto("/");
    await page.evaluate(chatter, SOCKETS);
    const load = requests(door.origin("https"), "/isr");

    for (const how of ["SIGHUP", "by itself", "SIGHUP"]) {
      const next = makeCertificate();
      const answered = load.answered;
      install(next, files);
      if (how === "SIGHUP") door.signal("SIGHUP");
      await eventually(`the new certificate (${how})`, async () => (await shown(port)) === next.fingerprint);
      await eventually("requests to go on", () => load.answered > answered + 20);
      await eventually("sockets to go on", () => page.evaluate(() => window.chatter.everyoneHeardAgain()));
    }

    const { failures } = await load.stop();
    assert.deepEqual(failures, []);
    const { closed, sent, echoed } = await page.evaluate(() => window.chatter.stop());
    assert.equal(closed, 0, "sockets that closed");
    assert.equal(echoed, sent);
  }));

test("a broken certificate is refused and the old one goes on", async () => {
  const port = door.port("https");
  const good = makeCertificate();
  install(good, files);
  door.signal("SIGHUP");
  await eventually("the good certificate", async () => (await shown(port)) === good.fingerprint);

  const heard = door.heard;
  install({ certificate: makeCertificate().certificate, key: makeCertificate().key }, files);
  door.signal("SIGHUP");
  await door.said("why it was refused", (log) => ["ERROR", "WARN"].includes(log.level) && /certificate|key/i.test(JSON.stringify(log)), { after: heard });
  assert.equal(await shown(port), good.fingerprint);

  install(good, files);
});

/** Runs in the page: many sockets that each send a number every 100 ms and check its echo. */
async function chatter(count) {
  const sockets = await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = new WebSocket(`${location.origin.replace("http", "ws")}/api/ws`);
      const state = { socket, sent: 0, echoed: 0, closed: false, mark: 0 };
      socket.onmessage = ({ data }) => {
        const { type, data: said } = JSON.parse(data);
        if (type !== "echo" || said !== String(state.echoed + 1)) throw new Error(`unexpected ${data} after ${state.echoed}`);
        state.echoed++;
      };
      await new Promise((resolve, reject) => {
        socket.onopen = resolve;
        socket.onclose = reject;
      });
      socket.onclose = () => (state.closed = true);
      return state;
    }),
  );
  const timer = setInterval(() => {
    for (const state of sockets) if (!state.closed) state.socket.send(String(++state.sent));
  }, 100);
  const sum = (key) => sockets.reduce((total, state) => total + Number(state[key]), 0);

  window.chatter = {
    /** Has every socket heard something since this was asked last? */
    everyoneHeardAgain() {
      if (!sockets.every((state) => state.echoed > state.mark)) return false;
      for (const state of sockets) state.mark = state.echoed;
      return true;
    },
    async stop() {
      clearInterval(timer);
      const closed = sum("closed");
      for (let wait = 0; wait < 200 && sum("echoed") < sum("sent"); wait++) await new Promise((resolve) => setTimeout(resolve, 50));
      const counts = { closed, sent: sum("sent"), echoed: sum("echoed") };
      for (const state of sockets) state.socket.close();
      return counts;
    },
  };
}
