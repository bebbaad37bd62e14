//! Promise: the operator's door tells the truth about health, shows the numbers, and does no more than it says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::harness::raw::RawApp;
use crate::harness::socket::connect;
use crate::harness::{App, Door, PATIENCE, Stub, app, door, wire};

fn parsed(answer: &str) -> Value {
    serde_json::from_str(wire::body(answer)).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n")
}

#[tokio::test]
async fn a_running_door_is_live_and_ready() {
    let app = App::saying("hello").await;
    let door = door().config(app.config()).start();
    let live = wire::get(door.admin(), "/health/live").await;
    assert_eq!((wire::status(&live), parsed(&live)), (200, json!({ "live": true })));
    becomes(&door, 200, json!([])).await;
    let ready = wire::get(door.admin(), "/health/ready").await;
    assert_eq!((wire::status(&ready), parsed(&ready)), (200, json!({ "ready": true, "reasons": [] })));
    assert!(ready.contains("cache-control: no-store"), "{ready}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_door_is_live_but_not_ready() {
    let gate = Arc::new(Semaphore::new(0));
    let (app, _reaching) = App::gated(&gate, |_| "late".to_owned()).await;
    let mut door = door().config(app.config()).start();
    becomes(&door, 200, json!([])).await;
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await.unwrap();
    while parsed(&wire::get(door.admin(), "/connections").await)["under_way"] == 0 {
        tokio::task::yield_now().await;
    }
    door.signal("TERM");
    door.wait_for_log(|line| line["message"] == "draining");

    let ready = wire::get(door.admin(), "/health/ready").await;
    assert_eq!((wire::status(&ready), parsed(&ready)), (503, json!({ "ready": false, "reasons": ["draining"] })));
    let live = wire::get(door.admin(), "/health/live").await;
    assert_eq!(wire::status(&live), 200, "{live}");
    let metrics = wire::get(door.admin(), "/metrics").await;
    assert!(metrics.contains("doorway_draining 1\n"), "{metrics}");
    let counts = parsed(&wire::get(door.admin(), "/connections").await);
    assert_eq!((&counts["under_way"], &counts["draining"]), (&json!(1), &json!(true)), "{counts}");
    gate.add_permits(1);
    assert_eq!(door.wait().code(), Some(0), "{}", door.output());
}

/// Asks until the answer is as it should be.
async fn becomes(door: &Door, status: u16, reasons: Value) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ready = wire::get(door.admin(), "/health/ready").await;
        if wire::status(&ready) == status && parsed(&ready)["reasons"] == reasons {
            return;
        }
        assert!(Instant::now() < deadline, "still {ready}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn readiness_follows_the_app() {
    let app = App::saying("hello").await;
    let often = "health_interval = \"100ms\"\n";
    let door = door().config(app.config() + often).start();
    becomes(&door, 200, json!([])).await;
    let address = app.address;
    drop(app);
    becomes(&door, 503, json!(["the app does not answer"])).await;
    let live = wire::get(door.admin(), "/health/live").await;
    assert_eq!(wire::status(&live), 200, "{live}");

    let _again = App::at(address, |_| async { app::response(200, "back") }).await;
    becomes(&door, 200, json!([])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn door_with_a_starting_app_is_live_not_ready_and_stoppable() {
    let project = Stub::new();
    project.write("node_modules/next/dist/bin/next", "setInterval(() => {}, 1000);");
    let mut door = door().config(project.config()).env("PATH", project.search_path()).spawn();
    becomes(&door, 503, json!(["starting"])).await;
    let live = wire::get(door.admin(), "/health/live").await;
    assert_eq!(wire::status(&live), 200, "{live}");
    let metrics = wire::get(door.admin(), "/metrics").await;
    assert!(metrics.contains("process_resident_memory_bytes "), "{metrics}");
    door.signal("TERM");
    assert_eq!(door.wait().code(), Some(0), "{}", door.output());
    assert!(door.output().contains("stopped before it was ready"), "{}", door.output());
}

#[tokio::test]
async fn a_door_whose_app_never_answered_is_not_ready() {
    let door = door().config("[app]\nurl = \"http://127.0.0.1:9\"\nhealth_interval = \"100ms\"\n").start();
    becomes(&door, 503, json!(["the app does not answer"])).await;
}

#[tokio::test]
async fn the_metrics_are_prometheus_text() {
    let door = door().start();
    // What Prometheus asks for, and what curl and browsers get.
    let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5\r\n";
    let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{accept}Connection: close\r\n\r\n");
    let answer = wire::exchange(door.admin(), request).await;
    assert_eq!(wire::status(&answer), 200, "{answer}");
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"), "{answer}");
    let classic = wire::get(door.admin(), "/metrics").await;
    assert!(classic.contains("content-type: text/plain; version=0.0.4"), "{classic}");
    let classic = wire::body(&classic);
    for line in classic.lines().filter(|line| line.starts_with("# TYPE ") && line.ends_with(" counter")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(name.ends_with("_total"), "a counter is declared as its samples are named: {line}");
    }
    assert!(!classic.contains("# EOF") && !classic.contains("# UNIT"), "{classic}");
    let text = wire::body(&answer);
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut described = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap();
            assert!(!described.contains(&name), "{name} is described twice");
            described.push(name);
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(described.iter().any(|known| name.starts_with(known)), "{name} has no type");
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(!line.contains("doorway_doorway"), "{line}");
        }
    }
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.split(['{', ' ']).next() == Some(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_open_fds") >= 8.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_threads") >= 2.0);
    assert!(value("process_cpu_seconds_total") > 0.0);
    assert!(value("process_start_time_seconds") > 1.7e9);
    assert!(value("process_uptime_seconds") > 0.0);
    assert!(value("doorway_runtime_tasks") >= 1.0);
    assert_eq!(value("doorway_build_info"), 1.0);
    assert_eq!(value("doorway_draining"), 0.0);
    assert_eq!(value("doorway_log_lines_lost_total"), 0.0);
}

