// What `cargo metadata` says of the program's crates, as a bill of materials (CycloneDX 1.5): on standard input, to standard
// output. Only what is linked or runs at a build: what tests alone use is in nothing that is shipped.
import { readFileSync } from "node:fs";

const { packages, resolve } = JSON.parse(readFileSync(0, "utf8"));
const nodes = new Map(resolve.nodes.map((node) => [node.id, node]));
const used = new Set();
const open = [resolve.root];
while (open.length) {
  const id = open.pop();
  if (used.has(id)) continue;
  used.add(id);
  for (const { pkg, dep_kinds } of nodes.get(id).deps) if (dep_kinds.some(({ kind }) => kind !== "dev")) open.push(pkg);
}
const reference = ({ name, version }) => `pkg:cargo/${name}@${version}`;
const component = (crate) => ({
  type: crate.id === resolve.root ? "application" : "library",
  "bom-ref": reference(crate),
  name: crate.name,
  version: crate.version,
  purl: reference(crate),
  ...(crate.license && { licenses: [{ expression: crate.license.replaceAll("/", " OR ") }] }),
});
const crates = packages.filter(({ id }) => used.has(id)).sort((a, b) => (reference(a) < reference(b) ? -1 : 1));
const byId = new Map(crates.map((crate) => [crate.id, crate]));
const seconds = Number(process.env.SOURCE_DATE_EPOCH ?? Date.now() / 1000);
const bill = {
  bomFormat: "CycloneDX",
  specVersion: "1.5",
  version: 1,
  metadata: { timestamp: new Date(seconds * 1000).toISOString(), component: component(byId.get(resolve.root)) },
  components: crates.filter(({ id }) => id !== resolve.root).map(component),
  dependencies: crates.map((crate) => ({
    ref: reference(crate),
    dependsOn: nodes.get(crate.id).deps.filter(({ pkg }) => byId.has(pkg)).map(({ pkg }) => reference(byId.get(pkg))).sort(),
  })),
};
console.log(JSON.stringify(bill, null, 1));
