//! Promise: SIGHUP of any section takes effect at once, for what is there already as for what comes; and a config that
//! is refused changes nothing of it.

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::harness::certificate::Authority;
use crate::harness::client::{Answer, get};
use crate::harness::raw::eventually;
use crate::harness::socket::{connect, connect_to};
use crate::harness::{App, Door, door, response};
use crate::pusher::app::{enter, subscribe};

/// Makes any config one that is refused.
const WRONG: &str = "[drain]\ntimeout = 5\n";

/// Another config, and what became of it.
fn reload(door: &Door, config: &str, message: &str) {
    door.rewrite(config);
    let seen = door.log().len();
    door.signal("HUP");
    door.wait_for_log_after(seen, |line| line["message"] == message);
}

fn taken(door: &Door, config: &str) {
    reload(door, config, "reloaded");
}

fn refused(door: &Door, config: &str) {
    reload(door, &format!("{config}{WRONG}"), "the config is refused, the old one stays");
}

/// Asks for a page from `door`, which answers as `is` says before `config` holds and otherwise after.
async fn turns(door: &Door, config: &str, headers: &[(&str, &str)], is: impl Fn(&Answer) -> bool) {
    assert!(!is(&get(door.http(), "/", headers).await), "before");
    refused(door, config);
    assert!(!is(&get(door.http(), "/", headers).await), "refused");
    taken(door, config);
    assert!(is(&get(door.http(), "/", headers).await), "taken");
}

#[tokio::test]
async fn https() {
    let app = App::saying("a page").await;
    let builder = door();
    let files = Authority::new().issue(&["site.test"]).write(builder.folder(), "own");
    let config = format!("[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\n{}{}", files.keys(), app.config());
    let door = builder.config(format!("{config}[https]\nredirect = false\n")).start();
    turns(&door, &format!("{config}[https]\nredirect = true\n"), &[], |answer| answer.status == 308).await;
}

#[tokio::test]
async fn compress() {
    let app = App::start(|_| async {
        let mut answer = response(200, "compress me, please. ".repeat(500));
        answer.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
        answer
    })
    .await;
    let door = door().config(app.config() + "[compress]\nenabled = false\n").start();
    let config = app.config() + "[compress]\nenabled = true\nencodings = [\"gzip\"]\n";
    turns(&door, &config, &[("accept-encoding", "gzip")], |answer| answer.header("content-encoding") == "gzip").await;
}

#[tokio::test]
async fn cache() {
    let app = App::saying("a page").await;
    let door = door().config(app.config()).start();
    let config = app.config() + "[cache]\npaths = [\"/\"]\n";
    turns(&door, &config, &[], |answer| !answer.header("cache-status").is_empty()).await;
}

#[tokio::test]
async fn http_hosts() {
    let app = App::saying("a page").await;
    let door = door().config(app.config()).start();
    let config = app.config() + "[http]\nhosts = [\"other.test\"]\n";
    turns(&door, &config, &[], |answer| answer.status == 421).await;
}

#[tokio::test]
async fn http_heads() {
    let app = App::saying("a page").await;
    let door = door().config(app.config()).start();
    let config = app.config() + "[http]\nmax_headers = 4\n";
    let headers = [("x-1", "1"), ("x-2", "2"), ("x-3", "3"), ("x-4", "4")];
    turns(&door, &config, &headers, |answer| answer.status == 431).await;
}

#[tokio::test]
async fn trusted_proxies() {
    let app = App::start(|request| async move {
        response(200, request.headers()["x-forwarded-for"].to_str().expect("text").to_owned())
    })
    .await;
    let door = door().config(app.config()).start();
    let trusting = |app: &App| format!("{}[listen]\ntrusted_proxies = [\"127.0.0.0/8\"]\n", app.config());
    let said = [("x-forwarded-for", "203.0.113.7")];
    for (config, is_trusted, is_right) in [
        (app.config(), false, true),
        (trusting(&app), false, false),
        (trusting(&app), true, true),
        (app.config(), false, true),
    ] {
        if is_right {
            taken(&door, &config)
        } else {
            refused(&door, &config)
        }
        let seen = get(door.http(), "/", &said).await.bytes().await;
        let seen = String::from_utf8(seen.to_vec()).unwrap();
        assert_eq!(seen.starts_with("203.0.113.7"), is_trusted, "{seen}");
    }
}

