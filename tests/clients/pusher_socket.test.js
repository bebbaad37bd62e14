// pusher-js as it is, in Node: connections, channels of every kind, client events.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import WebSocket from "ws";
import { once } from "node:events";
import { APP, collect, eventually, heard, Site, subscribed } from "./harness/pusher.js";

for (const [what, listen, options] of [
  ["ws on the bare path", undefined, {}],
  ["ws below the hub's path", undefined, { wsPath: "/api/ws" }],
  ["wss on the bare path", { http: [], https: "127.0.0.1:0" }, {}],
  ["wss below the hub's path", { http: [], https: "127.0.0.1:0" }, { wsPath: "/api/ws" }],
]) {
  test(`a stock client connects by ${what}, hears the server and sends to others`, async () => {
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    const site = await Site.start({ listen });
    try {
      const [ann, bob] = [await site.connected(options), await site.connected(options)];
      assert.match(ann.connection.socket_id, /^\d+\.\d+$/);
      assert.notEqual(ann.connection.socket_id, bob.connection.socket_id);
      const [a, b] = [await subscribed(ann, "private-chat"), await subscribed(bob, "private-chat")];
      const told = heard(b, "client-hi");
      assert.equal(a.trigger("client-hi", { text: "hello", n: [1, null] }), true);
      assert.deepEqual(await told, { text: "hello", n: [1, null] });
    } finally {
      await site.stop();
    }
  });
}

