// npm `ably` as it is, where messages may be changed later: updated, deleted, appended to and annotated, by socket and by
// REST, in both formats; who comes later or comes back is told what things are by now; plain clients and the API see it too.
import assert from "node:assert/strict";
import { once } from "node:events";
import { get } from "node:http";
import { after, before, describe, test } from "node:test";
import { SignJWT } from "jose";
import WebSocket from "ws";
import { cut, eventually, FORMATS, heard, KEY, Site } from "./harness/ably.js";

const name = ((number) => (kind = "edit") => `${kind}-${number++}`)(1);
const bytes = (data) => (Buffer.isBuffer(data) || data instanceof ArrayBuffer ? Buffer.from(data).toString("latin1") : data);
const shown = ({ action, data }) => `${action.split(".")[1]} ${typeof data === "object" && !Buffer.isBuffer(data) ? JSON.stringify(data) : bytes(data)}`;

let site;
before(async () => {
  site = await Site.start({
    "realtime.channel": [{ match: "edit-*", mutable: true, history: 50 }, { match: "short-*", mutable: true, max_message: "256B" }],
  });
});
after(() => site.stop());

const token = (capability, clientId) => {
  const [keyid, secret] = KEY.split(":");
  const claims = { "x-ably-capability": JSON.stringify(capability), ...(clientId ? { "x-ably-clientId": clientId } : {}) };
  const signed = new SignJWT(claims).setProtectedHeader({ alg: "HS256", kid: keyid }).setIssuedAt().setExpirationTime("1h");
  return signed.sign(new TextEncoder().encode(secret));
};
/** A client that has no key but what a token says. */
const limited = async (capability, clientId, own) => site.connected({ ...own, token: await token(capability, clientId) });

