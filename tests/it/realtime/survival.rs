//! Promise: the app is killed, built anew and replaced while a thousand sockets chat through its callback; no socket
//! drops, and no message is lost, doubled or out of its turn.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::harness::next::test_app;
use crate::harness::socket::{Socket, connect_to};
use crate::harness::{Door, PATIENCE, door, eventually};

const SOCKETS: usize = 1_000;
const ROOM: usize = 10; // sockets of one room
const PAUSE: Duration = Duration::from_secs(4); // between two messages of one socket, at least
const SECRET: &str = "of this test";

/// A copy of the test app that can be edited and built beside the original, with its packages as hard links.
fn copy(app: &Path) -> TempDir {
    let folder =
        tempfile::Builder::new().prefix("survival-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    for (names, how) in [
        (&["node_modules"][..], "-al"),
        (
            &["app", "lib", "proxy.ts", "next.config.ts", "tsconfig.json", "package.json", ".next", "next-env.d.ts"],
            "-a",
        ),
    ] {
        let sources = names.iter().map(|name| app.join(name));
        let status = Command::new("cp").arg(how).args(sources).arg(folder.path()).status();
        assert!(status.expect("cp runs").success());
    }
    folder
}

/// The cookie that the app's sign-in would have set.
fn cookie(name: &str) -> String {
    let seal = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), name.as_bytes());
    format!("session={name}.{}", URL_SAFE_NO_PAD.encode(seal))
}

/// What the sockets know in common.
#[derive(Default)]
struct Chat {
    is_over: AtomicBool,
    said: AtomicU64,
    /// Messages that the second build has judged.
    by_the_new_build: AtomicU64,
}

/// One of those who chat.
struct Talker {
    name: String,
    socket: Socket,
    said: Vec<String>,
    heard: Vec<String>,
}

impl Talker {
    async fn enter(address: SocketAddr, number: usize) -> Talker {
        let (name, room) = (format!("t{number}"), number / ROOM);
        let path = format!("/api/ws/room-{room}");
        let socket = connect_to(address, &path, &[("cookie", &cookie(&name))]).await;
        let socket = socket.unwrap_or_else(|error| panic!("{name}: {error}"));
        Talker { name, socket, said: Vec::new(), heard: Vec::new() }
    }

    /// Hears what comes next, and notes it where it is a message.
    async fn hear(&mut self, chat: &Chat) {
        let said = self.socket.hear_json().await;
        match said["type"].as_str() {
            Some("broadcast") => {
                let data = &said["data"];
                let text = data["text"].as_str().expect("a text").to_owned();
                assert!(text.starts_with(&format!("{}:", data["from"].as_str().expect("a name"))), "{said}");
                if data["build"] == "two" {
                    chat.by_the_new_build.fetch_add(1, Ordering::Relaxed);
                }
                self.heard.push(text);
            }
            Some("join" | "presence") => {}
            _ => panic!("{}: {said}", self.name),
        }
    }

    /// Says something whenever the last of it has come back and the pause is over.
    async fn chat(mut self, chat: Arc<Chat>, first: Instant) -> Talker {
        let mut due = first;
        while !chat.is_over.load(Ordering::Relaxed) {
            if timeout_at(due, self.hear(&chat)).await.is_ok() {
                continue;
            }
            let text = format!("{}:{}", self.name, self.said.len());
            self.socket.say(&text).await;
            self.said.push(text.clone());
            while self.heard.last() != Some(&text) {
                self.hear(&chat).await;
            }
            chat.said.fetch_add(1, Ordering::Relaxed);
            due = Instant::now() + PAUSE;
        }
        self
    }

    /// Hears the rest, and that there is nothing more.
    async fn finish(mut self, total: usize) -> Talker {
        while self.heard.len() < total {
            self.hear(&Chat::default()).await;
        }
        self.socket.is_quiet().await;
        self
    }
}

/// The process ids of the apps that were started so far.
fn apps(door: &Door) -> Vec<u64> {
    let log = door.log();
    log.iter()
        .filter(|line| line["message"] == "app started")
        .map(|line| line["pid"].as_u64().expect("a pid"))
        .collect()
}

