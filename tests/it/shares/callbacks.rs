//! Promise: one address cannot take all turns at the app's callback, nor all questions that handlers may ask of clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::realtime::{GREEDY, OTHER, is_served, open, recoverable};
use crate::harness::raw::eventually;
use crate::harness::{App, Door, door, response};

fn start(app: &App, callbacks: &str, realtime: &str) -> Door {
    let listen = "[listen]\ntrusted_proxies = [\"127.0.0.1\"]";
    let channel = "[[realtime.channel]]\nmatch = \"*\"";
    let events = if callbacks.contains("events") { "" } else { "events = [\"message\"]" };
    let config = format!("{listen}\n[callbacks]\n{events}\n{callbacks}\n[realtime]\n{realtime}\n{channel}\n");
    door().config(format!("{}{config}", app.config())).start()
}

#[tokio::test]
async fn questions_to_the_app_of_one_address_hold_nobody_up() {
    let held = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&held);
    let app = App::start(move |request| {
        let count = Arc::clone(&count);
        async move {
            let body = request.into_body().collect().await.expect("a whole body").to_bytes();
            let question: Value = serde_json::from_slice(&body).expect("JSON");
            if question["data"]["text"] == "hold" {
                count.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
            response(200, "{}")
        }
    })
    .await;
    let door = start(&app, "concurrency = 4\nmax_waiting = 16", "");
    let mut greedy = Vec::new();
    for n in 0..24 {
        let mut socket = open(&door, GREEDY, &format!("/api/ws/held-{n}")).await;
        socket.say("hold").await;
        greedy.push(socket);
    }
    eventually("its share is under way", || held.load(Ordering::Relaxed) == 2).await;
    let _other = is_served(&door, OTHER, "/api/ws/own").await;
    assert_eq!(held.load(Ordering::Relaxed), 2, "the others of the greedy one wait, or were refused");
}

/// An app that asks a client what it is told to, as in `ask 7 SID`, and tells whoever said so of the replies; and how many
/// of those that were to be asked were not.
async fn asking_app() -> (App, Arc<AtomicUsize>) {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    let app = App::start(move |request| {
        let count = Arc::clone(&count);
        async move {
            let body = request.into_body().collect().await.expect("a whole body").to_bytes();
            let question: Value = serde_json::from_slice(&body).expect("JSON");
            let data = &question["data"];
            let command = if question["type"] == "replies" {
                count.fetch_add(usize::from(data["error"].is_string()), Ordering::Relaxed);
                json!({"do": "send", "json": {"replies": data["results"]}})
            } else {
                let text = data["text"].as_str().unwrap_or_default();
                let mut words = text.split(' ').skip(1);
                json!({"do": "ask", "id": words.next(), "name": "ready?", "to": [words.next()], "timeout": 60_000})
            };
            response(200, json!({ "commands": [command] }).to_string())
        }
    })
    .await;
    (app, refused)
}

#[tokio::test]
async fn one_addresss_questions_leave_some_for_another() {
    let (app, refused) = asking_app().await;
    let door = start(&app, "", "max_questions = 8\n[[realtime.socketio]]\nrecovery = \"1m\"");
    let (_silent, sid, _) = recoverable(&door, GREEDY, "").await;
    let mut greedy = Vec::new();
    for n in 0..8 {
        let mut socket = open(&door, GREEDY, &format!("/api/ws/held-{n}")).await;
        socket.say(&format!("ask {n} {sid}")).await;
        greedy.push(socket);
    }
    eventually("a half is refused", || refused.load(Ordering::Relaxed) == 4).await;
    let (mut ready, sid, _) = recoverable(&door, OTHER, "").await;
    let mut other = open(&door, OTHER, "/api/ws/own").await;
    other.say(&format!("ask own {sid}")).await;
    let question = ready.hear().await;
    let number: String = question[2..].chars().take_while(char::is_ascii_digit).collect();
    ready.say(&format!("43{number}[\"I do\"]")).await;
    loop {
        let heard = other.hear_json().await;
        if heard["data"]["replies"].is_array() {
            assert!(heard["data"]["replies"][0].to_string().contains("I do"), "{heard}");
            return;
        }
    }
}

#[tokio::test]
async fn reports_of_one_address_leave_places_for_those_of_another() {
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let app = App::start(move |request| {
        let count = Arc::clone(&count);
        async move {
            let body = request.into_body().collect().await.expect("a whole body").to_bytes();
            let report: Value = serde_json::from_slice(&body).expect("JSON");
            if report["data"]["client"]["address"] == GREEDY {
                std::future::pending::<()>().await;
            }
            count.fetch_add(1, Ordering::Relaxed);
            response(200, "{}")
        }
    })
    .await;
    let door = start(&app, "events = [\"disconnect\"]\nconcurrency = 8\nmax_waiting = 4", "");
    for _ in 0..20 {
        drop(open(&door, GREEDY, "/api/ws/left").await);
    }
    door.wait_for_metric("hub_connections", 0.0).await;
    drop(open(&door, OTHER, "/api/ws/left").await);
    eventually("the app hears of the other", || heard.load(Ordering::Relaxed) == 1).await;
    assert!(door.metric("callbacks_reports_lost_total").await >= 16.0, "what was dropped is counted");
    let is_said =
        |line: &&Value| line["message"].as_str().is_some_and(|said| said.contains("report to the app is dropped"));
    assert_eq!(door.log().iter().filter(is_said).count(), 1, "and said, once a minute at most");
}
