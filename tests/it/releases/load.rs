//! Promise: under all that a busy site does at once nothing fails while ten releases are put in the place of one another,
//! one of which does not start: no request of a steady rate, no streaming answer, no action of an open page, no socket.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::site::{Site, build};
use crate::harness::crowd::{self, Crowd};
use crate::harness::socket::connect;
use crate::harness::{client, eventually};

/// Clients with a connection each that they keep, and the pause between two requests of one: 500 a second in all, where
/// the machine can. One that cannot is asked as often as it answers; what is counted is failures.
const CLIENTS: usize = 10;
const PAUSE: Duration = Duration::from_millis(20);
/// Streaming answers at any time, and the pieces of one, of which 20 a second come: longer than a change takes.
const STREAMS: usize = 8;
const PIECES: usize = 30;
/// Open pages, from which somebody does something again and again.
const PAGES: usize = 8;
const PROCESSES: usize = 2;
const SOCKETS_EACH: usize = 500;

/// What all of them share.
#[derive(Default)]
struct Traffic {
    stop: AtomicBool,
    /// How many releases were tried; a page that is open sees by it that it is of the one before.
    round: AtomicUsize,
    requests: AtomicUsize,
    streams: AtomicUsize,
    actions: AtomicUsize,
    /// Actions that the app of before answered.
    earlier: AtomicUsize,
    /// The round in which each page was loaded.
    loaded: [AtomicUsize; PAGES],
}

impl Traffic {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// At a steady rate on one connection, which nobody closes.
    async fn ask_steadily(self: Arc<Traffic>, address: SocketAddr) {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.expect("a handshake");
        tokio::spawn(connection);
        let mut pace = interval(PAUSE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.goes_on() {
            pace.tick().await;
            let request = Request::builder().uri("/").header("host", "site.test").body(Full::default()).unwrap();
            let answer = sender.send_request(request).await.expect("an answer");
            let status = answer.status();
            let body = answer.into_body().collect().await.expect("a whole body").to_bytes();
            assert!(status == 200 && body.ends_with(b"}"), "{status} {body:?}");
            self.requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads one answer after the other that comes in pieces, each of one release from its first piece to its last.
    async fn read_streams(self: Arc<Traffic>, address: SocketAddr) {
        while self.goes_on() {
            let answer = client::get(address, &format!("/stream?pieces={PIECES}"), &[]).await;
            assert_eq!(answer.status, 200);
            let body = String::from_utf8(answer.bytes().await.to_vec()).unwrap();
            let pieces = body.strip_suffix("end").expect("its end has come");
            assert_eq!(pieces.lines().count(), PIECES, "{body}");
            assert_eq!(pieces.lines().collect::<HashSet<_>>().len(), 1, "{body}");
            self.streams.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Loads a page, acts on it, goes on with that for a moment when another release is there, and loads it anew.
    async fn act(self: Arc<Traffic>, address: SocketAddr, number: usize) {
        while self.goes_on() {
            let round = self.round.load(Ordering::SeqCst);
            let page: Value = serde_json::from_slice(&client::get(address, "/", &[]).await.bytes().await).unwrap();
            let (build, deployment) = (page["build"].as_str().unwrap(), page["deployment"].as_str().unwrap());
            self.loaded[number].store(round, Ordering::SeqCst);
            let mut more = 2;
            while self.goes_on() && more > 0 {
                let is_another = self.round.load(Ordering::SeqCst) != round;
                let headers = [("next-action", build), ("x-deployment-id", deployment)];
                let answer = client::ask(address, "POST", "/action", &headers, "name=Ida").await;
                let (status, body) = (answer.status, answer.bytes().await);
                assert_eq!(status, 200, "an action of {build}: {body:?}");
                let answered: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(answered["build"], build);
                self.actions.fetch_add(1, Ordering::Relaxed);
                if is_another {
                    self.earlier.fetch_add(1, Ordering::Relaxed);
                    more -= 1;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_under_load_while_ten_releases_come() {
    let site = Site::new();
    let door = site.door("keep = 3\n[realtime.plain]\necho = false\nping_interval = \"0s\"").start();
    site.deploy("release 0").await.well();
    let mut crowd = Crowd::open(door.http(), "/api/ws", PROCESSES, SOCKETS_EACH, "releases::load::clients");
    let mut speaker = connect(&door, "/api/ws").await;
    let (traffic, mut clients) = (Arc::new(Traffic::default()), JoinSet::new());
    for _ in 0..CLIENTS {
        clients.spawn(Arc::clone(&traffic).ask_steadily(door.http()));
    }
    for _ in 0..STREAMS {
        clients.spawn(Arc::clone(&traffic).read_streams(door.http()));
    }
    for number in 0..PAGES {
        clients.spawn(Arc::clone(&traffic).act(door.http(), number));
    }
    for number in 1..=10 {
        let requests = traffic.requests.load(Ordering::Relaxed);
        if number == 5 {
            site.app.write("crash", "");
            site.deploy("broken").await.badly(&["cannot start: the test says so", "stays live"]);
            site.app.remove("crash");
            assert_eq!(build(&door).await, "release 4");
        } else {
            site.deploy(&format!("release {number}")).await.well();
            assert_eq!(build(&door).await, format!("release {number}"));
        }
        traffic.round.store(number, Ordering::SeqCst);
        speaker.say(&format!("news of {number}")).await;
        crowd.hears(&format!("news of {number}"));
        // Nobody keeps a page for two deploys: that loads itself anew, which browsers are tried with.
        let are_new = || async { traffic.loaded.iter().all(|loaded| loaded.load(Ordering::SeqCst) == number) };
        let fails = async { clients.join_next().await.expect("there are some").expect("nothing fails") };
        tokio::select! {
            () = eventually("each page is loaded anew", are_new) => {}
            () = fails => panic!("it ended by itself"),
        }
        assert!(traffic.requests.load(Ordering::Relaxed) > requests);
    }
    traffic.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("nothing fails");
    }
    let Traffic { requests, streams, actions, earlier, .. } = &*traffic;
    println!("{requests:?} requests, {streams:?} streams, {actions:?} actions, {earlier:?} of them of the one before");
    // Each page acted twice on each release that was replaced.
    assert!(earlier.load(Ordering::Relaxed) >= 10 * PAGES * 2);
    assert!(streams.load(Ordering::Relaxed) >= 2 * STREAMS);
    // Three, and no more than those that still end beside them.
    assert!(site.on_disk().len() <= 6, "{:?}", site.on_disk());
    assert_eq!(door.metric("hub_connections").await, (PROCESSES * SOCKETS_EACH + 1) as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of the crowd above"]
async fn clients() {
    crowd::attend().await;
}
