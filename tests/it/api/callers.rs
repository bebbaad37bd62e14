//! Promise: whoever has a token may call, on any listener; without one only programs on this machine, by the operator's
//! own listener: no web page, in whatever way it comes.

use serde_json::{Value, json};

use super::{BASE, get, post};
use crate::harness::client::ask;
use crate::harness::socket::connect;
use crate::harness::{Door, door};

const OLD: &str = "old-old-old-old-old-old-old-old-old";
const NEW: &str = "new-new-new-new-new-new-new-new-new";
const BODY: &str = r#"{"channel": "default", "text": "hi"}"#;

async fn publish(address: std::net::SocketAddr, headers: &[(&str, &str)]) -> u16 {
    let mut headers = headers.to_vec();
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        headers.push(("content-type", "application/json"));
    }
    let answer = ask(address, "POST", &format!("{BASE}/publish"), &headers, BODY).await;
    let status = answer.status;
    if status == 401 {
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    serde_json::from_slice::<Value>(&answer.bytes().await).expect("JSON, also when it is refused");
    status
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

async fn with_token(door: &Door, token: &str) -> u16 {
    publish(door.http(), &[("authorization", &bearer(token))]).await
}

#[tokio::test]
async fn outside_a_token_is_needed_and_several_may_be_good() {
    let door = door().config(format!("[api]\ntoken = [\"{NEW}\", \"{OLD}\"]\n")).start();
    let mut ada = connect(&door, "/api/ws").await;
    assert_eq!(publish(door.http(), &[]).await, 401);
    assert_eq!(with_token(&door, "guessed").await, 401);
    assert_eq!(publish(door.http(), &[("authorization", &format!("Basic {NEW}"))]).await, 401);
    ada.is_quiet().await;
    assert_eq!((with_token(&door, NEW).await, with_token(&door, OLD).await), (200, 200));
    assert_eq!(ada.hear_json().await["data"], "hi");
    let log = door.output();
    assert!(!log.contains(NEW) && !log.contains(OLD), "{log}");
}

#[tokio::test]
async fn tokens_are_rotated_by_a_reload() {
    let folder = door();
    let file = folder.folder().join("tokens");
    std::fs::write(&file, format!("# the old one\n{OLD}\n")).unwrap();
    let door = folder.config("[api]\ntoken_file = \"tokens\"\n").start();
    assert_eq!((with_token(&door, OLD).await, with_token(&door, NEW).await), (200, 401));
    // As an editor of Windows writes it.
    std::fs::write(&file, format!("\u{feff}{NEW}\r\n{OLD}\r\n")).unwrap();
    reload(&door);
    assert_eq!((with_token(&door, OLD).await, with_token(&door, NEW).await), (200, 200));
    std::fs::write(&file, format!("{NEW}\n")).unwrap();
    reload(&door);
    assert_eq!((with_token(&door, OLD).await, with_token(&door, NEW).await), (401, 200));
    std::fs::write(&file, "short\n").unwrap();
    let seen = door.log().len();
    door.signal("HUP");
    door.wait_for_log_after(seen, |line| line["message"] == "the config is refused, the old one stays");
    assert_eq!(with_token(&door, NEW).await, 200);
}

fn reload(door: &Door) {
    let seen = door.log().len();
    door.signal("HUP");
    door.wait_for_log_after(seen, |line| line["message"] == "reloaded");
}

#[tokio::test]
async fn on_the_operators_listener_programs_need_none_and_pages_do() {
    let door = door().start();
    let admin = door.admin();
    let here = ("host", "127.0.0.1:9080");
    assert_eq!(publish(admin, &[here]).await, 200);
    assert_eq!(publish(admin, &[("host", "localhost")]).await, 200);
    for forged in [
        vec![here, ("origin", "http://127.0.0.1:9080")],
        vec![here, ("origin", "null")],
        vec![here, ("sec-fetch-site", "cross-site")],
        vec![("host", "rebound.evil.test:9080")],
    ] {
        assert_eq!(publish(admin, &forged).await, 403, "{forged:?}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        assert_eq!(publish(admin, &[here, ("content-type", kind)]).await, 415, "{kind}: what a form can send");
    }
    assert_eq!(publish(admin, &[here, ("authorization", "Bearer wrong")]).await, 401, "a bad one is worse than none");
    let preflight = ask(admin, "OPTIONS", &format!("{BASE}/publish"), &[here, ("origin", "http://a.test")], "").await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (403, String::new()));
}

#[tokio::test]
async fn it_can_be_kept_off_the_main_listeners_or_moved() {
    let app = crate::harness::App::saying("the app").await;
    let door = door()
        .config(format!("{}[api]\npublic = false\npath = \"/elsewhere\"\ntoken = \"{NEW}\"\n", app.config()))
        .start();
    let answer = ask(door.http(), "GET", "/elsewhere/connections", &[("authorization", &bearer(NEW))], "").await;
    assert_eq!(answer.bytes().await, "the app");
    let answer = ask(door.admin(), "GET", "/elsewhere/connections", &[("host", "localhost")], "").await;
    assert_eq!(answer.status, 200);
    let answer = ask(door.admin(), "GET", &format!("{BASE}/connections"), &[("host", "localhost")], "").await;
    assert_eq!(answer.status, 404);
}

#[test]
fn a_token_that_is_none_is_an_error_wherever_it_comes_from() {
    for (config, environment, words) in [
        ("[api]\ntoken = \"short\"\n", "", "a token has 32 to 512 characters"),
        ("[api]\ntoken = []\n", "", "there is no token in it"),
        ("[api]\ntoken_file = \"nowhere\"\n", "", "cannot read nowhere"),
        ("", "short", "DOORWAY_TOKEN in the environment"),
    ] {
        let making = door().config(config);
        let mut door =
            if environment.is_empty() { making.spawn() } else { making.env("DOORWAY_TOKEN", environment).spawn() };
        assert_eq!(door.wait().code(), Some(1), "{config}");
        assert!(door.output().contains(words), "{words} in {}", door.output());
    }
}

#[tokio::test]
async fn it_is_counted() {
    let door = door().start();
    post(&door, "/publish", json!({"channel": "a", "text": "x"})).await;
    get(&door, "/nothing").await;
    door.wait_for_metric("api_requests_total{operation=\"publish\",status=\"200\"}", 1.0).await;
    door.wait_for_metric("api_requests_total{operation=\"none\",status=\"404\"}", 1.0).await;
    door.wait_for_metric("api_messages_total", 1.0).await;
}
