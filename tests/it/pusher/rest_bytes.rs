//! Promise: a request of an app's server is believed if it is signed, lately, for itself; anything else gets a status.

use serde_json::json;

use super::app::{enter, md5, now, pusher, sign, subscribe};
use crate::harness::Door;
use crate::harness::client::ask;

const BODY: &str = r#"{"name":"n","channel":"c","data":"d"}"#;

/// A request to be signed, in which each part can be another.
#[derive(Clone)]
struct Signed<'a> {
    key: &'a str,
    secret: &'a str,
    time: String,
    version: &'a str,
    method: &'a str,
    path: &'a str,
    md5: String,
}

impl Default for Signed<'_> {
    fn default() -> Self {
        let (time, md5) = (now().to_string(), md5(BODY.as_bytes()));
        Signed {
            key: "app-key",
            secret: "app-secret",
            time,
            version: "1.0",
            method: "POST",
            path: "/apps/1/events",
            md5,
        }
    }
}

impl Signed<'_> {
    fn query(&self) -> String {
        let Signed { key, time, version, md5, .. } = self;
        let query = format!("auth_key={key}&auth_timestamp={time}&auth_version={version}&body_md5={md5}");
        let signature = sign(self.secret, &format!("{}\n{}\n{query}", self.method, self.path));
        format!("{query}&auth_signature={signature}")
    }
}

async fn post(door: &Door, query: &str, body: &str) -> (u16, String) {
    let target = format!("/apps/1/events?{query}");
    let answer = ask(door.http(), "POST", &target, &[("content-type", "application/json")], body.to_owned()).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let status = answer.status;
    (status, String::from_utf8(answer.bytes().await.to_vec()).expect("UTF-8"))
}

#[tokio::test]
async fn what_is_signed_otherwise_is_refused() {
    let door = pusher("");
    let right = Signed::default;
    let at = |time: u64| Signed { time: time.to_string(), ..right() };
    assert_eq!(post(&door, &right().query(), BODY).await, (200, "{}".to_owned()));
    for (what, signed, status) in [
        ("the key of nobody", Signed { key: "nobody", ..right() }, 401),
        ("another's secret", Signed { secret: "guess", ..right() }, 401),
        ("version 1.1", Signed { version: "1.1", ..right() }, 400),
        ("an old time", at(now() - 700), 401),
        ("a time to come", at(now() + 700), 401),
        ("no time", Signed { time: "soon".into(), ..right() }, 400),
        ("a negative time", Signed { time: "-1".into(), ..right() }, 400),
        ("another method", Signed { method: "GET", ..right() }, 401),
        ("another path", Signed { path: "/apps/1/batch_events", ..right() }, 401),
        ("another body", Signed { md5: md5(b"{}"), ..right() }, 401),
    ] {
        let (got, words) = post(&door, &signed.query(), BODY).await;
        assert_eq!(got, status, "{what}: {words}");
        assert!(!words.contains("app-secret"), "{what}: {words}");
    }
    let query = right().query();
    for part in ["auth_key", "auth_timestamp", "auth_version", "auth_signature", "body_md5"] {
        let without: Vec<_> = query.split('&').filter(|pair| !pair.starts_with(part)).collect();
        assert_eq!(post(&door, &without.join("&"), BODY).await.0, 401, "without {part}");
    }
    assert_eq!(post(&door, "", BODY).await.0, 401, "nothing at all");
    assert_eq!(post(&door, &format!("{query}&more=1"), BODY).await.0, 401, "a parameter that was not signed");
}

