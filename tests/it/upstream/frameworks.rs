//! Promise: an app of any framework of the table is built, started, told of the door, asked how it is without a trace, and
//! replaced; its files that never change are answered from disk.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{Door, client, door, eventually};

/// What each of them leaves of a build, and where it is looked for.
struct Case {
    /// Packages of the manifest, with the program that each brings.
    packages: &'static [(&'static str, &'static str)],
    server: &'static str,
    file: &'static str,
    /// Another that is part of each build.
    beside: &'static str,
    url: &'static str,
    /// What tells the server of the door.
    told: &'static [(&'static str, &'static str)],
}

const CASES: [Case; 5] = [
    Case {
        packages: &[("nuxt", "nuxt")],
        server: ".output/server/index.mjs",
        file: ".output/public/_nuxt/entry.js",
        beside: ".output/nitro.json",
        url: "/_nuxt/entry.js",
        told: &[("HOST", "127.0.0.1")],
    },
    Case {
        packages: &[("@sveltejs/kit", "svelte-kit"), ("@sveltejs/adapter-node", ""), ("vite", "vite")],
        server: "build/index.js",
        file: "build/client/_app/immutable/entry/start.js",
        beside: "build/handler.js",
        url: "/_app/immutable/entry/start.js",
        told: &[
            ("PROTOCOL_HEADER", "x-forwarded-proto"),
            ("HOST_HEADER", "x-forwarded-host"),
            ("ADDRESS_HEADER", "x-real-ip"),
        ],
    },
    Case {
        packages: &[("@react-router/dev", "react-router"), ("@react-router/serve", "react-router-serve")],
        server: "build/server/index.js",
        file: "build/client/assets/entry.js",
        beside: "build/server/assets.json",
        url: "/assets/entry.js",
        told: &[("NODE_ENV", "production")],
    },
    Case {
        packages: &[("@remix-run/dev", "remix"), ("@remix-run/serve", "remix-serve")],
        server: "build/server/index.js",
        file: "build/client/assets/entry.js",
        beside: "build/server/assets.json",
        url: "/assets/entry.js",
        told: &[("NODE_ENV", "production")],
    },
    Case {
        packages: &[("astro", "astro"), ("@astrojs/node", "")],
        server: "dist/server/entry.mjs",
        file: "dist/client/_astro/entry.js",
        beside: "dist/server/manifest.mjs",
        url: "/_astro/entry.js",
        told: &[("HOST", "127.0.0.1")],
    },
];

/// Whatever stands in a manifest: it builds when its first word is `build`, else it runs the server that it is given.
const TOOL: &str = r#"
const fs = require('fs'), path = require('path');
const [command] = process.argv.slice(2);
if (!/build$/.test(command)) { import(path.resolve(command)); return; }
for (const [name, text] of Object.entries(JSON.parse(fs.readFileSync('leaves.json')))) {
  fs.mkdirSync(path.dirname(name), { recursive: true });
  fs.writeFileSync(name, text);
}
"#;

const SERVER: &str = r#"import('node:http').then(({ createServer }) => createServer((request, answer) => {
  if (request.method === 'HEAD') console.log('asked for ' + request.url);
  answer.end(JSON.stringify({ env: process.env, pid: process.pid, url: request.url }));
}).listen(process.env.PORT, process.env.HOST));"#;

fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// Installed, not built.
fn project(case: &Case) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dependencies: serde_json::Map<_, _> =
        case.packages.iter().map(|(package, _)| ((*package).to_owned(), "1.0.0".into())).collect();
    write(folder.path(), "package.json", &serde_json::json!({ "devDependencies": dependencies }).to_string());
    for (package, program) in case.packages {
        let place = format!("node_modules/{package}");
        let bin = serde_json::json!({ "name": package, "version": "1.0.0", "bin": { *program: "./bin/tool.js" } });
        write(folder.path(), &format!("{place}/package.json"), &bin.to_string());
        write(folder.path(), &format!("{place}/bin/tool.js"), TOOL);
    }
    let leaves = [(case.server, SERVER), (case.file, "export const never = 'changes';"), (case.beside, "{}")];
    let leaves: serde_json::Map<_, _> = leaves.map(|(name, text)| (name.to_owned(), text.into())).into_iter().collect();
    write(folder.path(), "leaves.json", &Value::from(leaves).to_string());
    write(folder.path(), "src/page", "first");
    folder
}

fn config(folder: &Path) -> String {
    format!("[app]\ndir = {folder:?}\nrestart_delay = \"50ms\"\nhealth_interval = \"50ms\"\n")
}

async fn json(door: &Door, path: &str) -> Value {
    serde_json::from_slice(&client::get(door.http(), path, &[]).await.bytes().await).expect("JSON")
}

fn said(door: &Door, message: &str) -> usize {
    door.log().iter().filter(|line| line["message"].as_str().is_some_and(|it| it.starts_with(message))).count()
}