for (const [format, own] of FORMATS) {
  describe(format, () => {
    test("an update is told, with the same serial and a new version, and is what history has", async () => {
      const channel = (await site.connected({ ...own, clientId: "ann" })).channels.get(name());
      const told = await heard(channel);
      await channel.publish({ name: "said", data: { n: 1 }, extras: { headers: { a: "b" } } });
      await eventually("said", () => told.length === 1);
      const { versionSerial } = await channel.updateMessage({ ...told[0], data: { n: 2 } }, { description: "a slip", metadata: { by: "hand" } });
      await eventually("updated", () => told.length === 2);
      const [first, update] = told;
      assert.deepEqual([update.action, update.data, update.name, update.extras], ["message.update", { n: 2 }, "said", { headers: { a: "b" } }]);
      assert.deepEqual([update.serial, update.timestamp, update.clientId, update.connectionId], [first.serial, first.timestamp, "ann", first.connectionId]);
      const { serial, clientId, description, metadata } = update.version;
      assert.deepEqual([serial, clientId, description, metadata], [versionSerial, "ann", "a slip", { by: "hand" }]);
      assert.ok(serial > first.serial && first.version.serial === first.serial);
      const { items } = await channel.history();
      assert.deepEqual(items.map(shown), ['update {"n":2}']);
      assert.deepEqual([items[0].serial, items[0].version.serial, items[0].version.description], [first.serial, versionSerial, "a slip"]);
    });

    test("what a change does not name stays", async () => {
      const channel = (await site.connected(own)).channels.get(name());
      const told = await heard(channel);
      const { serials } = await channel.publish({ name: "n", data: Buffer.from([1, 255]), extras: { headers: { a: "b" } } });
      await channel.updateMessage({ serial: serials[0], name: "other" }, { description: "why" });
      await channel.updateMessage({ serial: serials[0], extras: { headers: { c: "d" } } });
      await eventually("all", () => told.length === 3);
      assert.deepEqual(told.map(({ name, data, extras }) => [name, bytes(data), extras.headers]), [["n", "\u0001ÿ", { a: "b" }], ["other", "\u0001ÿ", { a: "b" }], ["other", "\u0001ÿ", { c: "d" }]]);
      assert.equal(told[2].version.description, undefined, "that of the version before");
    });

    test("what is deleted is gone from history but for what is left of it", async () => {
      const channel = (await site.connected(own)).channels.get(name());
      const told = await heard(channel);
      const { serials } = await channel.publish("n", "rude");
      await channel.deleteMessage({ serial: serials[0], data: "" }, { description: "rude" });
      await eventually("deleted", () => told.length === 2);
      assert.deepEqual([told[1].action, told[1].serial, told[1].version.description], ["message.delete", serials[0], "rude"]);
      const { items } = await channel.history();
      assert.deepEqual(items.map(shown), ["delete "]);
      const late = (await site.connected(own)).channels.get(channel.name, { params: { rewind: "5" } });
      const then = await heard(late);
      await eventually("rewound", () => then.length > 0);
      assert.ok(then.every(({ data, action }) => !data && action === "message.delete"), JSON.stringify(then));
    });

    test("what is appended goes as it comes to those who have the rest, and whole to those who have not", async () => {
      const channel = (await site.connected(own)).channels.get(name());
      const told = await heard(channel);
      const { serials } = await channel.publish("answer", "Once");
      for (const more of [" upon", " a", " time"]) await channel.appendMessage({ serial: serials[0], data: more });
      await eventually("all", () => told.length === 4);
      assert.deepEqual(told.map(shown), ["create Once", "append  upon", "append  a", "append  time"]);
      assert.ok(told.every(({ serial, name }) => serial === serials[0] && name === "answer"));
      const late = (await site.connected(own)).channels.get(channel.name, { params: { rewind: "1" } });
      const then = await heard(late);
      await eventually("rewound", () => then.length > 0);
      assert.ok(then.every((message) => shown(message) === "update Once upon a time"), JSON.stringify(then));
      assert.deepEqual((await channel.history()).items.map(shown), ["update Once upon a time"]);
      await assert.rejects(channel.appendMessage({ serial: serials[0], data: { n: 1 } }), { code: 40000 });
      await assert.rejects(channel.appendMessage({ serial: serials[0], data: Buffer.from("x") }), { code: 40000 });
    });

    test("bytes are appended to bytes", async () => {
      const channel = (await site.connected(own)).channels.get(name());
      const { serials } = await channel.publish("b", Buffer.from([1]));
      await channel.appendMessage({ serial: serials[0], data: Buffer.from([2, 255]) });
      assert.deepEqual(bytes((await channel.history()).items[0].data), "\u0001\u0002ÿ");
    });

    test("who comes back is told what has become of things, each once", async () => {
      const channel = (await site.connected(own)).channels.get(name());
      const client = await site.connected(own);
      const away = client.channels.get(channel.name);
      const told = await heard(away);
      const { serials } = await channel.publish([{ data: "a" }, { data: "b" }]);
      await eventually("both", () => told.length === 2);
      cut(client);
      for (const data of ["1", "2"]) await channel.updateMessage({ serial: serials[0], data });
      await channel.appendMessage({ serial: serials[1], data: "c" });
      await eventually("all", () => told.length >= 4 && told.some((message) => shown(message) === "update bc" || shown(message) === "append c"));
      const last = new Map();
      for (const message of told) {
        const before = last.get(message.serial);
        const data = message.action === "message.append" ? before.data + message.data : message.data;
        if (!before || before.version.serial < message.version.serial) last.set(message.serial, { ...message, data });
      }
      assert.deepEqual([...last.values()].map(({ data }) => data), ["2", "bc"]);
    });

    test("annotations: each to who wants them, and what they come to for all", async () => {
      const room = name();
      const [ann, bob] = await Promise.all(["ann", "bob"].map((clientId) => site.connected({ ...own, clientId })));
      const channel = ann.channels.get(room);
      const told = await heard(channel);
      const wants = bob.channels.get(room, { modes: ["SUBSCRIBE", "PUBLISH", "ANNOTATION_SUBSCRIBE", "ANNOTATION_PUBLISH"] });
      const each = [];
      await wants.annotations.subscribe((annotation) => each.push(annotation));
      const summaries = await heard(wants);
      const { serials: [serial] } = await channel.publish("n", "x");
      await channel.annotations.publish(serial, { type: "reaction:distinct.v1", name: "👍", data: { why: "good" } });
      await wants.annotations.publish(serial, { type: "reaction:distinct.v1", name: "👍" });
      await wants.annotations.publish(serial, { type: "reaction:distinct.v1", name: "👎" });
      await channel.annotations.delete(serial, { type: "reaction:distinct.v1", name: "👍" });
      await eventually("all", () => told.length === 5 && each.length === 4 && summaries.length === 5);
      assert.deepEqual(each.map(({ action, clientId, name }) => `${action} ${clientId} ${name}`), ["annotation.create ann 👍", "annotation.create bob 👍", "annotation.create bob 👎", "annotation.delete ann 👍"]);
      assert.deepEqual([each[0].messageSerial, each[0].type, each[0].data], [serial, "reaction:distinct.v1", { why: "good" }]);
      assert.ok(each[1].serial > each[0].serial && each[0].serial > serial && each[0].timestamp);
      const last = told[4];
      assert.deepEqual([last.action, last.serial], ["message.summary", serial]);
      const summary = { "reaction:distinct.v1": { "👍": { total: 1, clientIds: ["bob"], clipped: false }, "👎": { total: 1, clientIds: ["bob"], clipped: false } } };
      assert.deepEqual([last.annotations.summary, summaries[4].annotations.summary], [summary, summary]);
      const [message] = (await channel.history()).items;
      assert.deepEqual([message.action, message.data, message.annotations.summary], ["message.create", "x", summary]);
      const { items } = await channel.annotations.get(serial, {});
      assert.deepEqual(items.map(({ clientId, name }) => `${clientId} ${name}`).toSorted(), ["ann 👍", "ann 👍", "bob 👍", "bob 👎"]);
    });

    test("each kind of annotation counts in its own way", async () => {
      const clients = await Promise.all([{ clientId: "ann" }, { clientId: "bob" }, {}].map((who) => site.connected({ ...own, ...who })));
      const [ann, bob, nobody] = clients.map((client) => client.channels.get("edit-kinds" + format));
      const { serials: [serial] } = await ann.publish("n", "x");
      const put = (channel, type, more) => channel.annotations.publish(serial, { type, ...more });
      for (const channel of [ann, ann, nobody]) await put(channel, "a:total.v1");
      for (const channel of [ann, ann, bob]) await put(channel, "b:flag.v1");
      for (const [channel, name] of [[ann, "x"], [bob, "x"], [ann, "y"]]) await put(channel, "c:unique.v1", { name });
      for (const [channel, count] of [[ann, 2], [ann, 3], [nobody, 4], [bob, 1]]) await put(channel, "d:multiple.v1", { name: "x", count });
      await assert.rejects(put(nobody, "b:flag.v1"), { code: 40000 });
      await assert.rejects(put(ann, "c:unique.v1"), { code: 40000 });
      await assert.rejects(put(ann, "c:median.v1", { name: "x" }), { code: 40003 });
      const { annotations: { summary } } = await ann.getMessage(serial);
      assert.deepEqual(summary, {
        "a:total.v1": { total: 3 },
        "b:flag.v1": { total: 2, clientIds: ["ann", "bob"], clipped: false },
        "c:unique.v1": { x: { total: 1, clientIds: ["bob"], clipped: false }, y: { total: 1, clientIds: ["ann"], clipped: false } },
        "d:multiple.v1": { x: { total: 10, clientIds: { ann: 5, bob: 1 }, totalUnidentified: 4, totalClientIds: 2, clipped: false } },
      });
    });

    test("by REST: change, versions, and annotations, as on a socket", async () => {
      const rest = site.rest({ ...own, clientId: "ann" }).channels.get(name());
      const told = await heard((await site.connected(own)).channels.get(rest.name));
      const { serials: [serial] } = await rest.publish("n", "a");
      const { versionSerial } = await rest.updateMessage({ serial, data: "b" }, { description: "why" });
      await rest.appendMessage({ serial, data: "c" });
      await rest.annotations.publish(serial, { type: "r:flag.v1" });
      await eventually("all", () => told.length === 4);
      assert.deepEqual(told.slice(0, 3).map(shown), ["create a", "update b", "append c"]);
      assert.deepEqual(told[3].annotations.summary, { "r:flag.v1": { total: 1, clientIds: ["ann"], clipped: false } });
      assert.equal(told[1].version.serial, versionSerial);
      const message = await rest.getMessage(serial);
      assert.deepEqual([shown(message), message.serial, message.version.clientId], ["update bc", serial, "ann"]);
      const versions = await rest.getMessageVersions(serial, { direction: "forwards" });
      assert.deepEqual(versions.items.map(shown), ["create a", "update b", "update bc"]);
      const page = await rest.getMessageVersions(serial, { limit: "2" });
      assert.deepEqual([page.items.map(shown), (await page.next()).items.map(shown)], [["update bc", "update b"], ["create a"]]);
      await rest.deleteMessage({ serial }, {});
      assert.equal((await rest.getMessage(serial)).action, "message.delete");
      assert.equal((await rest.annotations.get(serial, {})).items[0].clientId, "ann");
      await assert.rejects(rest.updateMessage({ serial: "01234567890123-000000000009@1", data: "x" }), { code: 40400 });
      await assert.rejects(rest.updateMessage({ serial: "nonsense", data: "x" }), { code: 40003 });
      await assert.rejects(rest.getMessage("01234567890123-000000000009@1"), { code: 40400 });
    });

    test("what may be changed is one's own, or anybody's, or nobody's", async () => {
      const room = name();
      const any = (await site.connected({ ...own, clientId: "mod" })).channels.get(room);
      const { serials: [serial] } = await any.publish("n", "x");
      const abilities = ["subscribe", "publish", "history"];
      const mine = (await limited({ "*": [...abilities, "message-update-own", "message-delete-own"] }, "ann", own)).channels.get(room);
      const { serials: [hers] } = await mine.publish("n", "y");
      await mine.updateMessage({ serial: hers, data: "z" });
      await assert.rejects(mine.updateMessage({ serial, data: "z" }), { code: 40160 });
      await assert.rejects(mine.deleteMessage({ serial }), { code: 40160 });
      await mine.deleteMessage({ serial: hers });
      await any.updateMessage({ serial: hers, data: "by the moderator" });
      const none = (await limited({ "*": abilities }, "ann", own)).channels.get(room);
      await assert.rejects(none.updateMessage({ serial: hers, data: "z" }), { code: 40160 });
      await assert.rejects(none.annotations.publish(serial, { type: "r:flag.v1" }), { code: 40160 });
      const marks = (await limited({ "*": ["annotation-publish"] }, "ann", own)).channels.get(room);
      await marks.annotations.publish(serial, { type: "r:flag.v1" });
      await assert.rejects(marks.publish("n", "x"), { code: 40160 });
      const { items } = await any.history({ direction: "forwards" });
      assert.deepEqual(items.map(shown), ["create x", "update by the moderator"]);
      const reads = site.rest({ ...own, token: await token({ "*": ["annotation-publish"] }, "bob") }).channels.get(room);
      await reads.annotations.publish(serial, { type: "r:flag.v1" });
      await assert.rejects(reads.updateMessage({ serial, data: "x" }), { code: 40160 });
      await assert.rejects(reads.annotations.get(serial, {}), { code: 40160 });
    });

    test("where nothing may be changed nothing is, and that is said", async () => {
      const channel = (await site.connected(own)).channels.get(name("fixed"), { modes: ["SUBSCRIBE", "PUBLISH", "ANNOTATION_SUBSCRIBE"] });
      const told = await heard(channel);
      const { serials: [serial] } = await channel.publish("n", "x");
      for (const change of ["updateMessage", "deleteMessage", "appendMessage"]) {
        await assert.rejects(channel[change]({ serial, data: "y" }), { code: 93002 });
      }
      await assert.rejects(site.rest({ ...own, clientId: "ann" }).channels.get(channel.name).annotations.publish(serial, { type: "r:flag.v1" }), { code: 93002 });
      await assert.rejects(channel.annotations.subscribe(() => {}), { code: 93001 });
      assert.deepEqual(channel.modes.toSorted(), ["publish", "subscribe"]);
      assert.deepEqual([told.length, (await channel.history()).items.map(shown)], [1, ["create x"]]);
    });

    test("what a message may become is as long as a message may be", async () => {
      const channel = (await site.connected(own)).channels.get(name("short"));
      const { serials: [serial] } = await channel.publish("n", "x".repeat(20));
      await channel.appendMessage({ serial, data: "y".repeat(100) });
      await assert.rejects(channel.appendMessage({ serial, data: "z".repeat(100) }), { code: 40009 });
      assert.equal((await channel.history()).items[0].data, "x".repeat(20) + "y".repeat(100));
    });
  });
}

