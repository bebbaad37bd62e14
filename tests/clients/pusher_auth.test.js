// Doorway signs for clients itself: the app says once, on connecting, who they are, and writes no auth route.
import assert from "node:assert/strict";
import { test } from "node:test";
import WebSocket from "ws";
import { APP, eventually, heard, Site, subscribed } from "./harness/pusher.js";

test("a client that the app has named enters private and presence channels and is a user; a stranger is not", async () => {
  const site = await Site.start({
    apps: [{ ...APP, auth: "doorway" }],
    callbacks: { events: ["connect"], path: "/api/hub" },
    channels: [{ match: ["presence-*", "private-named"], presence_grace: "0s" }],
  });
  try {
    site.routes["/api/hub"] = (request, response) => {
      const [, user] = /user=(\w+)/.exec(request.headers.cookie ?? "") ?? [];
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(user ? { user: { id: user, info: { name: user.toUpperCase() } } } : {}));
    };
    // A browser sends its cookie by itself; pusher-js in Node has no way to.
    const sockets = [];
    const open = (user) => new Promise((resolve, reject) => {
      const socket = new WebSocket(`${site.origin.replace("http", "ws")}/app/${APP.key}?protocol=7`, user ? { headers: { cookie: `user=${user}` } } : {});
      sockets.push(socket);
      const events = [];
      socket.on("error", reject);
      socket.on("message", (text) => {
        const event = JSON.parse(text);
        events.push(event);
        if (event.event === "pusher:connection_established") resolve({ socket, events, id: JSON.parse(event.data).socket_id });
      });
    });
    const sign = (path, form) => fetch(`${site.origin}${path}`, { method: "POST", body: new URLSearchParams(form) });
    const ann = await open("ann");
    const heardBy = ({ events }, name) => eventually(name, () => events.find(({ event }) => event === name));

    const auth = await (await sign("/pusher/auth", { socket_id: ann.id, channel_name: "presence-room" })).json();
    assert.deepEqual(JSON.parse(auth.channel_data), { user_id: "ann", user_info: { name: "ANN" } });
    ann.socket.send(JSON.stringify({ event: "pusher:subscribe", data: { channel: "presence-room", ...auth } }));
    const succeeded = await heardBy(ann, "pusher_internal:subscription_succeeded");
    assert.deepEqual(JSON.parse(succeeded.data).presence.ids, ["ann"]);

    const user = await (await sign("/pusher/user-auth", { socket_id: ann.id })).json();
    ann.socket.send(JSON.stringify({ event: "pusher:signin", data: user }));
    await heardBy(ann, "pusher:signin_success");

    const stranger = await open();
    const refused = await sign("/pusher/auth", { socket_id: stranger.id, channel_name: "private-room" });
    assert.equal(refused.status, 403);
    assert.match(await refused.text(), /No identity for this connection: answer `connect` with a user, or send a token/);
    assert.equal((await sign("/pusher/user-auth", { socket_id: "1.1" })).status, 403);
    assert.equal((await sign("/pusher/auth", { socket_id: ann.id, channel_name: "private-encrypted-x" })).status, 403);
    assert.equal((await sign("/pusher/auth", { socket_id: ann.id })).status, 400);
    assert.equal((await sign("/pusher/auth", { channel_name: "private-room" })).status, 400);
    const replayed = await (await sign("/pusher/auth", { socket_id: ann.id, channel_name: "private-named" })).json();
    stranger.socket.send(JSON.stringify({ event: "pusher:subscribe", data: { channel: "private-named", ...replayed } }));
    await heardBy(stranger, "pusher:subscription_error");
    for (const socket of sockets) socket.close();
  } finally {
    await site.stop();
  }
});

test("where no section names a channel, the app's word about this very channel is needed, not a name alone", async () => {
  for (const events of [["connect"], ["connect", "subscribe"]]) {
    const site = await Site.start({ apps: [{ ...APP, auth: "doorway" }], callbacks: { events, path: "/api/hub" } });
    let socket;
    try {
      site.routes["/api/hub"] = (_request, response, body) => {
        const { type, data } = JSON.parse(body);
        const answers = { connect: { user: { id: "ann" }, channels: ["private-given"] }, subscribe: { allow: data.channel === "private-mine" } };
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify(answers[type]));
      };
      socket = new WebSocket(`${site.origin.replace("http", "ws")}/app/${APP.key}?protocol=7`);
      const events_ = [];
      socket.on("message", (text) => events_.push(JSON.parse(text)));
      const established = await eventually("it stands", () => events_.find(({ event }) => event === "pusher:connection_established"));
      const { socket_id } = JSON.parse(established.data);
      const status = async (channel_name) =>
        (await fetch(`${site.origin}/pusher/auth`, { method: "POST", body: new URLSearchParams({ socket_id, channel_name }) })).status;
      const asks = events.includes("subscribe");
      for (const kind of ["private", "presence"]) assert.equal(await status(`${kind}-theirs`), 403, kind);
      assert.equal(await status("private-mine"), asks ? 200 : 403, "what a subscribe callback allows");
      // What the app has put it into is the app's word too.
      if (!asks) await eventually("it is let in", async () => (await status("private-given")) === 200);
    } finally {
      socket?.close();
      await site.stop();
    }
  }
});

test("without that option the routes are the app's own", async () => {
  const site = await Site.start();
  try {
    await subscribed(await site.connected(), "private-x");
    assert.ok(site.asked.length > 0);
    const error = await heard((await site.connected()).subscribe("private-forbidden"), "pusher:subscription_error");
    assert.equal(error.status, 403);
  } finally {
    await site.stop();
  }
});