#[tokio::test]
async fn the_numbers_follow_what_happens() {
    let door = door().start();
    let deadline = Instant::now() + PATIENCE;
    let held: Vec<_> = {
        let mut held = Vec::new();
        for _ in 0..20 {
            held.push(TcpStream::connect(door.http()).await.unwrap());
        }
        held
    };
    loop {
        let counts = parsed(&wire::get(door.admin(), "/connections").await);
        if counts["under_way"] == held.len() {
            break;
        }
        assert!(Instant::now() < deadline, "{counts}");
    }
    drop(held);
    while parsed(&wire::get(door.admin(), "/connections").await)["under_way"] != 0 {
        assert!(Instant::now() < deadline);
    }
}

#[tokio::test]
async fn connections_are_counted_by_kind() {
    let app = RawApp::start(|mut asked| async move {
        // Others are never answered.
        if asked.target() == "/tunnel" {
            asked.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
        }
        asked.closed().await;
        None
    })
    .await;
    let door = door().config(app.config() + "tunnel = [\"/tunnel\"]\n").start();
    let ask = async |lines: &str| {
        let mut stream = TcpStream::connect(door.http()).await.unwrap();
        stream.write_all(format!("GET {lines}\r\n\r\n").as_bytes()).await.unwrap();
        stream
    };
    let held = [
        ask("/slow HTTP/1.1\r\nHost: site.test").await,
        ask("/tunnel HTTP/1.1\r\nHost: site.test\r\nConnection: upgrade\r\nUpgrade: x").await,
        ask("/api/ws HTTP/1.1\r\nHost: site.test\r\nAccept: text/event-stream").await,
        TcpStream::connect(door.http()).await.unwrap(),
    ];
    let sockets = [connect(&door, "/api/ws").await, connect(&door, "/api/ws").await];
    let counts = async |open: i64| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counts = parsed(&wire::get(door.admin(), "/connections").await);
            let busy = open > 0;
            let expected = json!({
                "draining": false,
                "open": open,
                // An event stream is one of the sockets, and its request is under way for as long.
                "requests": if busy { 2 } else { 0 },
                "sockets": { "plain": if busy { 3 } else { 0 } },
                "tunnels": i64::from(busy),
            });
            if expected.as_object().unwrap().iter().all(|(kind, count)| counts[kind] == *count)
                && (!busy || counts["app"]["connections"].as_i64() >= Some(2))
            {
                return;
            }
            assert!(Instant::now() < deadline, "{counts}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    counts(6).await;
    drop((held, sockets));
    counts(0).await;
}

#[tokio::test]
async fn what_it_does_not_offer_is_refused() {
    let door = door().start();
    for path in ["/", "/health/live", "/health/ready", "/metrics", "/connections"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let answer = wire::exchange(door.admin(), request(method, path, "")).await;
            assert_eq!(wire::status(&answer), 405, "{method} {path}: {answer}");
            assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
        }
    }
    let answer = wire::get(door.admin(), "/drain").await;
    assert_eq!(wire::status(&answer), 405, "{answer}");
    assert!(answer.contains("allow: POST\r\n"), "{answer}");
    for path in ["/nothing", "/health", "/metrics/", "/health/ready/.."] {
        let answer = wire::get(door.admin(), path).await;
        assert_eq!(wire::status(&answer), 404, "{path}: {answer}");
    }
    let answer = wire::exchange(door.admin(), "no such thing\r\n\r\n").await;
    assert_eq!(wire::status(&answer), 400, "{answer}");
    let huge = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(20_000));
    let answer = wire::exchange(door.admin(), huge).await;
    assert_eq!(wire::status(&answer), 431, "{answer}");
}