/// Waits until `more` messages were said since now.
async fn goes_on(chat: &Chat, more: u64) {
    let aim = chat.said.load(Ordering::Relaxed) + more;
    eventually("they go on chatting", || async { chat.said.load(Ordering::Relaxed) >= aim }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_sockets_survive_a_killed_and_replaced_app() {
    let project = copy(&test_app());
    let dir = project.path();
    let own = std::fs::read_to_string(test_app().join("proxy.toml")).expect("the app's config");
    // Room for a machine that has other things to do; none of it is needed on an idle one.
    let patience = "[callbacks]\ntimeout = \"1m\"\nadmission_patience = \"1m\"\nmessage_patience = \"2m\"\n";
    let config =
        format!("[app]\ndir = {dir:?}\n[realtime.plain]\necho = false\n{}", own.replace("[callbacks]", patience));
    let door = door().config(config).env("SESSION_SECRET", SECRET).start();
    let (address, chat) = (door.http(), Arc::new(Chat::default()));

    let mut entering = JoinSet::new();
    let mut talkers = Vec::new();
    for number in 0..SOCKETS {
        if entering.len() == 50 {
            talkers.push(entering.join_next().await.expect("one of them").expect("no panic"));
        }
        entering.spawn(Talker::enter(address, number));
    }
    talkers.extend(entering.join_all().await);
    let start = Instant::now();
    let mut chatting = JoinSet::new();
    for (place, talker) in talkers.into_iter().enumerate() {
        chatting.spawn(talker.chat(Arc::clone(&chat), start + PAUSE.mul_f64(place as f64 / SOCKETS as f64)));
    }
    goes_on(&chat, 500).await;

    let first = apps(&door)[0];
    assert!(Command::new("kill").args(["-KILL", &first.to_string()]).status().expect("kill runs").success());
    eventually("the app is started again", || async { apps(&door).len() == 2 }).await;
    goes_on(&chat, 500).await;

    let route = dir.join("app/api/ws/route.ts");
    let source = std::fs::read_to_string(&route).expect("the route");
    let changed = source.replace("from: data.client.user, text }", "from: data.client.user, text, build: \"two\" }");
    assert_ne!(source, changed);
    std::fs::write(&route, changed).expect("it can be edited");
    let build = {
        let dir = dir.to_owned();
        tokio::task::spawn_blocking(move || {
            let mut node = Command::new("node");
            node.args(["node_modules/next/dist/bin/next", "build"]).env("NEXT_TELEMETRY_DISABLED", "1");
            node.current_dir(dir).output().expect("node runs")
        })
    };
    let built = build.await.expect("no panic");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    assert_eq!(apps(&door).len(), 2, "the app before served on while the next was built");
    door.signal("HUP");
    eventually("the new build is started", || async { apps(&door).len() == 3 }).await;
    eventually("it judges messages", || async { chat.by_the_new_build.load(Ordering::Relaxed) > 0 }).await;
    let old = apps(&door)[1];
    eventually("the app before has ended", || async { !Path::new(&format!("/proc/{old}")).exists() }).await;
    goes_on(&chat, 500).await;

    chat.is_over.store(true, Ordering::Relaxed);
    let talkers = chatting.join_all().await;
    let took = start.elapsed();
    let mut totals: HashMap<usize, usize> = HashMap::new();
    let room = |talker: &Talker| talker.name[1..].parse::<usize>().expect("a number") / ROOM;
    for talker in &talkers {
        *totals.entry(room(talker)).or_default() += talker.said.len();
    }
    let mut finishing = JoinSet::new();
    for talker in talkers {
        let total = totals[&room(&talker)];
        finishing.spawn(tokio::time::timeout(PATIENCE, talker.finish(total)));
    }
    let talkers: Vec<Talker> = finishing.join_all().await.into_iter().map(|one| one.expect("all is heard")).collect();

    assert_eq!(talkers.len(), SOCKETS);
    let mut rooms: HashMap<usize, &Vec<String>> = HashMap::new();
    for talker in &talkers {
        let heard = rooms.entry(room(talker)).or_insert(&talker.heard);
        assert_eq!(**heard, talker.heard, "all of a room hear the same, in the same order");
        let own: Vec<_> = talker.heard.iter().filter(|text| text.starts_with(&format!("{}:", talker.name))).collect();
        assert_eq!(own, talker.said.iter().collect::<Vec<_>>(), "each once and in order");
    }
    let said: usize = totals.values().sum();
    println!(
        "{said} messages of {SOCKETS} sockets in {took:?}, {} of them past the new build",
        chat.by_the_new_build.load(Ordering::Relaxed) / ROOM as u64
    );
    door.wait_for_metric("hub_published_total", said as f64).await;
    door.wait_for_metric("hub_connections", SOCKETS as f64).await;
    assert!(!door.log().iter().any(|line| line["message"] == "socket closed"), "no socket has dropped");
}
