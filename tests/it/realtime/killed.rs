//! Promise: sessions that are torn off and an app that misbehaves leave the hub as it was: nobody stays behind, every
//! place is given back, and numbers and log say what happened.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::harness::socket::{connect, connect_to, refused};
use crate::harness::{App, Door, door, response, streamed};

const ROOM: &str =
    "[[realtime.channel]]\nmatch = \"room\"\npresence = \"all\"\npresence_grace = \"0s\"\nnotices = false\n";

fn start(app: &App, events: &str, more: &str) -> Door {
    start_at(app.address, events, more)
}

fn start_at(app: SocketAddr, events: &str, more: &str) -> Door {
    let callbacks = format!("[callbacks]\nevents = {events}\nfirst_pause = \"10ms\"\n{more}\n");
    door().config(format!("[app]\nurl = \"http://{app}\"\n{callbacks}[realtime.plain]\necho = false\n{ROOM}")).start()
}

/// An app that answers a message with what `answer` makes of its text, and everything else with consent.
async fn app<A>(answer: impl Fn(String) -> A + Clone + Send + Sync + 'static) -> App
where
    A: Future<Output = crate::harness::app::Response> + Send + 'static,
{
    App::start(move |request| {
        let answer = answer.clone();
        async move {
            let body = request.into_body().collect().await.expect("a whole body").to_bytes();
            let question: Value = serde_json::from_slice(&body).unwrap_or_default();
            match question["data"]["text"].as_str() {
                Some(text) => answer(text.to_owned()).await,
                None => response(200, ""),
            }
        }
    })
    .await
}

/// Opens a socket by hand, so that it can be torn off anywhere.
async fn raw(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("it takes it");
    let mut answer = Vec::new();
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut answer).await.expect("an answer"), 0, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// Parts of a text frame of 200 bytes under mask: each is where a connection may break.
fn torn(nth: usize) -> Vec<u8> {
    let mut frame = vec![0x81, 0xfe, 0, 200, 1, 2, 3, 4];
    frame.extend([b'x'; 200]);
    // A fragmented message whose end never comes is one of them.
    let cuts = [1, 2, 3, 5, 8, 9, 100, 207];
    if nth % 9 == 8 {
        frame[0] = 0x01;
        return frame;
    }
    frame.truncate(cuts[nth % 9]);
    frame
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_cut_mid_frame_leave_nothing_behind() {
    const AT_ONCE: usize = 250;
    const ROUNDS: usize = 16;
    let limits = format!("[realtime]\nmax_connections = {}\n", 2 * (AT_ONCE + 1));
    let door = door().config(format!("{limits}{ROOM}[realtime.plain]\necho = false\n")).start();
    let address = door.http();
    let mut witness = connect(&door, "/api/ws/room").await;
    let mut first_round = 0;
    for round in 0..ROUNDS {
        let mut opening = JoinSet::new();
        for nth in 0..AT_ONCE {
            opening.spawn(async move {
                let mut stream = raw(address, "/api/ws/room").await;
                stream.write_all(&torn(nth)).await.expect("it takes it");
                // Half of them by a reset, half by a polite end of the connection alone.
                if nth % 2 == 0 {
                    stream.set_zero_linger().expect("an option");
                }
                stream
            });
        }
        let streams = opening.join_all().await;
        door.wait_for_metric("hub_members", (AT_ONCE + 1) as f64).await;
        drop(streams);
        // Every place is needed again in the next round: one that is not given back would be missed there.
        door.wait_for_metric("hub_connections", 1.0).await;
        door.wait_for_metric("hub_members", 1.0).await;
        if round == 1 {
            first_round = door.resident();
        }
    }
    let grown = door.resident().saturating_sub(first_round);
    assert!(grown < 8_000_000, "grown by {grown} bytes since the second round");
    door.wait_for_metric("hub_subscriptions", 1.0).await;
    let ended = "realtime_sockets_ended_total{by=\"network\",reason=\"lost\",code=\"1006\"}";
    door.wait_for_metric(ended, (AT_ONCE * ROUNDS) as f64).await;
    witness.say("still here").await;
    loop {
        // It was told who came and went, as far as it wanted to know.
        if witness.hear_json().await["data"] == "still here" {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_hangs_is_given_up_and_its_places_are_given_back() {
    let app = app(|text| async move {
        if text == "hang" {
            std::future::pending::<()>().await;
        }
        response(200, "")
    })
    .await;
    let more = "timeout = \"300ms\"\nattempts = 2\nconcurrency = 4\nbreaker_failures = 1000";
    let door = start(&app, r#"["message"]"#, more);
    let mut hanging = Vec::new();
    for _ in 0..12 {
        let mut socket = connect(&door, "/api/ws/room").await;
        socket.say("hang").await;
        hanging.push(socket);
    }
    for socket in &mut hanging {
        assert_eq!(socket.hear_json().await["error"], "unavailable");
    }
    for socket in &mut hanging {
        socket.say("well?").await;
    }
    for _ in 0..12 {
        assert_eq!(hanging[0].hear_json().await["data"], "well?");
    }
    door.wait_for_metric("callbacks_answers_total{kind=\"message\",outcome=\"Unavailable\"}", 12.0).await;
    door.wait_for_metric("callbacks_answers_total{kind=\"message\",outcome=\"Allowed\"}", 12.0).await;
    // Not asked again: it may still be at work.
    let failed = door.wait_for_log(|line| line["message"] == "callback failed");
    assert!(failed["error"].as_str().unwrap().contains("no answer within 300ms"), "{failed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_callback_outlives_its_client_and_frees_its_place() {
    const ROUNDS: usize = 4;
    let app = app(|text| async move {
        if text == "hang" {
            std::future::pending::<()>().await;
        }
        response(200, "")
    })
    .await;
    let more =
        "timeout = \"1h\"\nmessage_patience = \"500ms\"\nconcurrency = 4\nmax_waiting = 6\nbreaker_failures = 1000";
    let door = start(&app, r#"["message"]"#, more);
    for round in 1..=ROUNDS {
        let mut thinking = Vec::new();
        for _ in 0..3 {
            let mut socket = connect(&door, "/api/ws/room").await;
            socket.say("hang").await;
            thinking.push(socket);
        }
        // What they said before they went is still judged; then nothing of them is left.
        drop(thinking);
        door.wait_for_metric("hub_connections", 0.0).await;
        door.wait_for_metric("hub_members", 0.0).await;
        let unavailable = "callbacks_answers_total{kind=\"message\",outcome=\"Unavailable\"}";
        door.wait_for_metric(unavailable, (3 * round) as f64).await;
    }
    let mut last = connect(&door, "/api/ws/room").await;
    last.say("and now?").await;
    assert_eq!(last.hear_json().await["data"], "and now?");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_end_and_one_that_dribbles_are_cut_off() {
    let app = app(|text| async move {
        if text.starts_with("ends") {
            return response(200, "");
        }
        let (response, mut feed) = streamed(200);
        tokio::spawn(async move {
            let chunk = if text == "endless" { vec![b' '; 64 * 1024] } else { vec![b' '] };
            // Ends when the door has let go of it.
            while feed.send_data(chunk.clone().into()).await.is_ok() {
                if text != "endless" {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        response
    })
    .await;
    let door = start(&app, r#"["message"]"#, "timeout = \"500ms\"\nattempts = 2\nconcurrency = 2");
    let mut ada = connect(&door, "/api/ws/room").await;
    ada.say("ends well").await;
    ada.hear().await;
    let before = door.resident();
    for _ in 0..20 {
        ada.say("endless").await;
        assert_eq!(ada.hear_json().await["error"], "unavailable");
    }
    let grown = door.resident().saturating_sub(before);
    assert!(grown < 24_000_000, "grown by {grown} bytes");
    door.wait_for_metric("callbacks_answers_total{kind=\"message\",outcome=\"Nonsense\"}", 20.0).await;
    let failed = door.wait_for_log(|line| line["message"] == "callback failed");
    assert!(failed["error"].as_str().unwrap().contains("longer than 1048576 bytes"), "{failed}");

    for _ in 0..3 {
        ada.say("dribbling").await;
        assert_eq!(ada.hear_json().await["error"], "unavailable");
    }
    door.wait_for_metric("callbacks_answers_total{kind=\"message\",outcome=\"Unavailable\"}", 3.0).await;
    ada.say("ends well").await;
    assert_eq!(ada.hear_json().await["data"], "ends well");
}

/// An app that speaks HTTP by hand: it takes a whole request, then answers with `answers` in turn and hangs up.
async fn rude(answers: Vec<&'static str>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, asked) = (listener.local_addr().expect("an address"), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (count, answers) = (Arc::clone(&count), answers.clone());
            tokio::spawn(async move {
                let mut request = Vec::new();
                loop {
                    let text = String::from_utf8_lossy(&request).into_owned();
                    if let Some((head, body)) = text.split_once("\r\n\r\n") {
                        let lower = head.to_lowercase();
                        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                        if body.len() >= length.map_or(0, |length| length.parse().expect("a length")) {
                            break;
                        }
                    }
                    if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let answer = if request.starts_with(b"POST") {
                    answers[count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1)]
                } else {
                    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    (address, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn app_dead_mid_answer_is_asked_again_and_said_once() {
    let (app, asked) = rude(vec![
        "",
        "HTTP/1.1 200 O",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"allow\": fal",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"allow\"",
        "\u{1}\u{2}\u{3} this is no HTTP\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    ])
    .await;
    let door = start_at(app, r#"["message"]"#, "");
    let mut ada = connect(&door, "/api/ws/room").await;
    let mut bob = connect(&door, "/api/ws/room").await;
    ada.say("once").await;
    for socket in [&mut ada, &mut bob] {
        assert_eq!(socket.hear_json().await["data"], "once");
        socket.is_quiet().await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 6, "an answer that broke off is no answer");
    door.wait_for_metric("callbacks_retries_total", 5.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admission_is_not_asked_again_after_a_break() {
    let (app, asked) = rude(vec!["", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"]).await;
    let door = start_at(app, r#"["connect"]"#, "");
    assert_eq!(refused(&door, "/api/ws/room", &[]).await, 503);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "its handler may be at work");
    connect(&door, "/api/ws/room").await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_app_opens_the_breaker_and_clients_hear_at_once() {
    let (app, asked) =
        rude(vec!["HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"]).await;
    let more = "attempts = 2\nbreaker_failures = 6\nbreaker_pause = \"1h\"\nadmission_patience = \"5s\"";
    let door = start_at(app, r#"["connect"]"#, more);
    for _ in 0..3 {
        assert_eq!(refused(&door, "/api/ws/room", &[]).await, 503);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 6);
    door.wait_for_log(|line| line["message"] == "the app fails too often: its callbacks rest");
    door.wait_for_metric("callbacks_breaker_opened_total", 1.0).await;
    // From now on it is not asked: a hundred clients are sent away without a question.
    let address = door.http();
    let mut crowd = JoinSet::new();
    for _ in 0..100 {
        crowd.spawn(async move { connect_to(address, "/api/ws/room", &[]).await.is_err() });
    }
    assert!(crowd.join_all().await.into_iter().all(|refused| refused));
    assert_eq!(asked.load(Ordering::SeqCst), 6);
    door.wait_for_metric("callbacks_answers_total{kind=\"connect\",outcome=\"Unavailable\"}", 103.0).await;
    door.wait_for_metric("realtime_turned_away_total{reason=\"refused\"}", 103.0).await;
    // Who is not let in leaves no trace.
    door.wait_for_metric("hub_connections", 0.0).await;
}
