//! Promise: logs are JSON lines (or for people), cheap, and never hold a request back; secrets are not in them.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpStream;

use crate::harness::signal;
use crate::harness::terminal::terminal;
use crate::harness::{App, PATIENCE, Stub, door, wire};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_is_json_with_time_level_and_message() {
    let app = App::saying("hello").await;
    let mut door = door().config(app.config() + "[log]\nlevel = \"debug\"\n").start();
    wire::get(door.http(), "/\u{e9}?a=\"b\\c\"").await;
    wire::exchange(door.http(), "GET /%00\x1b[31m HTTP/1.1\r\n\r\n").await;
    door.signal("HUP");
    door.signal("TERM");
    door.wait();
    let log = door.log();
    assert!(log.len() > 5, "{}", door.output());
    for line in &log {
        let text = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("{key} in {line}"));
        assert!(humantime::parse_rfc3339(text("timestamp")).is_ok(), "{line}");
        assert!(["ERROR", "WARN", "INFO", "DEBUG"].contains(&text("level")), "{line}");
        assert!(!text("target").is_empty(), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_has_no_colours_without_a_terminal() {
    let app = App::saying("hello").await;
    let mut door = door().config(app.config() + "[log]\nformat = \"human\"\n").spawn();
    let line = door.wait_for_log(|line| line.as_str().is_some_and(|line| line.contains(" INFO ready ")));
    let line = line.as_str().unwrap();
    assert!(line.contains(&format!("app=http://{}", app.address)), "{line}");
    assert!(!line.contains('\x1b'), "{line:?}");
    door.signal("TERM");
    assert_eq!(door.wait().code(), Some(0));
}

/// A door whose standard error is a terminal, and the other end of that terminal.
fn on_a_terminal(no_color: &str) -> (Kept, std::fs::File, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = "[listen]\nhttp = \"127.0.0.1:0\"\n[admin]\nlisten = \"off\"\n";
    std::fs::write(folder.path().join("proxy.toml"), config).unwrap();
    let (door, terminal) = in_folder(folder.path(), no_color);
    (door, terminal, folder)
}

/// The same with the config in `folder`.
fn in_folder(folder: &std::path::Path, no_color: &str) -> (Kept, std::fs::File) {
    let (master, slave) = terminal();
    let child = Command::new(env!("CARGO_BIN_EXE_doorway"))
        .env("NO_COLOR", no_color)
        .current_dir(folder)
        .stderr(slave)
        .spawn()
        .expect("the binary starts");
    (Kept(child), master)
}

/// Reads what comes until it holds `wanted`.
fn read_until(source: &mut impl Read, wanted: &str) -> String {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(wanted) {
        let mut some = [0; 4096];
        let read = source.read(&mut some).unwrap_or(0);
        assert!(read > 0, "ended without {wanted:?}: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&some[..read]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

#[test]
fn a_terminal_gets_lines_for_people_in_colours() {
    for (no_color, coloured) in [("", true), ("1", false)] {
        let (door, mut terminal, _folder) = on_a_terminal(no_color);
        let seen = read_until(&mut terminal, "ready");
        assert!(seen.contains("INFO"), "{seen}");
        assert!(!seen.contains("{\"timestamp\""), "{seen}");
        assert_eq!(seen.contains("\x1b[32m"), coloured, "{seen:?}");
        drop(door);
    }
}

/// The rest is there where something went wrong, or at `debug`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_line_is_short_for_people() {
    let app = App::saying("hello").await;
    for (level, is_short) in [("info", true), ("info,access=debug", false)] {
        let config = format!(
            "{}[log]\nformat = \"human\"\nlevel = \"{level}\"\n[listen]\nhttp = \"127.0.0.1:{}\"\n",
            app.config(),
            free_port().port()
        );
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("proxy.toml"), config + "[admin]\nlisten = \"off\"\n").unwrap();
        let (door, mut terminal) = in_folder(folder.path(), "1");
        let seen = read_until(&mut terminal, "ready");
        let address = seen.split("open=http://").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(wire::get(address, "/page").await.ends_with("hello"));
        let seen = read_until(&mut terminal, "/page");
        let line = if seen.ends_with('\n') { seen } else { seen + &read_until(&mut terminal, "\n") };
        let line = line.lines().find(|line| line.contains("/page")).unwrap();
        if is_short {
            let words: Vec<_> = line.split_whitespace().collect();
            assert_eq!((words.len(), words[1], words[2], words[3]), (8, "GET", "/page", "200"), "{line}");
            assert_eq!((words[5], words[6], words[7]), ("ms", "5", "B"), "{line}");
        } else {
            assert!(line.contains("client=") && line.contains("ending=whole"), "{line}");
        }
        drop(door);
    }
}

/// Why a build fails is what its reader must see.
#[test]
fn colours_of_a_build_are_for_the_terminal_alone() {
    let project = Stub::new();
    project.write("broken", "");
    let config = format!("[listen]\nhttp = \"127.0.0.1:0\"\n[admin]\nlisten = \"off\"\n{}", project.config());
    for (no_color, expected) in
        [("", "\x1b[31mType error\x1b[39m: the test broke it"), ("1", "Type error: the test broke it")]
    {
        project.write("proxy.toml", &config);
        let (mut door, mut terminal) = in_folder(project.path(), no_color);
        let seen = read_until(&mut terminal, "its last lines above say why");
        assert!(seen.contains(expected), "{seen:?}");
        assert_eq!(door.ended(), Some(1));
    }
    let mut door = door().config(config).spawn();
    door.wait();
    assert!(door.log().iter().any(|line| line["message"] == "Type error: the test broke it"), "{}", door.output());
}

#[test]
fn a_terminal_that_is_closed_ends_the_door() {
    let (mut door, mut terminal, _folder) = on_a_terminal("1");
    read_until(&mut terminal, "ready");
    door.signal("HUP");
    read_until(&mut terminal, "reloaded");
    drop(terminal);
    door.signal("HUP");
    assert_eq!(door.ended(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_variable_overrides_the_file() {
    let app = App::saying("hello").await;
    let http = free_port();
    let config = format!("{}[listen]\nhttp = \"{http}\"\n[log]\nlevel = \"trace\"\n", app.config());
    let mut door = door().config(config).env("RUST_LOG", "warn").spawn();
    // At this level the start says nothing: an answer is the sign.
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(http).await.is_err() {
        assert!(Instant::now() < deadline, "it never opened");
        tokio::task::yield_now().await;
    }
    assert!(wire::get(http, "/").await.ends_with("hello"));
    door.signal("TERM");
    assert_eq!(door.wait().code(), Some(0));
    assert_eq!(door.output(), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_not_logged() {
    let app = App::saying("hello").await;
    let mut door = door().config(app.config() + "[log]\nlevel = \"trace,h2=info,hyper=info,mio=info\"\n").start();
    let secret = "k3yk3yk3y";
    let request = format!(
        "POST /path?token={secret} HTTP/1.1\r\nHost: site.test\r\nCookie: session={secret}\r\nAuthorization: Bearer {secret}\r\n\
         Proxy-Authorization: Basic {secret}\r\nX-Api-Key: {secret}\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{secret}"
    );
    let answer = wire::exchange(door.http(), &request).await;
    assert_eq!(wire::status(&answer), 200, "{answer}");
    let upgrade = format!(
        "GET /api/ws?token={secret} HTTP/1.1\r\nHost: site.test\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\
         Cookie: session={secret}\r\nOrigin: https://evil.test\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    wire::exchange(door.http(), &upgrade).await;
    door.signal("TERM");
    door.wait();
    assert!(!door.output().contains(secret), "{}", door.output());
}

/// Killed when dropped.
struct Kept(Child);

impl Kept {
    fn signal(&self, name: &str) {
        signal::send(self.0.id(), name);
    }
}

impl Kept {
    /// Waits for its end; gives its exit code.
    fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it never ended");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Standard error is a pipe that nobody reads: requests are answered all the same, and what was lost is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_holds_nothing_back() {
    let app = App::saying("hello").await;
    let folder = tempfile::tempdir().unwrap();
    let (http, admin) = (free_port(), free_port());
    let good = format!("{}[listen]\nhttp = \"{http}\"\n[admin]\nlisten = \"{admin}\"\n", app.config());
    let file = folder.path().join("proxy.toml");
    std::fs::write(&file, &good).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorway"));
    let mut door = Kept(command.current_dir(folder.path()).stderr(Stdio::piped()).spawn().expect("the binary starts"));
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(http).await.is_err() {
        assert!(Instant::now() < deadline, "it never opened");
        tokio::task::yield_now().await;
    }

    // A refused config is told problem by problem: some hundred kilobytes of log at each SIGHUP.
    let wrong: String =
        (0..2000).map(|number| format!("a_key_that_nobody_knows_and_that_is_long_{number} = 1\n")).collect();
    std::fs::write(&file, wrong).unwrap();
    loop {
        door.signal("HUP");
        let answer = wire::get(http, "/").await;
        assert!(answer.ends_with("hello"), "{answer}");
        let metrics = wire::get(admin, "/metrics").await;
        let lost =
            metrics.lines().find_map(|line| line.strip_prefix("doorway_log_lines_lost_total ")?.parse::<f64>().ok());
        if lost.expect("the metric") > 0.0 {
            break;
        }
        assert!(Instant::now() < deadline, "nothing is lost, so nothing is bounded");
    }

    // Read at last, it says how many are missing, and every line that is there is whole.
    let mut stderr = door.0.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    door.signal("TERM");
    let text = tokio::task::spawn_blocking(move || reader.join()).await.unwrap().unwrap().unwrap();
    assert_eq!(door.ended(), Some(0));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a whole line")).collect();
    let lost = |line: &Value| line["message"] == "log lines lost" && line["lines"].as_u64() > Some(0);
    assert!(lines.iter().any(lost), "no word of what is missing");
}

#[test]
fn a_log_that_is_closed_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("proxy.toml"), "[listen]\nhttp = \"127.0.0.1:0\"\n[admin]\nlisten = \"off\"\n")
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorway"));
    let mut door = Kept(command.current_dir(folder.path()).stderr(Stdio::piped()).spawn().expect("the binary starts"));
    let mut stderr = door.0.stderr.take().unwrap();
    read_until(&mut stderr, "ready");
    drop(stderr);
    door.signal("HUP");
    door.signal("TERM");
    assert_eq!(door.ended(), Some(0));
}

/// A wrong word alone would name a part of the log, and mute all others.
#[test]
fn a_wrong_word_as_a_level_is_an_error_with_the_nearest() {
    for (level, words) in [
        ("inof", "\"inof\" is no level: did you mean \"info\"?"),
        ("warning", "\"warning\" is no level: did you mean \"warn\"?"),
        ("verbose", "\"verbose\" is no level: there are error, warn, info, debug, trace, off"),
        ("info,access=of", "\"of\" is no level: did you mean \"off\"?"),
        ("info,acess=off", "\"acess\" is no part of the log: did you mean \"access\"?"),
        ("info,acces", "\"acces\" is no level"),
    ] {
        let mut door = door().config(format!("[log]\nlevel = \"{level}\"\n")).spawn();
        assert_eq!(door.wait().code(), Some(1), "{level}");
        assert!(door.output().contains(words), "{words} in {}", door.output());
        if level != "info,acces" {
            let mut door = self::door().env("RUST_LOG", level).spawn();
            assert_eq!(door.wait().code(), Some(1), "{level}");
            assert!(door.output().contains(words), "{words} in {}", door.output());
        }
    }
    for level in ["INFO", "info,access=off", "debug,h2=off,hyper=info", "doorway::upstream=debug", "off", "app"] {
        let mut door = door().config(format!("[log]\nlevel = \"{level}\"\n[listen]\nhttp = []\n")).spawn();
        door.wait();
        assert!(!door.output().contains("cannot be understood"), "{}", door.output());
    }
}
