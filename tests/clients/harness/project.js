// A folder that is a Next.js project to Doorway and to npm, with a `next` of a few lines: whole builds in no time, without a network.
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const NEXT = `#!/usr/bin/env node
const fs = require("fs");
const [command, ...rest] = process.argv.slice(2);
const page = () => fs.readFileSync("page.txt", "utf8");
if (command === "build") {
  fs.mkdirSync(".next", { recursive: true });
  for (const name of ["required-server-files", "routes-manifest", "prerender-manifest", "export-marker"]) fs.writeFileSync(\`.next/\${name}.json\`, "{}");
  fs.writeFileSync(".next/BUILD_ID", page());
} else {
  const option = (name) => (rest.includes(name) ? rest[rest.lastIndexOf(name) + 1] : undefined);
  const text = command === "dev" ? \`dev: \${page()}\` : fs.readFileSync(".next/BUILD_ID", "utf8");
  if (text === "broken") throw new Error("the test broke it");
  const server = require("http").createServer((_, response) => response.end(text));
  server.listen(Number(option("-p") ?? process.env.PORT), option("-H") ?? process.env.HOSTNAME);
  process.on("SIGTERM", () => server.close(() => process.exit(143)));
}
`;

/** Makes a project in `folder` that is neither installed nor built, and whose only page says `text`. */
export function makeProject(folder, text) {
  const write = (name, content) => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  };
  const manifest = { name: "app", version: "1.0.0", dependencies: { next: "file:vendor/next" } };
  const next = { name: "next", version: "16.4.6", bin: { next: "dist/bin/next" } };
  write("package.json", { ...manifest, scripts: { build: "next build", start: "next start" } });
  write("package-lock.json", {
    ...{ name: "app", version: "1.0.0", lockfileVersion: 3, requires: true },
    packages: { "": manifest, "node_modules/next": { resolved: "vendor/next", link: true }, "vendor/next": next },
  });
  write("vendor/next/package.json", next);
  write("vendor/next/dist/bin/next", NEXT);
  chmodSync(join(folder, "vendor/next/dist/bin/next"), 0o755);
  write("page.txt", text);
  return folder;
}
