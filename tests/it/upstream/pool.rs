//! Promise: connections to the app are kept and used again, never longer than the app keeps them, and the race between
//! its closing and our asking costs no request that may safely be asked again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::harness::raw::{RawApp, eventually, ok};
use crate::harness::{App, client, door, response};

#[tokio::test]
async fn one_connection_serves_requests_one_after_the_other() {
    let app = App::saying("hello").await;
    let door = door().config(app.config()).start();
    client::get(door.http(), "/", &[]).await.bytes().await;
    let before = app.connections();
    for _ in 0..50 {
        assert_eq!(client::get(door.http(), "/", &[]).await.bytes().await.as_ref(), b"hello");
    }
    // A look for a sign of life may have opened one beside it.
    assert!(app.connections() <= before + 1, "{} connections", app.connections());
}

#[tokio::test]
async fn a_connection_is_not_used_after_the_app_said_it_closes_it() {
    let answered = Arc::new(Mutex::new((HashMap::<SocketAddr, Instant>::new(), Vec::new())));
    let noted = Arc::clone(&answered);
    let app = RawApp::start(move |mut asked| {
        {
            let (last, gaps) = &mut *noted.lock().unwrap();
            gaps.extend(last.insert(asked.peer, Instant::now()).map(|before| before.elapsed()));
        }
        async move {
            asked.send("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 1\r\n\r\nx").await;
            Some(asked)
        }
    })
    .await;
    let door = door().config(app.config()).start();
    for pause in [0, 0, 0, 1_300, 0, 0, 1_300, 0] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        client::get(door.http(), "/", &[]).await.bytes().await;
    }
    let gaps = answered.lock().unwrap().1.clone();
    assert!(!gaps.is_empty(), "connections are used again");
    // A second before the app closes it, it is no longer trusted.
    assert!(gaps.iter().all(|gap| *gap < Duration::from_millis(1_200)), "{gaps:?}");
}

/// Answers the first request of each connection, and closes as the second arrives, before a byte of an answer.
async fn closing_app() -> (RawApp, Arc<AtomicUsize>) {
    let closings = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&closings);
    let app = RawApp::start(move |mut asked| {
        let counter = Arc::clone(&counter);
        async move {
            if asked.number > 0 {
                counter.fetch_add(1, Ordering::SeqCst);
                return None;
            }
            let length = asked.header("content-length").parse().unwrap_or(0);
            asked.body(length).await;
            let has_body = !asked.head.starts_with("HEAD");
            asked.send(if has_body { ok("answered") } else { "HTTP/1.1 200 OK\r\n\r\n".into() }).await;
            Some(asked)
        }
    })
    .await;
    (app, closings)
}

#[tokio::test]
async fn a_safe_request_is_asked_again_when_a_kept_connection_closes() {
    let (app, closings) = closing_app().await;
    let door = door().config(app.config()).start();
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        for _ in 0..4 {
            let answer = client::ask(door.http(), method, "/", &[], "").await;
            assert_eq!(answer.status, 200, "{method}");
        }
    }
    assert!(closings.load(Ordering::SeqCst) > 0, "the race was never run");
}

#[tokio::test]
async fn a_request_that_may_have_acted_is_not_repeated() {
    let (app, closings) = closing_app().await;
    let door = door().config(app.config()).start();
    let mut refused = 0;
    for number in 1..=8 {
        let answer = client::ask(door.http(), "POST", "/", &[], "once").await;
        assert!(matches!(answer.status, 200 | 502), "{}", answer.status);
        refused += usize::from(answer.status == 502);
        assert_eq!(app.requests(), number, "each request reaches the app exactly once");
    }
    assert!(refused > 0 && refused == closings.load(Ordering::SeqCst), "{refused} refused");
}

/// An app whose first `bad` requests each end their connection, after it has sent `words`.
async fn dying(bad: usize, words: &'static str) -> RawApp {
    let seen = Arc::new(AtomicUsize::new(0));
    RawApp::start(move |mut asked| {
        let number = seen.fetch_add(1, Ordering::SeqCst);
        async move {
            if number >= bad {
                asked.send(ok("alive")).await;
                return Some(asked);
            }
            asked.send(words).await;
            None
        }
    })
    .await
}

