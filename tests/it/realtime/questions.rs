//! Promise: what a handler asks of clients holds no callback, a handler that may still be at work is not run again, and
//! what goes wrong with one client's message is not held against the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::harness::socket::{connect, refused};
use crate::harness::{App, Door, door, response};

/// How often the app was asked about each text, and what replies it was told of.
#[derive(Default)]
struct Heard {
    texts: HashMap<String, usize>,
    replies: Vec<Value>,
}

/// An app whose handler of `/api/ws` fails, hangs and asks, as it is told.
async fn app() -> (App, Arc<Mutex<Heard>>) {
    let heard = Arc::<Mutex<Heard>>::default();
    let log = Arc::clone(&heard);
    let app = App::start(move |request| {
        let log = Arc::clone(&log);
        async move {
            let body = request.into_body().collect().await.expect("a whole body").to_bytes();
            let question: Value = serde_json::from_slice(&body).expect("JSON");
            let data = &question["data"];
            if question["type"] == "replies" {
                log.lock().unwrap().replies.push(data.clone());
                if data["id"] == "lost" {
                    return response(410, "");
                }
                let told = json!({"do": "send", "json": {"replies": data["id"], "results": data["results"]}});
                return response(200, json!({ "commands": [told] }).to_string());
            }
            let of = match question["type"].as_str() {
                Some("connect") => data["client"]["query"].as_str(),
                Some("subscribe") => data["channel"].as_str(),
                _ => data["text"].as_str(),
            };
            let text = of.unwrap_or_default().replace('-', " ");
            *log.lock().unwrap().texts.entry(text.clone()).or_default() += 1;
            match text.split_once(' ') {
                Some(("fail", status)) => response(status.parse().expect("a status"), ""),
                Some(("ask", id)) => {
                    let ask = json!({"do": "ask", "id": id, "name": "ready?", "to": ["lobby"], "timeout": 60_000});
                    response(200, json!({ "commands": [ask] }).to_string())
                }
                Some(("hang", _)) => std::future::pending().await,
                _ => response(200, "{}"),
            }
        }
    })
    .await;
    (app, heard)
}