describe("one site", () => {
  let site;
  before(async () => {
    site = await Site.start({ channels: [{ match: "presence-*", presence_grace: "0s" }] });
  });
  after(() => site.stop());

  test("a public channel is subscribed to and left", async () => {
    const client = await site.connected();
    const channel = client.subscribe("news");
    assert.deepEqual(await heard(channel, "pusher:subscription_succeeded"), {});
    assert.equal(channel.subscribed, true);
    client.unsubscribe("news");
    const again = await subscribed(client, "news");
    assert.equal(again.subscribed, true);
  });

  test("a private channel asks the app's route, with this socket and this channel", async () => {
    const client = await site.connected();
    await subscribed(client, "private-asked");
    const asked = site.asked.find((asked) => asked.channel_name === "private-asked");
    assert.equal(asked.socket_id, client.connection.socket_id);
  });

  test("what the route forbids is an error in the client, with its status", async () => {
    const client = await site.connected();
    const error = await heard(client.subscribe("private-forbidden"), "pusher:subscription_error");
    assert.deepEqual([error.type, error.status], ["AuthError", 403]);
  });

  for (const [what, auth] of [
    ["a signature by another secret", (socket, channel) => site.server({ ...APP, secret: "other" }).authorizeChannel(socket, channel)],
    ["a signature for another channel", (socket) => site.server().authorizeChannel(socket, "private-other")],
    ["a signature for another socket", (_, channel) => site.server().authorizeChannel("1.1", channel)],
    ["a key of nobody", (socket, channel) => site.server({ ...APP, key: "nobody" }).authorizeChannel(socket, channel)],
    ["no signature", () => ({ auth: "" })],
    ["half a signature", (socket, channel) => ({ auth: site.server().authorizeChannel(socket, channel).auth.slice(0, 40) })],
    ["data that was not signed", (socket, channel) => ({ ...site.server().authorizeChannel(socket, channel), channel_data: "{}" })],
  ]) {
    test(`${what} lets nobody into a private channel`, async () => {
      const client = await site.connected({
        channelAuthorization: { customHandler: ({ socketId, channelName }, done) => done(null, auth(socketId, channelName)) },
      });
      const error = await heard(client.subscribe("private-secret"), "pusher:subscription_error");
      assert.deepEqual([error.type, error.status], ["AuthError", 401]);
      assert.equal(client.connection.state, "connected");
    });
  }

  test("channel_data on a private channel is part of what is signed", async () => {
    const client = await site.connected({
      channelAuthorization: {
        customHandler: ({ socketId, channelName }, done) => done(null, site.server().authorizeChannel(socketId, channelName, { any: "thing" })),
      },
    });
    await subscribed(client, "private-with-data");
  });

  test("client events go to the others, with the sender's id on presence channels, and not back", async () => {
    const ann = await site.connected(site.as({ id: "ann" }));
    const bob = await site.connected(site.as({ id: "bob" }));
    const [a, b] = [await subscribed(ann, "presence-talk"), await subscribed(bob, "presence-talk")];
    const own = collect(a, "client-say");
    const told = heard(b, "client-say");
    a.trigger("client-say", "plain text");
    assert.deepEqual(await told, { data: "plain text", user_id: "ann" });
    const answer = heard(a, "client-answer");
    b.trigger("client-answer", {});
    await answer;
    assert.deepEqual(own, []);
  });

  test("client events on public channels, unknown channels and encrypted ones are errors 4301", async () => {
    const client = await site.connected();
    const channel = await subscribed(client, "public-room");
    for (const name of ["public-room", "private-not-mine", "private-encrypted-x"]) {
      const error = heard(client.connection, "error");
      client.send_event("client-x", {}, name);
      assert.equal((await error).data.code, 4301, name);
    }
    assert.equal(channel.subscribed, true);
  });

  test("client events beyond the rate are error 4301 and the connection lives on", async () => {
    const [client, other] = [await site.connected(), await site.connected()];
    const [channel, hears] = [await subscribed(client, "private-flood"), await subscribed(other, "private-flood")];
    const told = collect(hears, "client-n");
    const error = heard(client.connection, "error");
    for (let n = 0; n < 60; n++) channel.trigger("client-n", n);
    assert.equal((await error).data.code, 4301);
    await eventually("those within the rate", () => told.length >= 10);
    assert.equal(client.connection.state, "connected");
    assert.deepEqual(told.slice(0, 10), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("client events that are too long, or called too long, are errors 4301", async () => {
    const client = await site.connected();
    const channel = await subscribed(client, "private-long");
    for (const [event, data] of [["client-x", "x".repeat(10 * 1024 + 1)], [`client-${"x".repeat(200)}`, ""]]) {
      const error = heard(client.connection, "error");
      channel.trigger(event, data);
      assert.equal((await error).data.code, 4301);
    }
  });

  test("presence: who is there, who comes, who goes; one member for all sockets of a user", async () => {
    const ann = await site.connected(site.as({ id: "ann", info: { name: "Ann" } }));
    const room = await subscribed(ann, "presence-room");
    assert.deepEqual([room.members.count, room.members.me], [1, { id: "ann", info: { name: "Ann" } }]);
    const [added, removed] = [collect(room, "pusher:member_added"), collect(room, "pusher:member_removed")];
    const tabs = [];
    for (let tab = 0; tab < 3; tab++) {
      const bob = await site.connected(site.as({ id: "bob", info: { name: "Bob" } }));
      const his = await subscribed(bob, "presence-room");
      assert.equal(his.members.count, 2);
      assert.deepEqual(his.members.get("ann").info, { name: "Ann" });
      tabs.push(bob);
    }
    await eventually("bob", () => added.length > 0);
    assert.deepEqual(added, [{ id: "bob", info: { name: "Bob" } }]);
    tabs[0].disconnect();
    tabs[1].unsubscribe("presence-room");
    const carol = await site.connected(site.as({ id: "carol" }));
    await subscribed(carol, "presence-room");
    await eventually("carol", () => added.length > 1);
    assert.deepEqual(removed, [], "one of his is still there");
    tabs[2].disconnect();
    await eventually("his leaving", () => removed.length > 0);
    assert.deepEqual(removed.map(({ id }) => id), ["bob"]);
    assert.equal(room.members.count, 2);
  });

  test("a presence channel without a member is refused", async () => {
    const client = await site.connected({
      channelAuthorization: { customHandler: ({ socketId, channelName }, done) => done(null, { ...site.server().authorizeChannel(socketId, channelName), channel_data: "{}" }) },
    });
    const error = await heard(client.subscribe("presence-nobody"), "pusher:subscription_error");
    assert.equal(error.type, "AuthError");
  });

  test("a name that no channel can have is an error, and the connection lives on", async () => {
    const client = await site.connected();
    for (const name of ["with space", "x".repeat(201), "slash/ed"]) {
      assert.equal((await heard(client.subscribe(name), "pusher:subscription_error")).type, "InvalidChannel", name);
    }
    await subscribed(client, "x".repeat(200));
  });

  test("a cache channel with nothing in it says so", async () => {
    const client = await site.connected();
    await heard(client.subscribe("cache-empty"), "pusher:cache_miss");
  });

  test("signing in: the app's route, the user, and a channel of their own", async () => {
    const client = await site.connected(site.as({ id: "dora", info: { name: "Dora" } }));
    client.signin();
    await heard(client, "pusher:signin_success");
    assert.equal(client.user.user_data.id, "dora");
    await eventually("the user's channel", () => client.user.serverToUserChannel?.subscribed);
  });

  test("a sign-in with a wrong signature ends the connection with 4009", async () => {
    const client = await site.connected({
      userAuthentication: { customHandler: ({ socketId }, done) => done(null, site.server({ ...APP, secret: "other" }).authenticateUser(socketId, { id: "eve" })) },
    });
    const error = heard(client.connection, "error");
    client.signin();
    assert.equal((await error).data.code, 4009);
    await eventually("the end", () => client.connection.state === "disconnected");
  });

  test("nobody hears another user's channel", async () => {
    const client = await site.connected(site.as({ id: "fay" }));
    client.signin();
    await heard(client, "pusher:signin_success");
    const told = heard(client, "pusher:subscription_error");
    client.send_event("pusher:subscribe", { channel: "#server-to-user-dora", auth: "" });
    const error = await told;
    assert.deepEqual([error.type, error.status], ["AuthError", 401]);
  });

  test("a watchlist says who is online now, who comes and who goes", async () => {
    const bea = await site.connected(site.as({ id: "bea" }));
    bea.signin();
    await heard(bea, "pusher:signin_success");
    const watcher = site.client(site.as({ id: "gus", watchlist: ["bea", "cy"] }));
    const [online, offline] = [collect(watcher.user.watchlist, "online"), collect(watcher.user.watchlist, "offline")];
    watcher.signin();
    await eventually("who is online now", () => online.length && offline.length);
    assert.deepEqual([online[0].user_ids, offline[0].user_ids], [["bea"], ["cy"]]);
    const cy = await site.connected(site.as({ id: "cy" }));
    cy.signin();
    await eventually("cy", () => online.length > 1);
    assert.deepEqual(online[1].user_ids, ["cy"]);
    bea.disconnect();
    await eventually("bea's leaving", () => offline.length > 1);
    assert.deepEqual(offline[1].user_ids, ["bea"]);
  });

  test("a signed-in user enters presence channels as themselves", async () => {
    const client = await site.connected({
      ...site.as({ id: "hal", info: { name: "Hal" } }),
      channelAuthorization: { customHandler: ({ socketId, channelName }, done) => done(null, site.server().authorizeChannel(socketId, channelName)) },
    });
    client.signin();
    await heard(client, "pusher:signin_success");
    const room = await subscribed(client, "presence-signed-in");
    assert.deepEqual(room.members.me, { id: "hal", info: { name: "Hal" } });
  });

  test("a key of nobody is refused with 4001, for good", async () => {
    const client = site.client({}, "nobody");
    const { error } = await heard(client.connection, "error");
    assert.equal(error.data.code, 4001);
    await eventually("the end", () => client.connection.state === "disconnected");
  });

  for (const [query, code] of [["", 4008], ["?protocol=x", 4006], ["?protocol=4", 4007], ["?protocol=8", 4007]]) {
    test(`a socket at /app/KEY${query} is closed with ${code}`, async () => {
      const socket = new WebSocket(`${site.origin.replace("http", "ws")}/app/${APP.key}${query}`);
      const message = once(socket, "message");
      const [closed] = await once(socket, "close");
      assert.equal(closed, code);
      assert.equal(JSON.parse((await message)[0]).data.code, code);
    });
  }

  test("plain and Pusher clients meet in a channel of the same name", async () => {
    const client = await site.connected();
    const channel = await subscribed(client, "lobby");
    const plain = new WebSocket(`${site.origin.replace("http", "ws")}/api/ws/lobby`);
    await once(plain, "open");
    const told = heard(channel, "message");
    plain.send("from a plain client");
    assert.equal(await told, "from a plain client");
    plain.close();
  });

  test("no plain client hears a private channel", async () => {
    for (const name of ["private-chat", "presence-chat", "%23server-to-user-dora"]) {
      const plain = new WebSocket(`${site.origin.replace("http", "ws")}/api/ws/${name}`);
      const [error] = await once(plain, "error");
      assert.match(error.message, /403/, name);
    }
  });
});

test("several apps: each its own key, channels and users", async () => {
  const other = { id: "2", key: "other-key", secret: "other-secret" };
  const site = await Site.start({ apps: [APP, other] });
  try {
    const [ann, bob] = [await site.connected({}, APP.key), await site.connected({}, other.key)];
    const channel = await subscribed(ann, "shared");
    await subscribed(bob, "shared");
    const error = await heard(bob.subscribe("private-x"), "pusher:subscription_error");
    assert.equal(error.status, 401, "signed with the first app's key");
    site.signer = site.server(other);
    const carol = await site.connected({}, other.key);
    const [b, c] = [await subscribed(bob, "private-y"), await subscribed(carol, "private-y")];
    const strays = collect(channel, "client-hello");
    const told = heard(c, "client-hello");
    b.trigger("client-hello", 1);
    assert.equal(await told, 1);
    assert.deepEqual(strays, []);
  } finally {
    await site.stop();
  }
});

test("keys are changed without dropping a socket", async () => {
  const site = await Site.start();
  try {
    const client = await site.connected();
    const next = { ...APP, key: "next-key", secret: "next-secret" };
    const { readFileSync, writeFileSync } = await import("node:fs");
    const config = readFileSync(site.door.file, "utf8").replace('"app-key"', '"next-key"').replace('"app-secret"', '"next-secret"');
    const more = '\n[[realtime.pusher.more_keys]]\nkey = "app-key"\nsecret = "app-secret"\n';
    writeFileSync(site.door.file, config + more);
    const seen = site.door.heard;
    site.door.signal("SIGHUP");
    await site.door.said("reloaded", (log) => log.message === "reloaded", { after: seen });
    await subscribed(client, "private-old-key");
    site.signer = site.server(next);
    await subscribed(client, "private-new-key");
    assert.equal(client.connection.state, "connected");
    await subscribed(await site.connected({}, "next-key"), "private-new-key");
  } finally {
    await site.stop();
  }
});

test("a silent client is pinged, and closed with 4201 when it does not answer", async () => {
  const site = await Site.start({ apps: [{ ...APP, activity_timeout: "1s", pong_timeout: "1s" }] });
  try {
    const socket = new WebSocket(`${site.origin.replace("http", "ws")}/app/${APP.key}?protocol=7`);
    const events = [];
    socket.on("message", (text) => events.push(JSON.parse(text)));
    const [code] = await once(socket, "close");
    assert.equal(code, 4201);
    assert.deepEqual(events.map(({ event }) => event), ["pusher:connection_established", "pusher:ping", "pusher:error"]);
    assert.equal(JSON.parse(events[0].data).activity_timeout, 1);
  } finally {
    await site.stop();
  }
});

test("a stock client answers pings, and stays", async () => {
  const site = await Site.start({ apps: [{ ...APP, activity_timeout: "1s", pong_timeout: "1s" }] });
  try {
    const client = await site.connected();
    const changes = collect(client.connection, "state_change");
    const pings = collect(client.connection, "message");
    await eventually("three beats", () => pings.filter(({ event }) => /ping|pong/.test(event)).length >= 3);
    assert.deepEqual(changes, []);
  } finally {
    await site.stop();
  }
});

test("an app without client events, with a limit of connections, or disabled, says so", async () => {
  const site = await Site.start({
    apps: [
      { ...APP, client_events: false, max_connections: 1 },
      { id: "2", key: "disabled", secret: "x", enabled: false },
    ],
  });
  try {
    const client = await site.connected();
    const channel = await subscribed(client, "private-x");
    const error = heard(client.connection, "error");
    channel.trigger("client-x", 1);
    assert.equal((await error).data.code, 4301);
    assert.equal((await heard(site.client().connection, "error")).error.data.code, 4100);
    assert.equal((await heard(site.client({}, "disabled").connection, "error")).error.data.code, 4003);
  } finally {
    await site.stop();
  }
});

test("at a restart clients are told to come back a moment later, with 4101", async () => {
  const site = await Site.start();
  try {
    const client = await site.connected();
    const error = heard(client.connection, "error");
    const waits = heard(client.connection, "connecting_in");
    site.door.signal("SIGTERM");
    assert.equal((await error).data.code, 4101);
    assert.equal(await waits, 1, "so many seconds: another door may listen by then");
    await eventually("its coming back", () => client.connection.state === "connecting");
  } finally {
    await site.stop();
  }
});

test("without an app in the config the dialect is not spoken", async () => {
  const site = await Site.start({ apps: [] });
  try {
    const socket = new WebSocket(`${site.origin.replace("http", "ws")}/app/${APP.key}?protocol=7`);
    const [error] = await once(socket, "error");
    assert.match(error.message, /404/);
    assert.equal(await (await fetch(`${site.origin}/app/${APP.key}`)).text(), "app");
  } finally {
    await site.stop();
  }
});

