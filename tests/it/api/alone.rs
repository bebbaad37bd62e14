//! Promise: Doorway is a hub without any app behind it, and asks one elsewhere where the config names it.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{get as look, post};
use crate::harness::certificate::Authority;
use crate::harness::client::get;
use crate::harness::socket::{connect, refused};
use crate::harness::{App, door, response};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test]
async fn without_an_app_the_hub_is_there_and_all_else_is_not() {
    let door = door().config("[app]\nurl = \"off\"\n[realtime.plain]\necho = false\n").start();
    let answer = get(door.admin(), "/health/ready", &[("host", "localhost")]).await;
    assert_eq!(answer.status, 200, "it is ready without one");
    for path in ["/", "/about", "/_next/static/x.js", "/api/other"] {
        assert_eq!(get(door.http(), path, &[]).await.status, 404, "{path}");
    }
    let page = get(door.http(), "/", &[("accept", "text/html")]).await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert_eq!(refused(&door, "/other", &[]).await, 404);
    let mut socket = connect(&door, "/api/ws/lobby").await;
    post(&door, "/publish", json!({"channel": "lobby", "text": "hi"})).await;
    assert_eq!(socket.hear_json().await["data"], "hi");
    assert!(door.log().iter().any(|line| line["message"] == "ready" && line["app"] == "no app"));
}

#[tokio::test]
async fn an_app_can_come_and_go_by_a_reload() {
    let app = App::saying("the app").await;
    let door = door().config("[app]\nurl = \"off\"\n").start();
    let reload = |config: &str| {
        let seen = door.log().len();
        door.rewrite(config);
        door.signal("HUP");
        door.wait_for_log_after(seen, |line| line["message"] == "reloaded");
    };
    assert_eq!(get(door.http(), "/", &[]).await.status, 404);
    reload(&app.config());
    assert_eq!(get(door.http(), "/", &[]).await.bytes().await, "the app");
    reload("[app]\nurl = \"off\"\n");
    assert_eq!(get(door.http(), "/", &[]).await.status, 404);
    assert_eq!(get(door.admin(), "/health/ready", &[("host", "localhost")]).await.status, 200);
}

#[test]
fn callbacks_need_an_app() {
    let problems =
        |text: &str| doorway::config::Config::parse("proxy.toml", text).err().map(|problems| problems.to_string());
    let off = "[app]\nurl = \"off\"\n[callbacks]\nevents = [\"connect\"]\n";
    assert!(problems(off).is_some_and(|text| text.contains("there is no app to ask")));
    assert_eq!(problems(&format!("{off}url = \"https://app.test/api/ws\"\n")), None);
    assert!(problems(&format!("{off}url = \"app.test\"\n")).is_some_and(|text| text.contains("callbacks.url must be")));
    let both = "[callbacks]\nurl = \"https://app.test/api/ws\"\npath = \"/x\"\n";
    assert!(problems(both).is_some_and(|text| text.contains("exclude each other")));
}

/// Where the app is asked, a channel is open to clients who come by themselves only if it is named.
const OPEN: &str = "[[realtime.channel]]\nmatch = \"*\"\n";

type Asked = Arc<Mutex<Vec<(http::HeaderMap, String)>>>;

async fn app() -> (App, Asked) {
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    let app = App::start(move |request| {
        let log = Arc::clone(&log);
        async move {
            let (head, body) = request.into_parts();
            let body = http_body_util::BodyExt::collect(body).await.expect("a body").to_bytes();
            let question: Value = serde_json::from_slice(&body).unwrap_or_default();
            log.lock().unwrap().push((head.headers, format!("{} {} {}", head.method, head.uri, question["type"])));
            response(200, json!({"user": "ada"}).to_string())
        }
    })
    .await;
    (app, asked)
}

#[tokio::test]
async fn an_app_elsewhere_is_asked_over_one_kept_connection() {
    let (app, asked) = app().await;
    let callbacks = format!(
        "[callbacks]\nevents = [\"connect\", \"message\"]\nsecret = \"{SECRET}\"\nurl = \"http://{}/hooks/hub?x=1\"\n",
        app.address
    );
    let door =
        door().config(format!("[app]\nurl = \"off\"\n[realtime.plain]\necho = false\n{OPEN}{callbacks}")).start();
    let mut socket = connect(&door, "/api/ws/lobby").await;
    for _ in 0..5 {
        socket.say("hi").await;
        assert_eq!(socket.hear_json().await["data"], "hi");
    }
    assert_eq!(look(&door, "/users/ada").await.json["connections"].as_array().map(Vec::len), Some(1));
    let asked = asked.lock().unwrap();
    assert_eq!((asked.len(), asked[0].1.as_str()), (6, "POST /hooks/hub?x=1 \"connect\""));
    assert_eq!(asked[0].0["host"], app.address.to_string().as_str());
    assert!(asked[0].0.contains_key("webhook-signature"));
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn remote_app_is_asked_over_verified_tls() {
    let (app, asked) = app().await;
    let making = door();
    let authority = Authority::new();
    let files = authority.issue(&["localhost"]).write(making.folder(), "front");
    let trusted = making.folder().join("authority.pem");
    std::fs::write(&trusted, &authority.pem).expect("a file");
    let front = format!(
        "[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\n{}{}[realtime]\npath = \"/elsewhere\"\n",
        files.keys(),
        app.config()
    );
    let front = making.config(front).start();
    let callbacks = format!(
        "[app]\nurl = \"off\"\n{OPEN}[callbacks]\nevents = [\"connect\"]\nattempts = 2\nfirst_pause = \"10ms\"\nurl = \"https://localhost:{}/api/ws\"\n",
        front.https().port()
    );
    let trusting = door().config(callbacks.clone()).env("SSL_CERT_FILE", trusted.display().to_string()).start();
    connect(&trusting, "/api/ws").await;
    assert_eq!(asked.lock().unwrap().len(), 1);
    let suspicious = door().config(callbacks).start();
    assert_eq!(refused(&suspicious, "/api/ws", &[]).await, 503);
    assert_eq!(asked.lock().unwrap().len(), 1);
    suspicious.wait_for_log(|line| line["why"].as_str().is_some_and(|why| why.contains("certificate")));
}