/// As Pusher has it: within ten minutes the same request is taken again. A signature is no place for a memory that a
/// retry needs; what must not happen twice carries an id of its own.
#[tokio::test]
async fn a_request_that_is_sent_again_counts_again_while_it_is_young() {
    let door = pusher("");
    let (mut socket, _) = enter(&door).await;
    socket.say(&subscribe("c", "")).await;
    assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded");
    let at = |time: u64| Signed { time: time.to_string(), ..Signed::default() };
    for (query, status) in [(at(now() - 500).query(), 200), (at(now() - 700).query(), 401)] {
        for _ in 0..2 {
            assert_eq!(post(&door, &query, BODY).await.0, status);
        }
    }
    for _ in 0..2 {
        assert_eq!(socket.hear().await, r#"{"event":"n","channel":"c","data":"d"}"#);
    }
    socket.is_quiet().await;
}

/// Sends `body`, signed, to `path`.
async fn send(door: &Door, path: &str, body: String) -> u16 {
    let query = Signed { md5: md5(body.as_bytes()), path, ..Signed::default() }.query();
    ask(door.http(), "POST", &format!("{path}?{query}"), &[], body).await.status
}

/// A batch, and an event for many channels, are many messages at once for whoever is in all of them.
#[tokio::test]
async fn as_many_events_at_once_as_there_may_be_reach_who_reads_however_few_may_wait() {
    let app = "max_batch = 1000\n[realtime.outbox]\nmessages = 16\n";
    let door = pusher(app);
    let (mut socket, _) = enter(&door).await;
    let names: Vec<_> = (0..100).map(|n| format!("c{n}")).collect();
    for name in &names {
        socket.say(&subscribe(name, "")).await;
        assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded");
    }
    let batch: Vec<_> = (0..1000).map(|n| json!({ "name": "n", "channel": "c0", "data": n.to_string() })).collect();
    assert_eq!(send(&door, "/apps/1/batch_events", json!({ "batch": batch }).to_string()).await, 200);
    for n in 0..1000 {
        assert_eq!(socket.hear_json().await["data"], n.to_string());
    }
    let body = json!({ "name": "n", "channels": names, "data": "d" }).to_string();
    assert_eq!(send(&door, "/apps/1/events", body).await, 200);
    for name in &names {
        assert_eq!(socket.hear_json().await["channel"], *name);
    }
}

#[tokio::test]
async fn what_is_too_large_or_makes_no_sense_has_its_status_and_reaches_nobody() {
    let door = pusher("");
    let (mut socket, _) = enter(&door).await;
    socket.say(&subscribe("c", "")).await;
    assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded");
    let event = |data: usize| json!({ "name": "n", "channel": "c", "data": "x".repeat(data) }).to_string();
    let channels = |count: usize| {
        let names: Vec<_> = (0..count).map(|n| format!("c{n}")).collect();
        json!({ "name": "n", "channels": names, "data": "" }).to_string()
    };
    for (what, body, status) in [
        ("no JSON", "{".to_owned(), 400),
        ("a list", "[]".to_owned(), 400),
        ("no name", json!({ "channel": "c", "data": "" }).to_string(), 400),
        ("no data", json!({ "name": "n", "channel": "c" }).to_string(), 400),
        ("a name that is a number", json!({ "name": 1, "channel": "c", "data": "" }).to_string(), 400),
        ("a name of ours", json!({ "name": "pusher:x", "channel": "c", "data": "" }).to_string(), 400),
        ("a long name", json!({ "name": "n".repeat(201), "channel": "c", "data": "" }).to_string(), 400),
        ("no channel", json!({ "name": "n", "data": "" }).to_string(), 400),
        ("no name of a channel", json!({ "name": "n", "channel": "a b", "data": "" }).to_string(), 400),
        ("a hundred and one channels", channels(101), 400),
        ("data of a byte too much", event(10 * 1024 + 1), 413),
        ("a body that is far too long", event(1 << 20), 413),
    ] {
        let signed = Signed { md5: md5(body.as_bytes()), ..Signed::default() };
        let (got, words) = post(&door, &signed.query(), &body).await;
        assert_eq!(got, status, "{what}: {words}");
    }
    socket.is_quiet().await;
    for (what, count, status) in [("ten", 10, 200), ("eleven", 11, 400)] {
        let one = json!({ "name": "n", "channel": "elsewhere", "data": "" });
        let body = json!({ "batch": vec![one; count] }).to_string();
        assert_eq!(send(&door, "/apps/1/batch_events", body).await, status, "a batch of {what}");
    }
}
