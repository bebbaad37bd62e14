//! A folder that looks like a Next.js project, with a `next` in it that does what the test says; for what the real one
//! cannot be made to do, and in a hundredth of its time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// `next build`, `next start` and `next dev`. What it does otherwise than well is said by files in the project.
const NEXT: &str = r#"
const fs = require('fs'), http = require('http');
const [command, ...rest] = process.argv.slice(2);
const said = (name) => fs.existsSync(name);
const dist = require('../server/config').distDir();
if (command === 'build') {
  console.log('Creating an optimized production build ...');
  while (said('hold-build')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  if (said('broken-late')) { fs.mkdirSync(dist, { recursive: true }); fs.writeFileSync(`${dist}/BUILD_ID`, 'half'); console.error('Error occurred prerendering'); process.exit(1); }
  if (said('broken')) { console.error('\x1b[31mType error\x1b[39m: the test broke it'); process.exit(1); }
  fs.writeFileSync('built-with', JSON.stringify({ ...process.env, 'its priority': String(require('os').getPriority()) }));
  if (!said('nothing')) { fs.mkdirSync(dist, { recursive: true }); for (const name of ['required-server-files', 'routes-manifest', 'prerender-manifest', 'export-marker']) fs.writeFileSync(`${dist}/${name}.json`, '{}'); if (said('export')) { fs.mkdirSync('out', { recursive: true }); fs.writeFileSync('out/about.html', '<h1>About</h1>'); fs.writeFileSync(`${dist}/required-server-files.json`, '{ "config": { "output": "export" } }'); } else fs.writeFileSync(`${dist}/required-server-files.json`, JSON.stringify({ config: { deploymentId: process.env.NEXT_DEPLOYMENT_ID } })); fs.writeFileSync(`${dist}/BUILD_ID`, fs.readFileSync('source')); }
  process.exit(0);
}
const option = (name) => rest[rest.lastIndexOf(name) + 1];
const port = process.env.PORT_OF_THE_TEST || (rest.includes('-p') ? option('-p') : process.env.PORT);
const host = rest.includes('-H') ? option('-H') : process.env.HOSTNAME;
if (said('crash')) { console.error('cannot start: the test says so'); process.exit(3); }
const build = said(`${dist}/BUILD_ID`) ? fs.readFileSync(`${dist}/BUILD_ID`, 'utf8') : 'none';
const required = `${dist}/required-server-files.json`;
const deployment = said(required) ? JSON.parse(fs.readFileSync(required, 'utf8')).config?.deploymentId : undefined;
let ready = !said('slow');
if (said('slow')) setTimeout(() => { ready = true; held.splice(0).forEach((answer) => answer()); }, 700);
const held = [];
let asked = false;
const server = http.createServer((request, response) => {
  const answer = () => {
    const url = new URL(request.url, 'http://app');
    if (url.pathname === '/exit') process.exit(7);
    if (url.pathname === '/deaf') server.close(), setInterval(() => {}, 1000), response.setHeader('connection', 'close');
    if (url.pathname === '/say') console.log(url.searchParams.get('what')), console.error('aloud: ' + url.searchParams.get('what'));
    if (url.pathname === '/old-action') return response.writeHead(409, { 'x-nextjs-action-not-found': '1', 'content-type': 'text/plain' }).end('Server Action unavailable.');
    if (url.pathname === '/action' && request.headers['next-action'] !== build) return response.writeHead(409, { 'x-nextjs-action-not-found': '1' }).end();
    if (url.pathname === '/stream') { let left = Number(url.searchParams.get('pieces')); const piece = () => (response.write(`${build}\n`), --left > 0 ? setTimeout(piece, 50) : response.end('end')); return piece(); }
    if (url.pathname === '/cached') response.setHeader('cache-control', 's-maxage=60');
    if (url.pathname === '/env') return response.end(JSON.stringify(process.env));
    if (url.pathname === '/args') return response.end(JSON.stringify({ args: process.argv.slice(1), cwd: process.cwd() }));
    if (url.pathname === '/priority') return response.end(String(require('os').getPriority()));
    if (said('status') && url.pathname === '/check') response.statusCode = Number(fs.readFileSync('status', 'utf8'));
    const body = () => response.end(JSON.stringify({ command, build, pid: process.pid, deployment, peer: request.socket.remotePort }));
    const wait = Number(url.searchParams.get('wait') || 0);
    wait ? setTimeout(body, wait) : body();
  };
  // As Next.js does, which is asked as soon as it listens.
  if (said('chatty') && !asked) console.log('Ready in 1 ms');
  asked = true;
  ready ? answer() : held.push(answer);
});
const listen = () => server.listen(Number(port), said('elsewhere') ? '127.0.1.1' : host, () => console.log('it listens'));
if (said('stranger')) {
  // Of another process group; it ends with this one, whose end closes its input.
  const code = "require('http').createServer((_, r) => r.end('{\"command\":\"stranger\"}')).listen(process.argv[1], '127.0.0.1', () => console.log('there')); process.stdin.on('end', () => process.exit()).resume()";
  require('child_process').spawn(process.execPath, ['-e', code, port], { detached: true, stdio: ['pipe', 'pipe', 'inherit'] }).stdout.once('data', listen);
} else listen();
process.on('SIGTERM', () => { if (!said('stubborn')) server.close(() => process.exit(143)); });
"#;

/// How Next.js reads its config: here `distDir` is what a file of that name says.
const CONFIG: &str = r#"
const fs = require('fs');
exports.distDir = () => (fs.existsSync('distDir') ? fs.readFileSync('distDir', 'utf8') : '.next');
exports.default = async (phase, folder) => {
  console.log(`the config of ${folder} says something`);
  if (phase !== 'phase-production-build') throw new Error(phase);
  return { distDir: exports.distDir(), output: fs.existsSync('export') ? 'export' : undefined };
};
"#;

/// `npm`: notes how it was called, and installs the `next` above.
const NPM: &str = r#"#!/bin/sh
echo "$@" >> npm-was-called
echo "NODE_ENV=$NODE_ENV" >> npm-was-called
if [ "$1" = run ] && [ "$2" = build ]; then exec node node_modules/next/dist/bin/next build; fi
if [ "$1" = run ]; then
  script="$2"; shift 2
  [ "$1" = -- ] && shift
  PATH="$PWD/node_modules/.bin:$PATH" exec sh -c "$(node -p "require('./package.json').scripts.$script") $*"
fi
[ -e unreachable ] && { echo "npm error network" >&2; exit 1; }
while [ -e hold-install ]; do sleep 0.05; done
echo "added 1 package"
cp -r "$(dirname "$0")/node_modules" .
"#;

/// Removed when dropped.
pub struct Stub {
    folder: TempDir,
}

impl Stub {
    /// Installed, not built.
    pub fn new() -> Stub {
        let project = Stub { folder: tempfile::tempdir().expect("a temporary folder") };
        project.write("package.json", r#"{ "dependencies": { "next": "16.4.6" } }"#);
        project.write("source", "first");
        project.write(".gitignore", "npm-was-called\nbuilt-with\ntools\n");
        install(&project.path().join("node_modules"), "16.4.6");
        let tools = project.path().join("tools");
        install(&tools.join("node_modules"), "16.4.6");
        fs::write(tools.join("npm"), NPM).expect("a file");
        fs::set_permissions(tools.join("npm"), fs::Permissions::from_mode(0o755)).expect("permissions");
        project
    }

    /// Without `node_modules`.
    pub fn fresh() -> Stub {
        let project = Stub::new();
        fs::remove_dir_all(project.path().join("node_modules")).expect("it was there");
        project
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path().join(name)).expect("it was there");
    }

    pub fn version(&self, version: &str) {
        install(&self.path().join("node_modules"), version);
    }

    /// A `PATH` on which `npm` is the one above.
    pub fn search_path(&self) -> String {
        let tools: PathBuf = self.path().join("tools");
        format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default())
    }

    /// The section `[app]` that names it.
    pub fn config(&self) -> String {
        format!("[app]\ndir = \"{}\"\nrestart_delay = \"50ms\"\n", self.path().display())
    }
}

fn install(node_modules: &Path, version: &str) {
    let next = node_modules.join("next");
    fs::create_dir_all(next.join("dist/bin")).expect("a folder");
    fs::write(next.join("dist/bin/next"), NEXT).expect("a file");
    fs::create_dir_all(next.join("dist/server")).expect("a folder");
    fs::write(next.join("dist/server/config.js"), CONFIG).expect("a file");
    let bin = node_modules.join(".bin");
    fs::create_dir_all(&bin).expect("a folder");
    fs::write(bin.join("next"), "#!/bin/sh\nexec node \"$(dirname \"$0\")/../next/dist/bin/next\" \"$@\"\n")
        .expect("a file");
    fs::set_permissions(bin.join("next"), fs::Permissions::from_mode(0o755)).expect("permissions");
    fs::write(next.join("package.json"), format!(r#"{{ "name": "next", "version": "{version}" }}"#)).expect("a file");
}
