//! Promise: a request of an app's server is believed if it is signed, lately, for itself; anything else gets a status.

use serde_json::{Value, json};

use super::app::{data, enter, md5, now, pusher, sign, subscribe};
use crate::harness::Door;
use crate::harness::client::ask;
use crate::harness::socket::Socket;

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

/// Asks at `path` with these parameters too, in the order in which they are signed, which is that of their names.
async fn get(door: &Door, path: &str, parameters: &[(&str, &str)]) -> (u16, String) {
    let time = now().to_string();
    let signed = [("auth_key", "app-key"), ("auth_timestamp", &time), ("auth_version", "1.0")];
    let mut pairs: Vec<_> = signed.iter().chain(parameters).collect();
    pairs.sort_unstable();
    let query = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let signature = sign("app-secret", &format!("GET\n{path}\n{query}"));
    let answer = ask(door.http(), "GET", &format!("{path}?{query}&auth_signature={signature}"), &[], "").await;
    let status = answer.status;
    (status, String::from_utf8(answer.bytes().await.to_vec()).expect("UTF-8"))
}

#[tokio::test]
async fn a_signature_holds_over_the_path_as_it_was_sent() {
    let door = pusher("");
    for path in [
        "/apps/1/channels/a%40b%3Bc",
        "/apps/1/channels/a@b;c",
        "/apps/1/channels/%61%2D",
        "/apps/1//channels/a",
        "/api/ws/apps/1/channels/a%40b",
    ] {
        assert_eq!(get(&door, path, &[]).await, (200, r#"{"occupied":false}"#.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_name_is_said() {
    let door = pusher("");
    let long = format!("/apps/1/channels/{}", "x".repeat(201));
    for (path, words) in [
        ("/apps/1/channels/a%20b", "letters, digits"),
        ("/apps/1/channels/%C3%A4", "letters, digits"),
        (&long, "1 to 200 characters"),
        ("/apps/1/channels/%23server-to-user-/users", "1 to 128 bytes"),
    ] {
        let (status, said) = get(&door, path, &[]).await;
        assert!(status == 400 && said.contains(words), "{path}: {status} {said}");
    }
}

/// Joins a presence channel as this user.
async fn join(socket: &mut Socket, id: &str, channel: &str, user: &str) {
    let member = json!({ "user_id": user, "user_info": { "name": user } }).to_string();
    let auth = format!("app-key:{}", sign("app-secret", &format!("{id}:{channel}:{member}")));
    let data = json!({ "channel": channel, "auth": auth, "channel_data": member });
    socket.say(&json!({ "event": "pusher:subscribe", "data": data }).to_string()).await;
    assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded");
}

#[tokio::test]
async fn what_is_in_the_channels_is_told_as_it_was_asked_for() {
    let door = pusher("");
    let asked = async |path: &str, parameters: &[(&str, &str)]| get(&door, path, parameters).await;
    assert_eq!(asked("/apps/1/channels", &[]).await, (200, r#"{"channels":{}}"#.into()));
    let (mut una, una_id) = enter(&door).await;
    let (mut otto, otto_id) = enter(&door).await;
    una.say(&subscribe("news", "")).await;
    assert_eq!(una.hear_json().await["event"], "pusher_internal:subscription_succeeded");
    join(&mut una, &una_id, "presence-a", "una").await;
    join(&mut otto, &otto_id, "presence-a", "otto").await;
    join(&mut otto, &otto_id, "presence-b", "otto").await;

    let all = r#"{"channels":{"news":{},"presence-a":{},"presence-b":{}}}"#;
    assert_eq!(asked("/apps/1/channels", &[]).await, (200, all.into()));
    let some = r#"{"channels":{"presence-a":{"subscription_count":2,"user_count":2}}}"#;
    let info = ("info", "user_count,subscription_count");
    assert_eq!(asked("/apps/1/channels", &[("filter_by_prefix", "presence-a"), info]).await, (200, some.into()));
    assert_eq!(asked("/apps/1/channels", &[("filter_by_prefix", "none")]).await, (200, r#"{"channels":{}}"#.into()));

    let one = r#"{"occupied":true,"user_count":2}"#;
    assert_eq!(asked("/apps/1/channels/presence-a", &[("info", "user_count")]).await, (200, one.into()));
    assert_eq!(asked("/apps/1/channels/news", &[]).await, (200, r#"{"occupied":true}"#.into()));
    assert_eq!(asked("/apps/1/channels/empty", &[]).await, (200, r#"{"occupied":false}"#.into()));
    let (status, users) = asked("/apps/1/channels/presence-a/users", &[]).await;
    assert_eq!(status, 200);
    let users: Value = serde_json::from_str(&users).expect("JSON");
    let mut ids: Vec<_> = users["users"].as_array().expect("a list").iter().map(|user| user["id"].as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [Some("otto"), Some("una")]);

    for (path, parameters, status) in [
        ("/apps/1/channels", &[("info", "user_count")][..], 400),
        ("/apps/1/channels", &[("info", "weather")], 400),
        ("/apps/1/channels/news", &[("info", "user_count")], 400),
        ("/apps/1/channels/news/users", &[], 400),
        ("/apps/1/channels/no%20channel", &[], 400),
        ("/apps/1/channels/%FF", &[], 400),
        ("/apps/1/weather", &[], 404),
        ("/apps/1/events", &[], 404),
        ("/apps/2/channels", &[("auth_signature", "none")], 404),
    ] {
        let (got, words) = asked(path, parameters).await;
        assert_eq!(got, status, "{path} {parameters:?}: {words}");
    }
    drop(otto);
    let mut left = String::new();
    while left != r#"{"channels":{"news":{},"presence-a":{}}}"# {
        left = asked("/apps/1/channels", &[]).await.1;
    }
}

#[tokio::test]
async fn a_user_is_put_out_wherever_it_is_and_nobody_else() {
    let door = pusher("");
    let sign_in = async |user: &str| {
        let (mut socket, id) = enter(&door).await;
        let who = json!({ "id": user }).to_string();
        let auth = format!("app-key:{}", sign("app-secret", &format!("{id}::user::{who}")));
        let data = json!({ "auth": auth, "user_data": who });
        socket.say(&json!({ "event": "pusher:signin", "data": data }).to_string()).await;
        assert_eq!(socket.hear_json().await["event"], "pusher:signin_success");
        socket
    };
    let (mut una, mut again, mut otto) = (sign_in("una").await, sign_in("una").await, sign_in("otto").await);
    assert_eq!(send(&door, "/apps/1/users/nobody/terminate_connections", String::new()).await, 200);
    assert_eq!(send(&door, "/apps/1/users/una/terminate_connections", String::new()).await, 200);
    for socket in [&mut una, &mut again] {
        let error = socket.hear_json().await;
        assert_eq!((&error["event"], &data(&error)["code"]), (&json!("pusher:error"), &json!(4009)));
        assert_eq!(socket.closed().await.0, 4009);
    }
    otto.is_quiet().await;
    // As the stock client does once it has signed in.
    otto.say(&subscribe("#server-to-user-otto", "")).await;
    assert_eq!(otto.hear_json().await["event"], "pusher_internal:subscription_succeeded");
    assert_eq!(send(&door, "/apps/1/users/otto/events", json!({ "name": "n", "data": "d" }).to_string()).await, 200);
    let heard = otto.hear_json().await;
    assert_eq!((&heard["event"], &heard["data"]), (&json!("n"), &json!("d")));
}

/// Sends `body`, signed, to `path`.
async fn send(door: &Door, path: &str, body: String) -> u16 {
    let query = Signed { md5: md5(body.as_bytes()), path, ..Signed::default() }.query();
    ask(door.http(), "POST", &format!("{path}?{query}"), &[], body).await.status
}

/// A batch, and an event for many channels, are many messages at once for whoever is in all of them.
#[tokio::test]
async fn largest_batch_reaches_readers_with_small_outboxes() {
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
async fn bad_events_get_their_status_and_reach_nobody() {
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