#[tokio::test]
async fn callbacks() {
    let app = App::start(|_| async { response(200, json!({ "allow": false }).to_string()) }).await;
    // A channel that is named is open to whom nobody is asked about.
    let open = app.config() + "[[realtime.channel]]\nmatch = \"*\"\n";
    let asking = open.clone() + "[callbacks]\nevents = [\"connect\"]\n";
    let door = door().config(&open).start();
    let comes_in = || async { connect_to(door.http(), "/api/ws", &[]).await.is_ok() };
    assert!(comes_in().await, "nobody is asked");
    refused(&door, &asking);
    assert!(comes_in().await, "refused");
    taken(&door, &asking);
    assert!(!comes_in().await, "the app is asked, and says no");
    taken(&door, &open);
    assert!(comes_in().await, "nobody is asked again");
}

/// Who said something before speaks under the new policy with its next word, in a channel that is there.
#[tokio::test]
async fn policies_of_channels_that_exist() {
    let plain = "[realtime.plain]\necho = false\n";
    let door = door().config(plain).start();
    let (mut ada, mut bob) = (connect(&door, "/api/ws/news").await, connect(&door, "/api/ws/news").await);
    ada.say("one").await;
    assert_eq!(bob.hear_json().await["data"], "one");
    let silent = format!("{plain}[[realtime.channel]]\nmatch = \"news\"\npublish = \"app\"\n");
    refused(&door, &silent);
    ada.say("two").await;
    assert_eq!(
        (bob.hear_json().await["data"].clone(), ada.hear_json().await["data"].clone()),
        ("two".into(), "one".into())
    );
    assert_eq!(ada.hear_json().await["data"], "two");
    taken(&door, &silent);
    ada.say("three").await;
    assert_eq!(ada.hear_json().await["type"], "error", "no longer");
    taken(&door, plain);
    ada.say("four").await;
    assert_eq!(bob.hear_json().await["data"], "four", "and nothing in between");
}

/// For sockets that come: those that are there keep what they were promised.
#[tokio::test]
async fn websocket_limits() {
    let plain = "[realtime.plain]\necho = false\n";
    let door = door().config(plain).start();
    let small = format!("{plain}[realtime.websocket]\nmax_message = \"100B\"\n");
    let long = "x".repeat(200);
    let mut old = connect(&door, "/api/ws").await;
    refused(&door, &small);
    let mut same = connect(&door, "/api/ws").await;
    same.say(&long).await;
    assert_eq!(old.hear_json().await["data"], long.as_str());
    taken(&door, &small);
    let mut new = connect(&door, "/api/ws").await;
    new.say(&long).await;
    assert_eq!(new.closed().await.0, 1009);
}

#[tokio::test]
async fn receivers_of_webhooks() {
    let receiver = || async {
        let told = Arc::new(Mutex::new(Vec::<String>::new()));
        let kept = Arc::clone(&told);
        let app = App::start(move |request| {
            let told = Arc::clone(&told);
            async move {
                let body = request.into_body().collect().await.expect("a body").to_bytes();
                let post: Value = serde_json::from_slice(&body).expect("JSON");
                let channels = post["events"].as_array().expect("a list").iter();
                told.lock().unwrap().extend(channels.map(|event| event["channel"].as_str().unwrap().to_owned()));
                response(200, "")
            }
        })
        .await;
        (app, kept)
    };
    let ((first, to_first), (second, to_second)) = (receiver().await, receiver().await);
    let hooked = |app: &App| {
        format!(
            "[[realtime.pusher]]\nid = \"1\"\nkey = \"app-key\"\nsecret = \"app-secret\"\n\
             [[realtime.pusher.webhooks]]\nurl = \"http://{}/hook\"\n",
            app.address
        )
    };
    let door = door().config(hooked(&first)).start();
    let (mut socket, _) = enter(&door).await;
    let mut told = Vec::new();
    for (channel, config, reload) in [
        ("one", None, false),
        ("two", Some(hooked(&second)), false),
        ("three", Some(hooked(&second)), true),
        ("four", Some(hooked(&first)), true),
    ] {
        match config {
            Some(config) if reload => taken(&door, &config),
            Some(config) => refused(&door, &config),
            None => {}
        }
        socket.say(&subscribe(channel, "")).await;
        assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded");
        let is_told = |log: &Mutex<Vec<String>>| log.lock().unwrap().iter().any(|known| known == channel);
        eventually(channel, || is_told(&to_first) || is_told(&to_second)).await;
        told.push((channel, is_told(&to_first), is_told(&to_second)));
    }
    assert_eq!(told, [("one", true, false), ("two", true, false), ("three", false, true), ("four", true, false)]);
}
