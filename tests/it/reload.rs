//! Promise: SIGHUP reads the config again; a bad one leaves the old one in place and says everything that is wrong.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{App, Door, door, wire};

/// Writes another config, sends SIGHUP, and gives what the log said until it was done with it.
fn reload(door: &Door, config: &str) -> Vec<Value> {
    door.rewrite(config);
    hang_up(door)
}

fn hang_up(door: &Door) -> Vec<Value> {
    let seen = door.log().len();
    door.signal("HUP");
    door.wait_for_log_after(seen, |line| is(line, "reloaded") || is(line, REFUSED));
    door.log().split_off(seen)
}

const REFUSED: &str = "the config is refused, the old one stays";

fn is(line: &Value, message: &str) -> bool {
    line["message"] == message
}

fn says(lines: &[Value], message: &str) -> bool {
    lines.iter().any(|line| is(line, message))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_config_holds_from_then_on() {
    let (reached, mut reaching) = tokio::sync::mpsc::unbounded_channel();
    let app = App::start(move |_| {
        reached.send(()).ok();
        std::future::pending()
    })
    .await;
    let mut door = door().config(app.config() + "[drain]\ntimeout = \"10m\"\n").start();
    let lines = reload(&door, &(app.config() + "[drain]\ntimeout = \"200ms\"\n"));
    assert!(says(&lines, "reloaded"), "{lines:?}");
    door.wait_for_metric("config_reloads_total{outcome=\"taken\"}", 1.0).await;

    // An answer that never comes, so that only the new deadline can end it.
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await.unwrap();
    reaching.recv().await.expect("the request reaches the app");
    let begun = Instant::now();
    door.signal("TERM");
    assert_eq!(door.wait().code(), Some(0), "{}", door.output());
    assert!(begun.elapsed() < Duration::from_secs(60), "the old deadline held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_outlive_a_reload() {
    let app = App::saying("hello").await;
    let door = door().config(app.config()).start();
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with("hello") {
            let mut some = [0; 1024];
            let read = stream.read(&mut some).await.unwrap();
            assert!(read > 0, "closed by a reload: {answer}");
            answer.push_str(&String::from_utf8_lossy(&some[..read]));
        }
        assert!(says(&hang_up(&door), "reloaded"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_config_changes_nothing_and_every_problem_is_said() {
    let app = App::saying("still here").await;
    let door = door().config(app.config()).start();
    let bad = "[drain]\ntimeout = 5\n[http]\nhead_timeuot = \"1s\"\n[log]\nlevel = \"loud=very\"\nformat = \"xml\"\n[app]\nurl = \"http://127.0.0.1:9\"\n";
    let lines = reload(&door, bad);
    assert!(says(&lines, REFUSED), "{lines:?}");
    let problem = |place: &str, words: &str| {
        lines.iter().any(|line| {
            line["level"] == "ERROR"
                && line["place"].as_str().is_some_and(|known| known.ends_with(place))
                && line["message"].as_str().is_some_and(|message| message.contains(words))
        })
    };
    assert!(problem("proxy.toml:2:11", "drain.timeout must be a duration"), "{lines:?}");
    assert!(problem("proxy.toml:4:1", "unknown key `http.head_timeuot`"), "{lines:?}");
    assert!(problem("proxy.toml:6:9", "log.level cannot be understood"), "{lines:?}");
    assert!(problem("proxy.toml:7:10", "log.format must be one of"), "{lines:?}");
    assert!(lines.iter().any(|line| line["help"] == "did you mean `head_timeout`?"), "{lines:?}");

    let answer = wire::get(door.http(), "/").await;
    assert!(answer.ends_with("still here"), "{answer}");
    door.wait_for_metric("config_reloads_total{outcome=\"refused\"}", 1.0).await;
    door.wait_for_metric("config_reloads_total{outcome=\"taken\"}", 0.0).await;
    assert!(says(&reload(&door, &app.config()), "reloaded"), "a good one is taken after a bad one");
}

#[test]
fn text_that_is_not_toml_is_refused() {
    let door = door().start();
    let lines = reload(&door, "[drain\ntimeout = ");
    assert!(says(&lines, REFUSED), "{lines:?}");
}

#[test]
fn a_file_that_is_gone_is_refused() {
    let door = door().start();
    std::fs::remove_file(door.config_file()).unwrap();
    let lines = hang_up(&door);
    assert!(says(&lines, REFUSED), "{lines:?}");
    assert!(lines.iter().any(|line| line["message"].as_str().unwrap().starts_with("cannot read ")), "{lines:?}");
}

#[test]
fn a_file_that_the_config_names_must_be_there() {
    let door = door().start();
    let lines = reload(&door, "[tls]\ncertificate = \"nowhere.pem\"\nkey = \"nowhere-either.pem\"\n");
    assert!(says(&lines, REFUSED), "{lines:?}");
    let named = |line: &Value| line["message"].as_str().is_some_and(|message| message.contains("nowhere.pem"));
    assert!(lines.iter().any(named), "{lines:?}");
}

#[test]
fn what_cannot_change_says_that_it_needs_a_restart() {
    let door = door().start();
    let lines = reload(
        &door,
        "[listen]\nhttp = \"127.0.0.1:1\"\n[admin]\nlisten = \"off\"\n[log]\nformat = \"human\"\nlevel = \"debug\"\n",
    );
    assert!(says(&lines, "reloaded"), "{lines:?}");
    for key in ["listen.http", "admin.listen", "log.format"] {
        let said = lines.iter().any(|line| is(line, "changed, but needs a restart") && line["key"] == key);
        assert!(said, "{key} in {lines:?}");
    }
    let again = hang_up(&door);
    assert!(again.iter().any(|line| line["key"] == "listen.http"), "said each time: {again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_level_of_the_log_follows() {
    let door = door().config("[log]\nlevel = \"info\"\n").start();
    reload(&door, "[log]\nlevel = \"debug\"\n");
    // A refused request is told at debug.
    let seen = door.log().len();
    wire::get(door.http(), "/api/ws").await;
    door.wait_for_log_after(seen, |line| line["level"] == "DEBUG");
}

const GUARDED: &str = "[realtime]\nrequire_origin = true\n[[realtime.channel]]\nmatch = \"news\"\npublish = \"app\"\n\
                       [realtime.tokens]\nsecret = \"0123456789abcdef0123456789abcdef\"\n";

fn warned(lines: &[Value]) -> Vec<&str> {
    let warned = |line: &&Value| is(line, "the new config has less of what keeps clients out");
    lines.iter().filter(warned).map(|line| line["section"].as_str().unwrap()).collect()
}

/// A tool that writes a file in two steps, or a full disk, leaves one that is right and says nothing.
#[test]
fn a_file_that_has_become_empty_is_refused() {
    let door = door().config(GUARDED).start();
    for empty in ["", "\n# nothing\n"] {
        std::fs::write(door.config_file(), empty).unwrap();
        let lines = hang_up(&door);
        assert!(says(&lines, REFUSED), "{lines:?}");
        assert!(lines.iter().any(|line| line["message"].as_str().unwrap().contains("has become empty")), "{lines:?}");
    }
    // What was given stays, so another file is compared with it.
    let lines = reload(&door, GUARDED);
    assert!(says(&lines, "reloaded") && warned(&lines).is_empty(), "{lines:?}");
}

#[test]
fn reload_says_its_changes_and_what_it_opens() {
    let door = door().config(GUARDED).start();
    let lines = reload(&door, &GUARDED[..GUARDED.find("[[realtime.channel]]").unwrap()]);
    assert_eq!(warned(&lines), ["realtime.channel", "realtime.tokens"], "{lines:?}");
    let line = lines.iter().find(|line| is(line, "reloaded")).unwrap();
    let changes = line["changes"].as_str().unwrap();
    assert!(changes.contains("realtime.channel[0].publish: no longer set"), "{changes}");
    assert!(changes.contains("realtime.tokens.secret: no longer set") && !changes.contains("0123"), "{changes}");

    let lines = reload(&door, &GUARDED.replace("true", "false"));
    let line = lines.iter().find(|line| is(line, "reloaded")).unwrap();
    let changes = line["changes"].as_str().unwrap();
    assert!(changes.contains("realtime.require_origin: true -> false") && !changes.contains("0123"), "{changes}");
    assert!(warned(&lines).is_empty(), "nothing that was there a moment ago is gone: {lines:?}");
}
