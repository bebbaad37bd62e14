//! Promise: clients that lose their connection again and again end with every message, once and in order.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};

use crate::harness::socket::{Socket, connect_to};
use crate::harness::{PATIENCE, door};

/// As many as `JITTER_CLIENTS` says, for `JITTER_SECONDS`.
fn size(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

const RATE: u64 = 10; // messages a second
const CYCLE: Duration = Duration::from_secs(15);
const AWAY: Duration = Duration::from_secs(2);

/// What one client has been told, as far as it matters here.
#[derive(Default)]
struct Reader {
    since: String,
    next: u64,
    /// What came back at once after each loss, and how long it took from the dial on.
    replays: Vec<Duration>,
}

impl Reader {
    /// The number of the message after the last; panics where one is missing, twice there or out of its turn.
    fn take(&mut self, said: &Value) {
        assert_eq!(said["type"], "broadcast", "{said}");
        let number: u64 = said["data"].as_str().and_then(|text| text.parse().ok()).expect("a number");
        assert_eq!(number, self.next, "every message, once, in order");
        self.next += 1;
        self.since = said["id"].as_str().expect("a position").to_owned();
    }

    /// Dials until it is let in, and reads all that it missed.
    async fn come_back(&mut self, address: SocketAddr) -> Socket {
        let started = Instant::now();
        let path = format!("/api/ws/jitter?since={}", self.since);
        let mut socket = connect_to(address, &path, &[]).await.expect("let in again");
        let told = socket.hear_json().await;
        assert_eq!((&told["type"], &told["recovered"]), (&"subscribed".into(), &true.into()), "{told}");
        for _ in 0..told["missed"].as_u64().expect("a number") {
            let said = socket.hear_json().await;
            self.take(&said);
        }
        self.replays.push(started.elapsed());
        socket
    }

    /// Reads until `due`, or until the last message has come. Says whether it has.
    async fn read(&mut self, socket: &mut Socket, due: Instant, last: u64) -> bool {
        while self.next < last {
            let Ok(said) = timeout_at(due, socket.hear_json()).await else { return false };
            self.take(&said);
        }
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_clients_cut_off_again_and_again_miss_nothing() {
    let (clients, seconds) = (size("JITTER_CLIENTS", 2_000), size("JITTER_SECONDS", 60));
    let last = seconds * RATE;
    let config = "[[realtime.channel]]\nmatch = \"jitter\"\nhistory = 2000\n[realtime.plain]\necho = false\n";
    let door = door().config(config).start();
    let (address, losses) = (door.http(), Arc::new(AtomicU64::new(0)));

    let (start, started) = watch::channel(false);
    let mut crowd = JoinSet::new();
    for client in 0..clients {
        while crowd.len() as u64 - door.metric("hub_subscriptions").await as u64 > 200 {
            tokio::task::yield_now().await;
        }
        let (mut started, losses) = (started.clone(), Arc::clone(&losses));
        crowd.spawn(async move {
            let mut reader = Reader { since: "now".into(), ..Reader::default() };
            let mut socket = connect_to(address, "/api/ws/jitter?since=now", &[]).await.expect("let in");
            reader.since = socket.hear_json().await["id"].as_str().expect("a position").to_owned();
            started.wait_for(|started| *started).await.expect("it starts");
            // Staggered: at each moment some are away.
            let mut due = Instant::now() + CYCLE.mul_f64((client + 1) as f64 / clients as f64);
            let end = Instant::now() + Duration::from_secs(seconds);
            while due < end {
                if reader.read(&mut socket, due, last).await {
                    break;
                }
                // Gone without a word, as behind a tunnel.
                drop(socket);
                losses.fetch_add(1, Ordering::Relaxed);
                sleep_until(due + AWAY).await;
                socket = reader.come_back(address).await;
                due += CYCLE;
            }
            assert!(reader.read(&mut socket, Instant::now() + PATIENCE, last).await, "at {} of {last}", reader.next);
            (socket, reader.replays)
        });
    }
    door.wait_for_metric("hub_subscriptions", clients as f64).await;

    let mut publisher = connect_to(address, "/api/ws/jitter", &[]).await.expect("let in");
    start.send_replace(true);
    let mut tick = interval(Duration::from_secs(1) / RATE as u32);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..last {
        tick.tick().await;
        publisher.say(&number.to_string()).await;
        assert_eq!(publisher.hear_json().await["data"], number.to_string());
    }

    let (sockets, replays): (VecDeque<_>, Vec<_>) = crowd.join_all().await.into_iter().unzip();
    for mut socket in sockets.into_iter().take(20) {
        socket.is_quiet().await;
    }
    let mut replays: Vec<_> = replays.into_iter().flatten().collect();
    replays.sort_unstable();
    let at = |part: f64| replays.get(((replays.len() as f64 * part) as usize).min(replays.len().max(1) - 1));
    let losses = losses.load(Ordering::Relaxed);
    assert!(losses > 0 && replays.len() as u64 == losses, "{losses} losses, {} replays", replays.len());
    println!(
        "{losses} losses; replay from the dial on: p50 {:?}, p99 {:?}, most {:?}",
        at(0.5),
        at(0.99),
        replays.last()
    );
    door.wait_for_metric("hub_published_total", last as f64).await;
}