fn start(app: &App, more: &str) -> Door {
    door()
        .config(format!(
            "{}[callbacks]\nevents = [\"message\"]\n{more}\n[realtime.plain]\necho = false\n[[realtime.channel]]\nmatch = \"*\"\n",
            app.config()
        ))
        .start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_a_command_and_its_replies_are_a_callback() {
    let (app, heard) = app().await;
    let door = start(&app, "");
    let mut ada = connect(&door, "/api/ws").await;
    ada.say("ask 7").await;
    // What was asked about is done, and after it the handler goes on.
    let mut said = Vec::new();
    for _ in 0..2 {
        said.push(ada.hear_json().await["data"].clone());
    }
    assert!(said.contains(&json!("ask 7")), "{said:?}");
    assert!(said.contains(&json!({"replies": "7", "results": []})), "{said:?}");
    let replies = heard.lock().unwrap().replies[0].clone();
    assert_eq!((&replies["id"], &replies["client"]["protocol"]), (&json!("7"), &json!("plain")));
    ada.say("ask lost").await;
    assert_eq!(ada.hear_json().await["data"], "ask lost");
    door.wait_for_log(|line| {
        line["message"] == "callback failed" && line["kind"] == "replies" && line["error"].to_string().contains("410")
    });
    ada.say("still here").await;
    assert_eq!(ada.hear_json().await["data"], "still here");
}

#[tokio::test]
async fn an_app_that_fails_at_one_clients_messages_is_not_away() {
    let (app, heard) = app().await;
    let door = start(&app, "breaker_failures = 3\nbreaker_pause = \"10m\"");
    let mut ada = connect(&door, "/api/ws").await;
    for status in [500, 501, 505, 507, 429].iter().cycle().take(10) {
        ada.say(&format!("fail {status}")).await;
        assert_eq!(ada.hear_json().await["error"], "unavailable");
    }
    assert_eq!(heard.lock().unwrap().texts["fail 500"], 2, "each is asked about once");
    let mut bob = connect(&door, "/api/ws").await;
    bob.say("and I?").await;
    assert_eq!(bob.hear_json().await["data"], "and I?");
    assert_eq!(door.metric("callbacks_breaker_opened_total").await, 0.0);
    assert_eq!(door.metric("callbacks_retries_total").await, 0.0);
}

#[tokio::test]
async fn an_app_that_says_it_is_away_rests() {
    let (app, heard) = app().await;
    let door = start(&app, "breaker_failures = 3\nbreaker_pause = \"10m\"\nattempts = 3\nfirst_pause = \"1ms\"");
    let mut ada = connect(&door, "/api/ws").await;
    ada.say("fail 502").await;
    assert_eq!(ada.hear_json().await["error"], "unavailable");
    assert_eq!(heard.lock().unwrap().texts["fail 502"], 3);
    door.wait_for_metric("callbacks_breaker_opened_total", 1.0).await;
}

#[tokio::test]
async fn handler_at_work_is_not_run_again_and_blocks_nobody() {
    let (app, heard) = app().await;
    let door = start(&app, "breaker_failures = 2\nbreaker_pause = \"10m\"\ntimeout = \"1s\"");
    let mut slow = Vec::new();
    for number in 0..4 {
        let mut socket = connect(&door, "/api/ws").await;
        socket.say(&format!("hang {number}")).await;
        slow.push(socket);
    }
    for socket in &mut slow {
        assert_eq!(socket.hear_json().await["error"], "unavailable");
    }
    let texts = heard.lock().unwrap().texts.clone();
    assert!((0..4).all(|number| texts[&format!("hang {number}")] == 1), "{texts:?}");
    let mut ada = connect(&door, "/api/ws").await;
    ada.say("and I?").await;
    assert_eq!(ada.hear_json().await["data"], "and I?");
    assert_eq!(door.metric("callbacks_breaker_opened_total").await, 0.0);
}

#[tokio::test]
async fn admission_is_asked_once_while_a_handler_may_work() {
    let (app, heard) = app().await;
    let config = format!(
        "{}[callbacks]\nevents = [\"connect\", \"subscribe\"]\ntimeout = \"500ms\"\nfirst_pause = \"1ms\"\n\
         [[realtime.channel]]\nmatch = \"*\"\n",
        app.config()
    );
    let door = door().config(config).start();
    assert_eq!(refused(&door, "/api/ws?hang-connect", &[]).await, 503);
    // A gateway before the app that has waited in vain says the same.
    assert_eq!(refused(&door, "/api/ws?fail-504", &[]).await, 503);
    // One that has too much to do has not said no.
    assert_eq!(refused(&door, "/api/ws?fail-429", &[]).await, 503);
    let mut ada = connect(&door, "/api/ws/hang-subscribe").await;
    assert_eq!(ada.closed().await, (1013, "try again later".to_owned()));
    let texts = heard.lock().unwrap().texts.clone();
    for text in ["hang connect", "fail 504", "fail 429", "hang subscribe"] {
        assert_eq!(texts[text], 1, "{texts:?}");
    }
    // Who comes again is asked about again.
    assert_eq!(refused(&door, "/api/ws?hang-connect", &[]).await, 503);
    assert_eq!(heard.lock().unwrap().texts["hang connect"], 2);
}

#[tokio::test]
async fn a_handler_that_the_app_itself_is_given_up_for_is_run_once() {
    let (app, heard) = app().await;
    let config = app.config() + "answer_timeout = \"300ms\"\n";
    let more = "[callbacks]\nevents = [\"message\"]\nfirst_pause = \"1ms\"\n[realtime.plain]\necho = false\n\
                [[realtime.channel]]\nmatch = \"*\"\n";
    let door = door().config(config + more).start();
    let mut ada = connect(&door, "/api/ws").await;
    ada.say("hang 0").await;
    let error = ada.hear_json().await;
    assert_eq!(error["error"], "unavailable", "{error}");
    assert_eq!(heard.lock().unwrap().texts["hang 0"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_handler_was_given_is_put_again() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(0).expect("it listens");
    let address = listener.local_addr().expect("an address");
    let (takes, mut taking) = watch::channel(true);
    let app = tokio::spawn(async move {
        loop {
            let mut stream = tokio::select! {
                Ok((stream, _)) = listener.accept(), if *taking.borrow() => stream,
                Ok(()) = taking.changed() => continue,
                else => return,
            };
            let mut some = [0; 4096];
            if stream.read(&mut some).await.is_ok_and(|read| read > 0) {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    let config = format!(
        "[app]\nurl = \"http://{address}\"\nconnect_timeout = \"200ms\"\n[callbacks]\nevents = [\"message\"]\n\
         [realtime.plain]\necho = false\n[[realtime.channel]]\nmatch = \"*\"\n"
    );
    let door = door().config(config).start();
    let mut ada = connect(&door, "/api/ws").await;
    ada.say("one").await;
    assert_eq!(ada.hear_json().await["data"], "one");
    // It takes no connection any more, and the system does not keep more of them for it.
    takes.send_replace(false);
    let mut kept = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
        kept.push(stream);
    }
    ada.say("two").await;
    let is_again = |line: &Value| {
        line["message"] == "callback will be tried again"
            && line["why"].as_str().is_some_and(|why| why.contains("did not take the connection in time"))
    };
    door.wait_for_log(is_again);
    drop(kept);
    takes.send_replace(true);
    assert_eq!(ada.hear_json().await["data"], "two");
    app.abort();
}
