//! Promise: the service manager hears the truth, and the units that we ship are right. Tried without one: a test's own
//! notify socket stands in for it.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use crate::harness::{App, Door, PATIENCE, door, wire};

/// Where the door's messages arrive, as they would at systemd.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

type Message = BTreeMap<String, String>;

impl Manager {
    fn new() -> Manager {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager { socket, folder }
    }

    fn start(&self, config: &str, environment: &[(&str, &str)]) -> Door {
        let mut builder =
            door().config(config).env("NOTIFY_SOCKET", self.folder.path().join("notify").to_str().unwrap());
        for (key, value) in environment {
            builder = builder.env(key, *value);
        }
        builder.spawn()
    }

    /// The next message, within the patience of the socket.
    fn next(&self) -> Option<Message> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        Some(text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    /// The next message with `key`; those before it must not be about anything else that matters.
    fn expect(&self, key: &str) -> Message {
        loop {
            let message = self.next().unwrap_or_else(|| panic!("{key} never came"));
            if message.contains_key(key) {
                return message;
            }
            let idle = |key: &String| matches!(key.as_str(), "STATUS" | "EXTEND_TIMEOUT_USEC" | "WATCHDOG");
            assert!(message.keys().all(idle), "{message:?} before {key}");
        }
    }

    /// Counts signs of life for a while.
    fn signs_of_life(&self, a_while: Duration) -> usize {
        let end = Instant::now() + a_while;
        let mut count = 0;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.socket.set_read_timeout(Some(left)).unwrap();
            count += usize::from(self.next().is_some_and(|message| message.contains_key("WATCHDOG")));
        }
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        count
    }
}

fn monotonic_usec() -> i128 {
    let now = clock_gettime(ClockId::Monotonic);
    i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_reloading_stopping() {
    let manager = Manager::new();
    let app = App::saying("hello").await;
    let mut door = manager.start(&app.config(), &[]);

    let ready = manager.expect("READY");
    assert_eq!(ready["READY"], "1");
    assert!(ready["STATUS"].contains(&format!("http://{}", app.address)), "{ready:?}");
    let answer = wire::get(door.http(), "/").await;
    assert!(answer.ends_with("hello"), "ready means ready: {answer}");

    let asked = monotonic_usec();
    door.signal("HUP");
    let reloading = manager.expect("RELOADING");
    assert_eq!(reloading["RELOADING"], "1");
    let begun: i128 = reloading["MONOTONIC_USEC"].parse().unwrap();
    assert!((asked..=monotonic_usec()).contains(&begun), "{asked} {begun}");
    assert_eq!(manager.expect("READY")["STATUS"], "reloaded");

    door.rewrite("[drain]\ntimeout = 1\n");
    door.signal("HUP");
    manager.expect("RELOADING");
    assert!(manager.expect("READY")["STATUS"].contains("refused"));

    door.signal("TERM");
    assert_eq!(manager.expect("STOPPING")["STOPPING"], "1");
    assert_eq!(door.wait().code(), Some(0), "{}", door.output());
}

#[test]
fn a_start_that_fails_is_never_ready() {
    let manager = Manager::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut door = manager.start(&format!("[listen]\nhttp = \"{}\"\n", taken.local_addr().unwrap()), &[]);
    assert_eq!(door.wait().code(), Some(1));
    manager.socket.set_nonblocking(true).unwrap();
    while let Some(message) = manager.next() {
        assert!(!message.contains_key("READY"), "{message:?}");
    }
}

#[test]
fn the_watchdog_hears_from_a_door_that_runs_and_only_from_that() {
    let manager = Manager::new();
    let door = manager.start("", &[("WATCHDOG_USEC", "200000")]);
    manager.expect("READY");
    manager.expect("WATCHDOG");
    // One each 100 ms, on a machine that may be busy.
    let alive = manager.signs_of_life(Duration::from_secs(3));
    assert!((5..=40).contains(&alive), "{alive} in 3 s");

    door.signal("STOP");
    manager.signs_of_life(Duration::from_millis(300)); // those that were on their way
    assert_eq!(manager.signs_of_life(Duration::from_secs(1)), 0, "a stopped process is not alive");
    door.signal("CONT");
    manager.expect("WATCHDOG");
}

#[test]
fn the_watchdog_of_another_process_is_not_ours() {
    let manager = Manager::new();
    let _door = manager.start("", &[("WATCHDOG_USEC", "20000"), ("WATCHDOG_PID", "1")]);
    manager.expect("READY");
    assert_eq!(manager.signs_of_life(Duration::from_millis(500)), 0);
}

#[test]
fn a_manager_that_is_gone_stops_nothing() {
    let mut door = door().env("NOTIFY_SOCKET", "/nowhere/at/all").start();
    door.wait_for_log(|line| line["level"] == "WARN" && line["message"] == "cannot tell the service manager");
    door.signal("TERM");
    assert_eq!(door.wait().code(), Some(0), "{}", door.output());
}

/// The units as they are shipped, but for the programs: those must exist where `systemd-analyze` runs.
fn units() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir("systemd").unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text
            .replace("ExecStart=/usr/local/bin/doorway", &format!("ExecStart={}", env!("CARGO_BIN_EXE_doorway")))
            .replace("ExecStart=/usr/bin/node", "ExecStart=/bin/true");
        std::fs::write(folder.path().join(path.file_name().unwrap()), text).unwrap();
    }
    folder
}

fn analyze(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("systemd-analyze");
    let output = command.args(arguments).current_dir(folder).env("PAGER", "cat").output();
    let output = output.expect("systemd-analyze runs: tests/run installs it");
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
    )
}

#[test]
fn the_units_are_right() {
    let folder = units();
    let units = ["./doorway.service", "./doorway.socket", "./doorway-https.socket", "./nextjs.service"];
    let (right, said) = analyze(folder.path(), &[&["verify", "--man=no"][..], &units].concat());
    assert!(right, "{said}");
    // systemd 252 says so of the one line that it does not know, and then uses the line before.
    let complaints: Vec<_> = said.lines().filter(|line| !line.contains("ignoring: notify-reload")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");

    // That complaints are complaints: the same with a mistake in it.
    let file = folder.path().join("doorway.service");
    let wrong = std::fs::read_to_string(&file).unwrap().replace("WatchdogSec=30s", "WatchdogSec=soon");
    std::fs::write(&file, wrong).unwrap();
    let (_, said) = analyze(folder.path(), &["verify", "--man=no", "./doorway.service"]);
    assert!(said.contains("ignoring: soon"), "{said}");
}

#[test]
fn the_units_are_hardened() {
    let folder = units();
    for unit in ["./doorway.service", "./nextjs.service"] {
        // An exposure of at most 2.0 of 10; a unit without hardening has 9.6.
        let (right, said) = analyze(folder.path(), &["security", "--offline=true", "--threshold=20", unit]);
        assert!(right, "{unit}: {said}");
    }
}

#[test]
fn the_service_waits_longer_than_the_drain() {
    let unit = std::fs::read_to_string("systemd/doorway.service").unwrap();
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap().to_owned();
    let stop = humantime::parse_duration(&value("TimeoutStopSec")).unwrap();
    assert!(stop > doorway::config::Config::default().drain.timeout, "{stop:?}");
    assert_eq!(unit.lines().rfind(|line| line.starts_with("Type=")), Some("Type=notify-reload"));
}