#[tokio::test]
async fn a_web_page_cannot_drain_the_door() {
    let door = door().start();
    let answer = wire::exchange(door.admin(), request("POST", "/drain", "Origin: https://evil.test\r\n")).await;
    assert_eq!(wire::status(&answer), 403, "{answer}");
    let ready = parsed(&wire::get(door.admin(), "/connections").await);
    assert_eq!(ready["draining"], false);
}

#[tokio::test]
async fn head_has_no_body_and_the_index_names_every_page() {
    let door = door().start();
    let answer = wire::exchange(door.admin(), request("HEAD", "/metrics", "")).await;
    assert_eq!((wire::status(&answer), wire::body(&answer)), (200, ""));
    let index = wire::get(door.admin(), "/").await;
    for path in ["/health/live", "/health/ready", "/metrics", "/connections", "/drain"] {
        assert!(index.contains(path), "{path} in {index}");
    }
}

#[tokio::test]
async fn it_is_not_reached_by_the_door_for_clients() {
    let app = App::saying("the app").await;
    let door = door().config(app.config()).start();
    for path in ["/metrics", "/health/ready", "/drain"] {
        let answer = wire::get(door.http(), path).await;
        assert!(answer.ends_with("the app"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn it_can_be_turned_off() {
    for off in ["off", ""] {
        let door = door().config(format!("[admin]\nlisten = \"{off}\"\n")).start();
        assert!(!door.log().iter().any(|line| line["kind"] == "admin"), "{}", door.output());
    }
}

#[tokio::test]
async fn a_place_that_is_not_loopback_is_warned_of() {
    let door = door().config("[admin]\nlisten = \"0.0.0.0:0\"\n").start();
    door.wait_for_log(|line| line["level"] == "WARN" && line["message"].as_str().unwrap().contains("not on loopback"));
    let quiet = self::door().start();
    assert!(!quiet.output().contains("not on loopback"), "{}", quiet.output());
}

#[tokio::test]
async fn more_operators_than_it_has_room_for_wait_and_are_served() {
    let door = door().start();
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(TcpStream::connect(door.admin()).await.unwrap());
    }
    let last = tokio::spawn(wire::get(door.admin(), "/health/live").into_future());
    drop(held);
    assert_eq!(wire::status(&last.await.unwrap()), 200);
}

/// A page may have made its own name mean this machine, and would read whatever is answered under that name.
#[tokio::test]
async fn only_names_that_nobody_owns_are_answered() {
    let door = door().config("[admin]\nlisten = \"127.0.0.1:0\"\nhosts = [\"door.example.com\"]\n").start();
    let ask = |host: &str, path: &str| {
        wire::exchange(door.admin(), format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    };
    for path in ["/", "/health/live", "/health/ready", "/metrics", "/connections"] {
        for host in ["evil.test", "127.0.0.1.evil.test:9080"] {
            let answer = ask(host, path).await;
            assert_eq!(wire::status(&answer), 421, "{host} {path}: {answer}");
            assert!(answer.contains("[admin] hosts"), "{answer}");
        }
        for host in ["127.0.0.1", "localhost:9080", "[::1]", "doorway:9080", "door.example.com"] {
            assert_ne!(wire::status(&ask(host, path).await), 421, "{host} {path}");
        }
    }
}

#[tokio::test]
async fn silent_connections_keep_nobody_from_asking() {
    let door = door().start();
    // Places of those that are gone are no places: none of these is taken for the one that has been silent for longest.
    for _ in 0..100 {
        assert_eq!(wire::status(&wire::get(door.admin(), "/health/live").await), 200);
    }
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(door.admin()).await.expect("a place in the queue"));
    }
    for _ in 0..3 {
        let live = wire::get(door.admin(), "/health/live").await;
        assert_eq!(wire::status(&live), 200, "{live}");
    }
    drop(silent);
}

/// Clients, the app's connections and files may have taken every descriptor that the system gives.
#[tokio::test]
async fn health_is_answered_without_a_free_descriptor() {
    let door = door().start();
    let folder = format!("/proc/{}/fd", door.pid());
    let taken: std::collections::BTreeSet<u64> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    let lowest_free = (0..).find(|number| !taken.contains(number));
    let pid = rustix::process::Pid::from_raw(door.pid().cast_signed());
    let limit = rustix::process::Rlimit { current: lowest_free, maximum: lowest_free };
    rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit).unwrap();
    for _ in 0..20 {
        let live = wire::get(door.admin(), "/health/live").await;
        assert_eq!(wire::status(&live), 200, "{live}");
    }
}
