#!/usr/bin/env node
// Makes npm packages of binaries: .github/npm/build VERSION FOLDER PLATFORM=BINARY... One for each platform, and the one
// that people install, which asks for the platform's as an optional package. Nothing of them runs at an install.
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const [version, folder, ...binaries] = process.argv.slice(2);
const here = import.meta.dirname;
const read = (file) => JSON.parse(readFileSync(join(here, file), "utf8"));
const root = read("package.json");
const platforms = read("platforms.json");
const work = mkdtempSync(join(tmpdir(), "doorway-npm-"));

function pack(manifest, fill) {
  const place = join(work, manifest.name.replace("/", "-"));
  mkdirSync(join(place, "bin"), { recursive: true });
  writeFileSync(join(place, "package.json"), JSON.stringify(manifest, null, 2));
  for (const file of ["LICENSE-MIT", "LICENSE-APACHE"]) copyFileSync(join(here, "../..", file), join(place, file));
  fill(place);
  execFileSync("npm", ["pack", "--silent", "--pack-destination", resolve(folder)], { cwd: place, stdio: "inherit" });
}

mkdirSync(folder, { recursive: true });
try {
  for (const [platform, binary] of binaries.map((pair) => pair.split("="))) {
    const { os, cpu, libc } = platforms[platform];
    const { description, license } = root;
    // Its program is no `bin`: the command is the root's.
    const manifest = { name: `${root.name}-${platform}`, version, description, license, os: [os], cpu: [cpu], libc: [libc], files: ["bin"] };
    pack(manifest, (place) => {
      copyFileSync(binary, join(place, "bin/doorway"));
      chmodSync(join(place, "bin/doorway"), 0o755);
    });
  }
  const optionalDependencies = Object.fromEntries(Object.keys(platforms).map((platform) => [`${root.name}-${platform}`, version]));
  pack({ ...root, version, optionalDependencies }, (place) => {
    cpSync(join(here, "bin"), join(place, "bin"), { recursive: true });
    chmodSync(join(place, "bin/doorway.js"), 0o755);
    copyFileSync(join(here, "platforms.json"), join(place, "platforms.json"));
    writeFileSync(join(place, "README.md"), `# Doorway\n\n${root.description}.\n\n\`\`\`json\n"scripts": { "dev": "doorway --dev ." }\n\`\`\`\n`);
  });
} finally {
  rmSync(work, { recursive: true });
}
