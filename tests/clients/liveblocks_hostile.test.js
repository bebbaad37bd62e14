// Hostile bytes, by plain sockets: whoever sends them is closed or refused, all others go on, and memory stays bounded.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import WebSocket from "ws";
import { Chance } from "./harness/chance.js";
import { eventually, LiveList, LiveObject, LiveText, PUBLIC, Site } from "./harness/liveblocks.js";

const ROOM = "hostile";
const MIB = 1 << 20;
/** What the door's memory may grow by, all in all: a build without optimisation, which gives back little. */
const MOST = 700 * MIB;

let site, a, b, began;
const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${site.door.child.pid}/status`, "utf8"))[1]) * 1024;

before(async () => {
  site = await Site.start({ "realtime.yjs": { rooms: ["*"] } });
  a = await site.stored(ROOM, { o: new LiveObject({ x: 0 }), l: new LiveList(["a", "b"]), t: new LiveText("Hello") });
  await a.synced();
  b = await site.stored(ROOM);
  began = memory();
});
after(async () => {
  await site.stop();
  setTimeout(() => process.exit(), 3_000).unref();
});

/** A plain client in the room, once it has been told the room's state. */
async function stranger(room = ROOM) {
  const socket = new WebSocket(`ws://127.0.0.1:${site.port}/v8?roomId=${room}&pubkey=${PUBLIC}&version=3.24.2`);
  const heard = [];
  socket.on("message", (data) => heard.push(String(data)));
  socket.on("error", () => {});
  const closed = once(socket, "close");
  await eventually("let in", () => heard.some((text) => text.startsWith('{"type":104')));
  return { socket, heard, closed, actor: JSON.parse(heard[0]).actor };
}

/** How the door took frames: the code that it closed with, or that it goes on. */
async function outcome({ socket, heard, closed }, frames) {
  for (const frame of frames) {
    if (socket.readyState === WebSocket.OPEN) socket.send(frame);
  }
  if (socket.readyState === WebSocket.OPEN) socket.send("ping");
  const answered = eventually("closed, or a pong", () => socket.readyState !== WebSocket.OPEN || heard.includes("pong"));
  const code = await Promise.race([closed.then(([code]) => code), answered.then(() => undefined)]);
  if (code === undefined && socket.readyState !== WebSocket.OPEN) return (await closed)[0];
  socket.terminate();
  return code;
}

let counted = 0;
/** Two stock clients go on in the same room, and were not sent away. */
async function othersGoOn() {
  const mark = ++counted;
  a.root.get("o").set("x", mark);
  await a.synced();
  await eventually("the other to hear", () => b.root.get("o").get("x") === mark);
  assert.deepEqual([a.closes, b.closes], [[], []]);
}

const ops = (...all) => JSON.stringify([{ type: 201, ops: all }]);
const deep = (levels) => "[".repeat(levels) + "]".repeat(levels);
const text = (change) => `[{"type":201,"ops":[{"type":10,"opId":"h","id":"T","baseVersion":0,"ops":[${change}]}]}]`;
const b64 = (...bytes) => Buffer.from(bytes).toString("base64");

