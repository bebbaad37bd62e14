//! Promise: the app is asked at its own route before a client is let in, heard or told, and nobody else can pretend to
//! be the one who asks.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::harness::socket::{connect, connect_to, refused};
use crate::harness::{App, Door, PATIENCE, door, response, wire};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What the app was asked, in order.
type Asked = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

/// An app whose route answers with what `judge` says, as status and JSON.
async fn app(judge: impl Fn(&Value, usize) -> (u16, Value) + Clone + Send + Sync + 'static) -> (App, Asked) {
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    let app = App::start(move |request| {
        let (judge, log) = (judge.clone(), Arc::clone(&log));
        async move {
            let (head, body) = request.into_parts();
            if head.method != http::Method::POST || head.uri.path() != "/api/ws" {
                return response(404, "");
            }
            let body = body.collect().await.expect("a whole body").to_bytes();
            assert!(is_signed(&head.headers, &body), "{:?}", head.headers);
            assert_eq!(head.headers["x-doorway-callback"], badge().as_str(), "the door's own header");
            let question: Value = serde_json::from_slice(&body).expect("JSON");
            let count = {
                let mut log = log.lock().unwrap();
                log.push((head.headers, question.clone()));
                log.len()
            };
            let (status, answer) = judge(&question, count);
            response(status, answer.to_string())
        }
    })
    .await;
    (app, asked)
}

/// What only the door can say, as the app makes it of the secret; nothing but the secret goes into it, so that it is the
/// same after a reload and a restart of either side.
fn badge() -> String {
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").expect("a prefix")).expect("base64");
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), b"x-doorway-callback"))
}

/// As the library `standardwebhooks` does it.
fn is_signed(headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers[name].to_str().expect("text").to_owned();
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").expect("a prefix")).expect("base64");
    let signed = [format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).as_bytes(), body].concat();
    let signature = STANDARD.decode(text("webhook-signature").strip_prefix("v1,").expect("v1")).expect("base64");
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed, &signature).is_ok()
}

