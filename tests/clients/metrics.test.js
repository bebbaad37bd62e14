// `/metrics` in both of its formats, as the two parsers of Prometheus' own Python client read it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { config, Doorway } from "../browser/harness/doorway.js";
import { eventually } from "../browser/harness/eventually.js";

// Debian's, whose packages `tests/run` installs; another one in front of it in PATH has no part in that.
const PYTHON = process.env.PYTHON ?? "/usr/bin/python3";

let door;
before(async () => {
  door = await Doorway.start(config({ app: { url: "off" }, listen: { http: "127.0.0.1:0" } }));
  // A histogram has something to say, and a family with labels from requests.
  await (await fetch(door.origin("http"))).text();
  await eventually("the request is counted", async () => (await said("text/plain")).text.includes("doorway_http_requests_total{"));
});
after(() => door.stop());

async function said(accept) {
  const answer = await fetch(`http://${door.addresses.admin}/metrics`, { headers: { accept } });
  return { type: answer.headers.get("content-type"), text: await answer.text() };
}

/** The families that the client finds, by name. */
function parsed(format, text) {
  const script = join(import.meta.dirname, "harness/metrics.py");
  const python = spawnSync(PYTHON, [script, format], { input: text, encoding: "utf8", timeout: 60_000 });
  assert.equal(python.status, 0, `the ${format} parser refuses it, or is not there (tests/run installs it): ${python.stderr}`);
  const families = JSON.parse(python.stdout);
  assert.equal(new Set(families.map(({ name }) => name)).size, families.length, "each family stands once");
  return new Map(families.map((family) => [family.name, family]));
}

async function both() {
  const openmetrics = await said("application/openmetrics-text; version=1.0.0, text/plain; version=0.0.4; q=0.5");
  const classic = await said("text/plain; version=0.0.4");
  assert.match(openmetrics.type, /^application\/openmetrics-text; version=1\.0\.0/);
  assert.match(classic.type, /^text\/plain; version=0\.0\.4/);
  return { openmetrics: parsed("openmetrics", openmetrics.text), classic: parsed("classic", classic.text) };
}

test("both parsers find the same families, with types and samples", async () => {
  const { openmetrics, classic } = await both();
  assert.ok(openmetrics.size > 70, `${openmetrics.size} families`);
  const unlike = [];
  for (const [name, { type, help, samples }] of openmetrics) {
    // The classic format knows no information; there it is a gauge by the name of its sample.
    const other = classic.get(type === "info" ? `${name}_info` : name);
    const expected = type === "info" ? "gauge" : type;
    if (other?.type !== expected) unlike.push(`${name}: ${type}, and ${other?.type} in the classic format`);
    if (!help || other?.help !== help) unlike.push(`${name}: ${help}, and ${other?.help} in the classic format`);
    // Numbers move on between two requests; a family has its samples in both formats.
    const names = (samples) => [...new Set(samples.map((sample) => sample.name))].filter((name) => !name.endsWith("_created")).sort().join();
    if (names(samples) !== names(other?.samples ?? [])) unlike.push(`${name}: samples ${names(samples)}, and ${names(other?.samples ?? [])}`);
  }
  assert.deepEqual(unlike, []);
  assert.equal(classic.size, openmetrics.size, "and no others");
});

test("types and names are those of what is counted", async () => {
  const { openmetrics } = await both();
  const wrong = [];
  for (const [name, { type, samples }] of openmetrics) {
    if (!["counter", "gauge", "histogram", "info"].includes(type)) wrong.push(`${name} is of type ${type}`);
    if (type === "histogram" && !name.endsWith("_seconds")) wrong.push(`${name} is a duration, and does not say its unit`);
    if (/duration|uptime|timestamp/.test(name) && !name.endsWith("_seconds")) wrong.push(`${name} does not say its unit`);
    if (/_(ms|millis\w*|micros\w*|us|minutes|kib|mib|kb)(_|$)/.test(name)) wrong.push(`${name} is not in a base unit`);
    for (const sample of samples) if (/NaN|^-/.test(sample.value)) wrong.push(`${sample.name} is ${sample.value}`);
  }
  assert.deepEqual(wrong, []);
  const info = openmetrics.get("doorway_build").samples;
  assert.deepEqual(info.map(({ name, value }) => [name, Number(value)]), [["doorway_build_info", 1]]);
});

/** What differs in kind alone is one family with a label, so that it can be summed; each value is there from the start. */
const LABELLED = {
  doorway_compress_answers: { encoding: ["br", "gzip", "zstd"] },
  doorway_config_reloads: { outcome: ["refused", "taken"] },
  doorway_realtime_bytes: { direction: ["in", "out"] },
  doorway_realtime_messages: { direction: ["in", "out"] },
  doorway_realtime_socketio_recoveries: { outcome: ["expired", "recovered", "unknown"] },
};

test("kinds are labels and no parts of names", async () => {
  const { openmetrics } = await both();
  assert.deepEqual([...openmetrics.keys()].filter((name) => /_(br|zstd|gzip|in|out|taken)(_answers)?$/.test(name)), []);
  for (const [name, labels] of Object.entries(LABELLED)) {
    const family = openmetrics.get(name);
    assert.equal(family?.type, "counter", name);
    for (const [label, values] of Object.entries(labels)) {
      assert.deepEqual(family.samples.filter((sample) => sample.name.endsWith("_total")).map((sample) => sample.labels[label]).sort(), values, name);
    }
  }
});