test("a change comes alone, or nothing is said at all", async () => {
  const channel = (await site.connected()).channels.get(name());
  const { serials: [serial] } = await channel.publish("n", "x");
  const rest = site.rest().channels.get(channel.name);
  await assert.rejects(rest.publish([{ data: "a" }, { serial, action: "message.update", data: "b" }]), { code: 40000 });
  assert.deepEqual((await channel.history()).items.map(shown), ["create x"]);
});

test("plain clients and the API see what becomes of messages; who has no word for it hears nothing", async () => {
  const room = name();
  const origin = `http://127.0.0.1:${site.port}`;
  const [plain, positioned] = ["", "?since=now"].map((query) => new WebSocket(`${origin.replace("http", "ws")}/api/ws/${room}${query}`));
  const [bare, told] = [[], []];
  plain.on("message", (text) => bare.push(JSON.parse(text)));
  positioned.on("message", (text) => told.push(JSON.parse(text)));
  await Promise.all([once(plain, "open"), once(positioned, "open")]);
  const request = get(`${origin}/api/ws/${room}`, { headers: { accept: "text/event-stream" } });
  const [response] = await once(request, "response");
  let stream = "";
  response.setEncoding("utf8").on("data", (chunk) => (stream += chunk)).on("error", () => {});
  const channel = (await site.connected({ clientId: "ann" })).channels.get(room);
  const said = await heard(channel);
  const { serials: [serial] } = await channel.publish("n", "a");
  await channel.updateMessage({ serial, data: "b" });
  await channel.annotations.publish(serial, { type: "r:flag.v1" });
  await channel.publish("n", "end");
  const all = () => told.filter(({ type }) => ["broadcast", "change"].includes(type));
  await eventually("told", () => all().length === 4 && stream.includes('"end"') && bare.some(({ data }) => data === "end"));
  const [first, update, annotation] = all();
  assert.deepEqual([update.type, update.change, update.of, update.data], ["change", "update", first.id, "b"]);
  assert.deepEqual([annotation.change, annotation.kind, annotation.summary], ["annotate", "r:flag.v1", { "r:flag.v1": 1 }]);
  assert.deepEqual(bare.filter(({ type }) => type !== "welcome").map(({ data }) => data), ["a", "end"]);
  assert.ok(stream.includes(`"change":"update","of":"${first.id}"`), stream);
  const admin = `http://${site.door.addresses.admin}/_doorway/api/v1`;
  const post = (body) => fetch(`${admin}/publish`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ channel: room, ...body }) });
  const position = (await (await post({ text: "of the app" })).json()).position;
  assert.equal((await post({ update: position, text: "of the app, again" })).status, 200);
  assert.equal((await post({ append: position, text: "!" })).status, 200);
  assert.equal((await post({ delete: first.id })).status, 200);
  await eventually("the app's too", () => said.length === 8);
  assert.deepEqual(said.slice(4).map(shown), ["create of the app", "update of the app, again", "append !", "delete b"]);
  const past = await (await fetch(`${admin}/channels/${room}/history`)).json();
  assert.deepEqual(past.messages.map(({ text, change }) => [text, change]), [["b", "delete"], ["end", undefined], ["of the app, again!", "update"]]);
  assert.deepEqual(past.messages[0].summary, { "r:flag.v1": 1 });
  const since = await (await fetch(`${admin}/channels/${room}/history?since=${position}`)).json();
  assert.deepEqual(since.messages.map(({ change, of }) => [change, of]), [["update", position], ["delete", first.id]]);
  for (const [body, status] of [
    [{ update: "0-1", text: "x" }, 404],
    [{ update: "nonsense", text: "x" }, 400],
    [{ update: position, delete: position, text: "x" }, 400],
    [{ append: position }, 400],
    [{ channel: "fixed-9", update: position, text: "x" }, 400],
  ]) {
    const answer = await post(body);
    assert.equal(answer.status, status, `${JSON.stringify(body)}: ${await answer.text()}`);
  }
  plain.close();
  positioned.close();
  request.destroy();
});