describe("whoever sends what is no message is closed with 4000", () => {
  const bad = {
    "no JSON": "{",
    "an array that does not end": "[",
    "no array": '{"type":200}',
    "no messages": "[1,2]",
    "an unknown type": '[{"type":9999}]',
    "a type that is no number": '[{"type":"x"}]',
    "no ops": '[{"type":201}]',
    "an op without an id": '[{"type":201,"ops":[{"type":3}]}]',
    "an op whose id is a number": '[{"type":201,"ops":[{"type":5,"id":1,"opId":"h"}]}]',
    "an unknown op": ops({ type: 99, id: "x", opId: "h" }),
    "an object without data": ops({ type: 4, id: "x", opId: "h", parentId: "root", parentKey: "k" }),
    "an unknown intent": ops({ type: 8, id: "x", opId: "h", parentId: "root", parentKey: "k", data: 1, intent: "steal" }),
    "a value that is too deep": `[{"type":201,"ops":[{"type":3,"id":"root","opId":"h","data":${deep(100_000)}}]}]`,
    "a text change below zero": text('{"type":"insert","index":-1,"text":"x"}'),
    "a text change of no number": text('{"type":"delete","index":1e308,"length":1}'),
    "an unknown text change": text('{"type":"steal","index":0}'),
    "a vector that is no base64": '[{"type":300,"vector":"%%%"}]',
    "a vector that does not end": `[{"type":300,"vector":"${b64(255, 255, 255)}"}]`,
    "a vector of very many": `[{"type":300,"vector":"${b64(255, 255, 255, 255, 15)}"}]`,
    "an update that is no base64": '[{"type":301,"update":"%%%"}]',
    "an update of nothing": '[{"type":301,"update":""}]',
    "an update of rubbish": `[{"type":301,"update":"${b64(1, 2, 3, 4, 5, 255, 255, 255, 255, 15, 9)}"}]`,
    "an update of very many": `[{"type":301,"update":"${b64(255, 255, 255, 255, 15, 255, 255, 255, 255, 15, 1)}"}]`,
    "rubbish in the second coding": `[{"type":301,"v2":true,"update":"${b64(0, 255, 255, 255, 255, 15, 7)}"}]`,
    "a subdocument that is no UUID": '[{"type":300,"vector":"AA==","guid":"../../etc"}]',
  };
  for (const [what, frame] of Object.entries(bad)) {
    test(what, async () => {
      assert.equal(await outcome(await stranger(), [frame]), 4000);
      await othersGoOn();
    });
  }

  test("bytes", async () => {
    assert.equal(await outcome(await stranger(), [Buffer.from([1, 2, 3])]), 4000);
    await othersGoOn();
  });

  test("a frame that is too long", async () => {
    assert.notEqual(await outcome(await stranger(), ["x".repeat(17 * MIB)]), undefined);
    await othersGoOn();
  });
});

describe("what means no good is refused, and its sender goes on", () => {
  const object = (id, parentId, more) => ({ type: 4, id, opId: `op-${id}`, parentId, parentKey: "c", data: {}, ...more });
  const register = (id, parentKey, more) => ({ type: 8, id, opId: `op-${id}`, parentId: "L", parentKey, data: 1, ...more });
  const below = (levels, id = (n) => `deep${n}`) => Array.from({ length: levels }, (_, n) => object(id(n), n ? id(n - 1) : "root"));
  const long = "x".repeat(MIB);
  const harmless = {
    "the root deleted": [ops({ type: 5, id: "root", opId: "h" })],
    "a node below itself": [ops(object("self", "self"))],
    "a circle": [ops(object("c1", "c2"), object("c2", "c1"))],
    "its own ancestor": [ops(object("p", "root"), object("q", "p"), object("root", "q"), object("p", "q"))],
    "a tree of 10,000 levels": [ops(...below(10_000))],
    "names of a megabyte": [ops(object(long, "root"), { type: 5, id: long, opId: "d" }, object("y", long))],
    "a key of a megabyte": [ops(object("k", "root", { parentKey: long }))],
    "a position of a megabyte": [ops(register("r", long), { type: 1, id: "r", opId: "m", parentKey: long })],
    "positions of all sorts": [ops(...["", " ", "\u0000", "é", "\uffff", "~".repeat(5000), "!!!   "].map((key, n) => register(`p${n}`, key)))],
    "an id given a thousand times": [ops(...Array.from({ length: 1000 }, () => register("same", "!")))],
    "an opId given a thousand times": [ops(...Array.from({ length: 1000 }, (_, n) => register(`n${n}`, "!", { opId: "same" })))],
    "10,000 ops in a frame": [ops(...Array.from({ length: 10_000 }, (_, n) => register(`m${n}`, "!")))],
    "10,000 pushes, and all taken away": [
      ops(...Array.from({ length: 10_000 }, (_, n) => register(`u${n}`, "!", { intent: "push" }))),
      ops(...Array.from({ length: 10_000 }, (_, n) => ({ type: 5, id: `u${n}`, opId: `d${n}` }))),
    ],
    "a value that is too large": [ops({ type: 3, id: "root", opId: "h", data: { big: "x".repeat(3 * MIB) } })],
    "names that mean something to others": [ops(object("__proto__", "root", { parentKey: "__proto__" }), object("constructor", "__proto__"))],
    "nothing at all": ["[]", "[]", '[{"type":201,"ops":[]}]'],
  };
  for (const [number, [what, frames]] of Object.entries(harmless).entries()) {
    test(what, async () => {
      const room = `harmless-${number}`;
      const owner = await site.stored(room, { l: new LiveList([]) });
      await owner.synced();
      const id = /"id":"([^"]+)","type":2/.exec(owner.wire.find((said) => said.startsWith("> ") && said.includes('"type":2,')))[1];
      const its = frames.map((frame) => frame.replaceAll('"parentId":"L"', `"parentId":"${id}"`));
      assert.equal(await outcome(await stranger(room), its), undefined);
      // Its room is sound: it can be read, and edited.
      owner.root.set("after", 1);
      await owner.synced();
      const newcomer = await site.stored(room);
      assert.equal(newcomer.root.get("after"), 1);
      [owner, newcomer].forEach((editor) => editor.leave());
      await othersGoOn();
    });
  }

  test("text changes with the largest numbers", async () => {
    const id = /\["([^"]+)",4,/.exec(b.wire.find((said) => said.includes(',4,"root","t"')))[1];
    const most = Number.MAX_SAFE_INTEGER;
    const changes = [
      { type: "insert", index: most, text: "!" },
      { type: "delete", index: most, length: most },
      { type: "format", index: 0, length: most, attributes: { b: 1 } },
      { type: "delete", index: 3, length: most },
    ];
    const frames = changes.map((change, n) => ops({ type: 10, id, opId: `h${n}`, baseVersion: n % 2, ops: [change] }));
    frames.push(ops({ type: 10, id, opId: "ahead", baseVersion: most, ops: changes }));
    frames.push(ops({ type: 10, id, opId: "many", baseVersion: 0, ops: Array.from({ length: 5000 }, () => changes[2]) }));
    assert.equal(await outcome(await stranger(), frames), undefined);
    await othersGoOn();
    await eventually("the same text", () => JSON.stringify(a.json.t) === JSON.stringify(b.json.t));
  });
});