#[tokio::test]
async fn a_get_that_a_dying_app_left_unanswered_is_asked_twice_more() {
    for (method, bad, status, requests) in [("GET", 2, 200, 3), ("GET", 3, 502, 3), ("POST", 1, 502, 1)] {
        let app = dying(bad, "").await;
        let door = door().config(app.config() + "health_interval = \"10m\"\n").start();
        assert_eq!(client::ask(door.http(), method, "/", &[], "").await.status, status, "{method}, {bad} times");
        assert_eq!(app.requests(), requests, "{method}, {bad} times");
    }
}

#[tokio::test]
async fn what_was_begun_or_has_a_body_is_not_asked_again() {
    for (words, body) in [("HTTP/1.1 2", ""), ("", "with a body")] {
        let app = dying(1, words).await;
        let door = door().config(app.config() + "health_interval = \"10m\"\n").start();
        assert_eq!(client::ask(door.http(), "GET", "/", &[], body).await.status, 502);
        assert_eq!(app.requests(), 1);
    }
}

/// Its queue of connections is reset with it: what was in there waits for the next process.
#[tokio::test]
async fn a_get_in_the_queue_of_a_dying_app_waits_for_the_next_one() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = format!("[app]\nurl = \"http://{address}\"\nwait_timeout = \"30s\"\n");
    let door = door().config(config + "health_interval = \"10m\"\nconnections = 8\n").start();
    let to = door.http();
    let asked = tokio::spawn(async move { client::get(to, "/", &[]).await.status });
    let mut taken = Vec::new();
    // The first are those by which the door looks whether the app is there.
    loop {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut first = [0];
        connection.peek(&mut first).await.unwrap();
        rustix::net::sockopt::set_socket_linger(&connection, Some(Duration::ZERO)).unwrap();
        if first == *b"G" {
            taken.push(connection);
            break;
        }
        let mut head = [0; 4096];
        let read = connection.read(&mut head).await.unwrap();
        assert!(head[..read].ends_with(b"\r\n\r\n"));
        connection
            .write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
        taken.push(connection);
    }
    drop(listener);
    drop(taken);
    door.wait_for_metric("upstream_waiting", 1.0).await;
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let _app = RawApp::on(listener, |mut asked| async move {
        asked.send(ok("the next process")).await;
        Some(asked)
    });
    assert_eq!(asked.await.unwrap(), 200);
}

#[tokio::test]
async fn more_requests_than_connections_wait_for_their_turn() {
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&under_way), Arc::clone(&most));
    let app = App::start(move |_| {
        let (under_way, most) = counters.clone();
        async move {
            most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            under_way.fetch_sub(1, Ordering::SeqCst);
            response(200, "turn")
        }
    })
    .await;
    let door = door().config(app.config() + "connections = 3\n").start();
    let address = door.http();
    let asking: Vec<_> =
        (0..40).map(|_| tokio::spawn(async move { client::get(address, "/", &[]).await.status })).collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), 200);
    }
    assert!(most.load(Ordering::SeqCst) <= 3, "{} at once", most.load(Ordering::SeqCst));
}