#[tokio::test]
async fn each_is_built_started_told_of_the_door_and_replaced() {
    for case in &CASES {
        let name = case.packages[0].0;
        let folder = project(case);
        let first = {
            let door = door().config(config(folder.path())).start();
            assert_eq!(said(&door, "building"), 1, "{name}: {}", door.output());
            let answer = json(&door, "/").await;
            for (variable, value) in case.told {
                assert_eq!(answer["env"][variable], *value, "{name}: {variable}");
            }
            let file = client::get(door.http(), case.url, &[]).await;
            assert_eq!(file.header("cache-control"), "public, max-age=31536000, immutable", "{name}");
            assert_eq!(file.bytes().await.as_ref(), b"export const never = 'changes';", "{name}: from disk");
            assert_eq!(json(&door, "/missing.js").await["url"], "/missing.js", "{name}: the rest is the app's");
            door.wait_for_log(|line| line.to_string().contains(&format!("asked for {}", case.url)));
            assert!(!door.output().contains("/_next/static"), "{name}: {}", door.output());
            answer["pid"].clone()
        };

        let door = door().config(config(folder.path())).start();
        assert_eq!(said(&door, "building"), 0, "{name}: nothing has changed: {}", door.output());
        let second = json(&door, "/").await["pid"].clone();
        assert_ne!(first, second);
        let server = fs::File::options().write(true).open(folder.path().join(case.server)).unwrap();
        server.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
        let reloaded = client::ask(door.admin(), "POST", "/reload", &[("host", "localhost")], "").await;
        assert_eq!(reloaded.status, 200, "{name}");
        assert_ne!(json(&door, "/").await["pid"], second, "{name}: another build, another process");
        drop(door);

        write(folder.path(), "src/page", "second");
        let door = crate::harness::door().config(config(folder.path())).start();
        door.wait_for_log(|line| {
            line["message"].as_str().is_some_and(|it| it.starts_with("building: src/page is newer"))
        });
    }
}

#[test]
fn an_adapter_that_is_missing_is_named_before_anything_is_built() {
    let case = Case { packages: &[("@sveltejs/kit", "svelte-kit"), ("vite", "vite")], ..CASES[1] };
    let folder = project(&case);
    let mut door = door().config(config(folder.path())).spawn();
    assert_eq!(door.wait().code(), Some(1));
    assert!(door.output().contains("without @sveltejs/adapter-node: install it"), "{}", door.output());
}

#[tokio::test]
async fn a_start_script_alone_is_an_app() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "package.json",
        r#"{ "scripts": { "start": "node server.js", "build": "echo built >> built" } }"#,
    );
    write(folder.path(), "server.js", SERVER);
    let built = || fs::read_to_string(folder.path().join("built")).unwrap();
    write(folder.path(), ".gitignore", "built\n");
    let door = door().config(config(folder.path())).start();
    assert_eq!(built(), "built\n");
    let first = json(&door, "/").await["pid"].clone();
    let reloaded = client::ask(door.admin(), "POST", "/reload", &[("host", "localhost")], "").await;
    assert_eq!(reloaded.status, 200);
    assert_ne!(json(&door, "/").await["pid"], first, "nobody knows whether it is another");
    drop(door);
    let again = crate::harness::door().config(config(folder.path())).start();
    assert_eq!(built(), "built\n", "nothing has changed: {}", again.output());
}

/// An app that notes what it is asked and says `answer` to each request, and how many connections it has taken.
async fn noting(answer: &'static str) -> (String, Arc<AtomicUsize>, Arc<Mutex<String>>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connections, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(String::new())));
    let (counter, words) = (Arc::clone(&connections), Arc::clone(&heard));
    let app = tokio::spawn(async move {
        let mut held = tokio::task::JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let words = Arc::clone(&words);
            held.spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    words.lock().push_str(&text);
                    if text.contains("\r\n\r\n") && stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (format!("[app]\nurl = \"http://{address}\"\nhealth_interval = \"50ms\"\n"), connections, heard, app)
}

/// Some would log what they do not know, with a stack trace.
#[tokio::test]
async fn an_app_of_which_nothing_is_known_is_only_connected_to() {
    let (config, connections, heard, app) = noting("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let door = door().config(config).start();
    let asked_thrice = || async { connections.load(Ordering::SeqCst) > 3 };
    eventually("it is asked how it is", asked_thrice).await;
    assert_eq!(*heard.lock(), "", "{}", door.output());
    assert_eq!(client::get(door.http(), "/page", &[]).await.status, 200);
    let before = connections.load(Ordering::SeqCst);
    eventually("it is asked again", || async { connections.load(Ordering::SeqCst) > before + 3 }).await;
    assert_eq!(heard.lock().matches("HTTP/1.1").count(), 1, "{}", heard.lock());
    app.abort();
}

#[tokio::test]
async fn an_app_that_calls_itself_next_is_asked_as_next() {
    let answer = "HTTP/1.1 200 OK\r\nx-powered-by: Next.js\r\ncontent-length: 0\r\n\r\n";
    let (config, _, heard, app) = noting(answer).await;
    let door = door().config(config).start();
    assert_eq!(client::get(door.http(), "/page", &[]).await.status, 200);
    let is_asked = || async { heard.lock().contains("HEAD /_next/static/doorway HTTP/1.1") };
    eventually("it is asked for what costs Next.js nothing", is_asked).await;
    app.abort();
}