fn start(app: &App, events: &str, more: &str) -> Door {
    let callbacks = format!("[callbacks]\nsecret = \"{SECRET}\"\nevents = {events}\n{more}\n");
    // Where the app is asked, a channel is open to clients who come by themselves only if it is named.
    let open = "[[realtime.channel]]\nmatch = \"*\"\n";
    door().config(format!("{}{callbacks}[realtime.plain]\necho = false\n{open}", app.config())).start()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_session_cookie_authenticates_the_socket() {
    let (app, asked) = app(|question, _| match question["type"].as_str() {
        Some("connect") => (200, json!({"user": {"id": "ada", "info": {"name": "Ada"}}, "data": {"seen": 1}})),
        _ => (200, json!({})),
    })
    .await;
    let door = start(&app, r#"["connect", "message"]"#, "headers = [\"x-team\"]");
    let headers = [("cookie", "session=s3cret"), ("x-team", "blue"), ("x-other", "stays here")];
    let mut ada = connect_to(door.http(), "/api/ws/lobby?a=1", &headers).await.expect("let in");
    ada.say("hi").await;
    assert_eq!(ada.hear_json().await["data"], "hi");

    let asked = asked.lock().unwrap();
    let (head, connect) = &asked[0];
    assert_eq!((&head["cookie"], &head["x-team"]), (&"session=s3cret".parse().unwrap(), &"blue".parse().unwrap()));
    assert!(!head.contains_key("x-other"));
    let client = &connect["data"]["client"];
    assert_eq!((&client["path"], &client["query"]), (&json!("/api/ws/lobby"), &json!("a=1")));
    assert_eq!((&client["address"], &client["user"]), (&json!("127.0.0.1"), &Value::Null));
    let message = &asked[1].1;
    assert_eq!((&message["type"], &message["data"]["channel"]), (&json!("message"), &json!("lobby")));
    assert_eq!(message["data"]["text"], "hi");
    assert_eq!(message["data"]["client"]["user"], "ada");
    assert_eq!(message["data"]["client"]["data"], json!({"seen": 1}), "what the app gave comes back");
}

#[tokio::test]
async fn who_is_refused_does_not_come_in() {
    let (app, _) = app(|question, _| match question["data"]["client"]["query"].as_str() {
        Some("who=banned") => (200, json!({"allow": false, "code": 451, "reason": "not here"})),
        Some("who=unknown") => (401, json!({})),
        Some("who=late") => (200, json!({"channels": ["no\u{1}name"]})),
        _ => (200, json!("nonsense")),
    })
    .await;
    let door = start(&app, r#"["connect"]"#, "");
    assert_eq!(refused(&door, "/api/ws?who=banned", &[]).await, 451);
    assert_eq!(refused(&door, "/api/ws?who=unknown", &[]).await, 403);
    assert_eq!(refused(&door, "/api/ws?who=late", &[]).await, 503, "an answer that makes no sense is no consent");
    assert_eq!(refused(&door, "/api/ws?who=anybody", &[]).await, 503);
}

#[tokio::test]
async fn nobody_outside_can_call_the_apps_route() {
    let (app, asked) = app(|_, _| (200, json!({}))).await;
    let door = start(&app, r#"["connect"]"#, "");
    for path in ["/api/ws", "/api/ws/", "//api//ws", "/api/%77s", "/API/ws"] {
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}");
        // A form of a Server Action goes to any page of the app; this is none.
        let action = request.replace("Host:", "Next-Action: 0123456789abcdef\r\nHost:");
        let multipart = action.replace("Host:", "Content-Type: multipart/form-data; boundary=x\r\nHost:");
        for request in [request, action, multipart] {
            let answer = wire::exchange(door.http(), &request).await;
            assert!(matches!(wire::status(&answer), 403 | 405), "{request}: {answer}");
        }
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_the_door_does_not_call_is_the_apps_own() {
    let app = App::start(|request| async move { response(200, request.uri().path().to_owned()) }).await;
    for (events, more, path, status) in [
        (r#"["connect"]"#, "path = \"/hooks/door\"", "/hooks/door", 403),
        (r#"["connect"]"#, "path = \"/hooks/door\"", "/hooks", 200),
        (r#"["connect"]"#, "path = \"/hooks/door\"", "/API/ws", 200),
        ("[]", "path = \"/hooks/door\"", "/hooks/door", 200),
        // Asked elsewhere, it has no such route behind the door.
        (r#"["connect"]"#, "url = \"http://127.0.0.1:9/api/ws\"", "/API/ws", 200),
    ] {
        let door = start(&app, events, more);
        let answer = wire::exchange(door.http(), &format!("GET {path} HTTP/1.0\r\nHost: a.test\r\n\r\n")).await;
        assert_eq!(wire::status(&answer), status, "{events} {more} {path}: {answer}");
        assert_eq!(answer.ends_with(path), status == 200, "{answer}");
    }
}

#[tokio::test]
async fn a_message_is_moderated_replaced_and_answered_with_commands() {
    let (app, _) = app(|question, _| match question["data"]["text"].as_str() {
        Some("rude") => (200, json!({"allow": false, "reason": "mind your words"})),
        Some("loud") => (200, json!({"replace": {"text": "quiet"}})),
        Some("order") => {
            let commands = json!([
                {"do": "send", "text": "one"}, {"do": "publish", "channel": "default", "text": "two", "echo": false},
                {"do": "publish", "channel": "default", "json": {"n": 3}}, {"do": "disconnect", "code": 4001, "reason": "bye"}]);
            (200, json!({"commands": commands}))
        }
        _ => (200, Value::Null),
    })
    .await;
    let door = start(&app, r#"["message"]"#, "");
    let mut ada = connect(&door, "/api/ws").await;
    let mut bob = connect(&door, "/api/ws").await;
    ada.say("rude").await;
    let error = ada.hear_json().await;
    assert_eq!((&error["type"], &error["message"]), (&json!("error"), &json!("mind your words")), "{error}");
    ada.say("loud").await;
    assert_eq!(ada.hear_json().await["data"], "quiet");
    assert_eq!(bob.hear_json().await["data"], "quiet", "the rude one never came");
    ada.say("order").await;
    assert_eq!(ada.hear_json().await["data"], "order");
    assert_eq!(ada.hear_json().await["data"], "one");
    assert_eq!(ada.hear_json().await["data"]["n"], 3);
    assert_eq!(ada.closed().await, (4001, "bye".to_owned()));
    assert_eq!(bob.hear_json().await["data"], "order");
    assert_eq!(bob.hear_json().await["data"], "two");
    assert_eq!(bob.hear_json().await["data"]["n"], 3);
}

#[tokio::test]
async fn messages_wait_for_an_app_that_fails_and_keep_their_order() {
    let (app, asked) = app(|_, count| if count <= 3 { (503, json!({})) } else { (200, json!({})) }).await;
    let door = start(&app, r#"["message"]"#, "");
    let mut ada = connect(&door, "/api/ws").await;
    for number in 0..20 {
        ada.say(&number.to_string()).await;
    }
    for number in 0..20 {
        assert_eq!(ada.hear_json().await["data"], number.to_string());
    }
    let asked = asked.lock().unwrap();
    let ids: Vec<_> = asked.iter().map(|(head, _)| head["webhook-id"].clone()).collect();
    assert!(ids[..4].iter().all(|id| *id == ids[0]), "the same question has the same id: {ids:?}");
    let different: HashSet<_> = ids[3..].iter().map(|id| id.to_str().expect("text")).collect();
    assert!(different.len() == 20 && different.iter().all(|id| id.starts_with("msg_")), "{ids:?}");
    assert_eq!(asked.len(), 23);
}

#[tokio::test]
async fn a_message_that_cannot_be_judged_is_reported_to_its_sender() {
    let (app, asked) = app(|_, _| (503, json!({}))).await;
    for (more, attempts) in [
        ("attempts = 2\nfirst_pause = \"10ms\"", 2),
        // No pause is begun that lasts longer than anybody waits.
        ("first_pause = \"1h\"", 3),
    ] {
        let door = start(&app, r#"["message"]"#, more);
        let mut ada = connect(&door, "/api/ws").await;
        ada.say("hello?").await;
        let error = ada.hear_json().await;
        assert_eq!((&error["type"], &error["error"]), (&json!("error"), &json!("unavailable")), "{error}");
        assert_eq!(asked.lock().unwrap().len(), attempts);
        ada.is_quiet().await;
    }
}

#[tokio::test]
async fn the_apps_consent_is_no_right_to_flood() {
    let (app, asked) = app(|_, _| (200, json!({}))).await;
    let channel = "[[realtime.channel]]\nmatch = \"*\"\npublish_rate = 1";
    let door = start(&app, r#"["message"]"#, channel);
    let mut ada = connect(&door, "/api/ws").await;
    for _ in 0..8 {
        ada.say("x").await;
    }
    let mut refused = 0;
    for _ in 0..8 {
        refused += usize::from(ada.hear_json().await["error"] == "too_many");
    }
    assert!((1..=7).contains(&refused), "{refused}");
    assert_eq!(asked.lock().unwrap().len(), 8 - refused, "nobody is asked about what is too much");
}

#[tokio::test]
async fn a_huge_answer_and_a_hanging_one_do_not_hold_the_hub() {
    let (app, _) = app(|question, _| match question["data"]["text"].as_str() {
        Some("huge") => (200, json!({"reason": "x".repeat(4096)})),
        _ => (200, json!({})),
    })
    .await;
    let door = start(&app, r#"["message"]"#, "max_answer = \"1KiB\"");
    let mut ada = connect(&door, "/api/ws").await;
    let mut bob = connect(&door, "/api/ws").await;
    ada.say("huge").await;
    assert_eq!(ada.hear_json().await["error"], "unavailable");
    bob.say("small").await;
    assert_eq!(ada.hear_json().await["data"], "small");
    door.wait_for_log(|line| line["message"] == "callback failed");
}

#[tokio::test]
async fn the_app_hears_that_a_client_is_gone_even_if_it_was_away() {
    let (app, asked) = app(|_, count| match count {
        1 => (429, json!({})),
        2 => (500, json!({})),
        _ => (204, Value::Null),
    })
    .await;
    let door = start(&app, r#"["disconnect"]"#, "");
    let ada = connect(&door, "/api/ws").await;
    drop(ada);
    until("three attempts", || asked.lock().unwrap().len() >= 3).await;
    let (_, last) = asked.lock().unwrap()[2].clone();
    assert_eq!(last["type"], "disconnect");
    assert_eq!(last["data"]["reason"], "lost");
}

#[tokio::test]
async fn callbacks_choose_channels_by_pattern_and_refuse_with_a_code() {
    let (app, asked) = app(|_, _| (200, json!({"allow": false, "code": 4403, "reason": "members only"}))).await;
    let door = start(&app, r#"["subscribe"]"#, "channels = [\"private-*\"]");
    let mut open = connect(&door, "/api/ws/lobby").await;
    open.is_quiet().await;
    assert!(asked.lock().unwrap().is_empty());
    let mut shut = connect(&door, "/api/ws/private-1").await;
    assert_eq!(shut.closed().await, (4403, "members only".to_owned()));
    assert_eq!(asked.lock().unwrap()[0].1["data"]["channel"], "private-1");
}