#[tokio::test]
async fn connection_waiters_are_bounded_in_number_and_time() {
    let gate = Arc::new(Semaphore::new(0));
    let (opened, is_held) = (Arc::clone(&gate), Arc::new(AtomicBool::new(false)));
    let held_now = Arc::clone(&is_held);
    let app = App::start(move |request| {
        let (gate, is_held) = (Arc::clone(&opened), Arc::clone(&held_now));
        async move {
            if request.uri().path() == "/held" {
                is_held.store(true, Ordering::SeqCst);
                let _permit = gate.acquire().await;
            }
            response(200, "free")
        }
    })
    .await;
    let limits = "connections = 1\nwait_limit = 4\nwait_timeout = \"400ms\"\n";
    let door = door().config(app.config() + limits).start();
    let address = door.http();
    let held = tokio::spawn(async move { client::get(address, "/held", &[]).await.status });
    while !is_held.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let began = Instant::now();
    let waiting: Vec<_> = (0..6).map(|_| tokio::spawn(async move { client::get(address, "/", &[]).await })).collect();
    let mut fast = 0;
    for asked in waiting {
        let answer = asked.await.unwrap();
        assert_eq!(answer.status, 503);
        assert!(!answer.header("retry-after").is_empty());
        fast += usize::from(began.elapsed() < Duration::from_millis(350));
    }
    assert!(began.elapsed() >= Duration::from_millis(400), "two waited for their time");
    assert!(fast <= 4, "{fast} were refused at once");
    gate.add_permits(1);
    assert_eq!(held.await.unwrap(), 200);
    assert_eq!(client::get(address, "/", &[]).await.status, 200);
}

#[tokio::test]
async fn idle_connections_are_closed_in_time() {
    let closed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&closed);
    let app = RawApp::start(move |mut asked| {
        let counter = Arc::clone(&counter);
        async move {
            asked.send(ok("x")).await;
            asked.closed().await;
            counter.fetch_add(1, Ordering::SeqCst);
            None
        }
    })
    .await;
    let door = door().config(app.config() + "idle_timeout = \"200ms\"\n").start();
    client::get(door.http(), "/", &[]).await.bytes().await;
    eventually("the idle connection is closed", || closed.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn a_reload_lets_go_of_connections_made_as_before() {
    let closed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&closed);
    let app = RawApp::start(move |mut asked| {
        let counter = Arc::clone(&counter);
        async move {
            asked.send(ok("x")).await;
            asked.closed().await;
            counter.fetch_add(1, Ordering::SeqCst);
            None
        }
    })
    .await;
    let lasting = |minutes: usize| format!("{}idle_timeout = \"{minutes}m\"\n", app.config());
    let door = door().config(lasting(10)).start();
    for (count, config) in [(1, lasting(20)), (2, "[app]\nurl = \"off\"\n".to_owned())] {
        client::get(door.http(), "/", &[]).await.bytes().await;
        let seen = door.log().len();
        door.rewrite(&config);
        door.signal("HUP");
        door.wait_for_log_after(seen, |line| line["message"] == "reloaded");
        eventually("it is closed", || closed.load(Ordering::SeqCst) == count).await;
    }
    assert!(!door.output().contains("the app does not answer"), "{}", door.output());
}

#[tokio::test]
async fn what_the_app_says_unasked_reaches_nobody() {
    const FORGED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    for unasked in [Some(FORGED), None] {
        let (may, said) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicBool::new(false)));
        let (mays, saids) = (Arc::clone(&may), Arc::clone(&said));
        let app = RawApp::start(move |mut asked| {
            let (may, said) = (Arc::clone(&mays), Arc::clone(&saids));
            async move {
                let length = asked.header("content-length").parse().unwrap_or(0);
                asked.body(length).await;
                asked.send(ok("answered")).await;
                if said.load(Ordering::SeqCst) {
                    return Some(asked);
                }
                may.acquire().await.expect("it stays").forget();
                match unasked {
                    Some(bytes) => asked.send(bytes).await,
                    None => drop(asked),
                }
                said.store(true, Ordering::SeqCst);
                None
            }
        })
        .await;
        let door = door().config(app.config()).start();
        let first = client::ask(door.http(), "POST", "/", &[], "one").await;
        assert_eq!(first.bytes().await.as_ref(), b"answered");
        door.wait_for_metric("upstream_idle_connections", 1.0).await;
        may.add_permits(1);
        eventually("it is said", || said.load(Ordering::SeqCst)).await;
        // The door has looked at its sockets since.
        door.metric("upstream_idle_connections").await;
        door.metric("upstream_idle_connections").await;
        let second = client::ask(door.http(), "POST", "/", &[], "two").await;
        assert_eq!((second.status, second.bytes().await.as_ref()), (200, &b"answered"[..]), "{unasked:?}");
    }
}