test("very many subdocuments: no more than there may be, and others go on", async () => {
  for (const message of [() => ({ type: 300, vector: "AA==" }), () => ({ type: 301, update: "AAA=" })]) {
    for (let frame = 0; frame < 5; frame++) {
      const many = Array.from({ length: 20_000 }, () => ({ ...message(), guid: randomUUID() }));
      const code = await outcome(await stranger("guids"), [JSON.stringify(many)]);
      assert.ok([undefined, 1001, 4000, 4100].includes(code), `${code}`);
    }
    await othersGoOn();
  }
});

describe("y-websocket", () => {
  const join = async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${site.port}/api/ws/yjs/socket`);
    socket.on("error", () => {});
    const closed = once(socket, "close");
    await once(socket, "open");
    return { socket, closed };
  };

  const bad = {
    "no bytes": [],
    "an unknown type": [9],
    "a number that does not end": Array(20).fill(255),
    "less than it says": [0, 2, 255, 255, 255, 255, 7],
    "an update of rubbish": [0, 2, 5, 1, 2, 3, 4, 255],
    "a vector of very many": [0, 0, 5, 255, 255, 255, 255, 15],
    "awareness of very many": [1, 8, 255, 255, 255, 255, 255, 255, 255, 15],
    "awareness that is no text": [1, 5, 1, 1, 1, 1, 255],
  };
  for (const [what, bytes] of Object.entries(bad)) {
    test(what, async () => {
      const { socket, closed } = await join();
      socket.send(Buffer.from(bytes));
      const [code] = await closed;
      assert.ok(code >= 1002 && code !== 1006, `${code}`);
      await othersGoOn();
    });
  }

  test("a thousand frames at random", async () => {
    const chance = new Chance(21);
    for (let round = 0; round < 1000; round += 20) {
      const all = await Promise.all(Array.from({ length: 20 }, join));
      for (const { socket, closed } of all) {
        const kind = chance.of([[0, 0], [0, 1], [0, 2], [1], []]);
        const content = Array.from({ length: chance.below(60) }, () => (chance.once(3) ? 255 : chance.below(8)));
        socket.send(Buffer.from(kind.length ? [...kind, content.length, ...content] : content));
        socket.close();
        await closed;
      }
    }
    await othersGoOn();
  });
});

test("and all of it took little memory, and broke nothing", async (context) => {
  const grown = memory() - began;
  context.diagnostic(`grown by ${Math.round(grown / MIB)} MiB`);
  assert.ok(grown < MOST, `grown by ${Math.round(grown / MIB)} MiB`);
  assert.deepEqual(site.door.child.lines.filter((line) => /panicked|overflow/.test(line)), []);
  await site.again({ killed: true });
  await eventually("both to be there again", () => [a, b].every(({ room }) => room.getStatus() === "connected"));
  await b.synced();
  assert.deepEqual(b.json, await site.node.getStorageDocument(ROOM, "json"));
});
