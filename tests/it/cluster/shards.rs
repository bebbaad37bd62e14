//! Doors that share a Redis Cluster: what one Redis does for them several do, and one of those may die.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{CHANNELS, at_each, hears, said, text};
use crate::api::{get, post};
use crate::harness::client::ask;
use crate::harness::redis::RedisCluster;
use crate::harness::socket::{Socket, connect};
use crate::harness::{Door, door, eventually};

fn doors<const N: usize>(cluster: &RedisCluster) -> [Door; N] {
    let socketio = "[[realtime.socketio]]\nnamespaces = [\"/*\"]\n";
    let doors = [(); N].map(|()| door().config(format!("{socketio}{CHANNELS}{}", cluster.config())).start());
    doors.iter().for_each(hears);
    doors
}

/// A kept channel of each of three servers, with who has it.
fn kept(cluster: &RedisCluster) -> Vec<(String, usize)> {
    let mut all: Vec<(String, usize)> = Vec::new();
    for number in 0.. {
        let name = format!("kept-{number}");
        let server = cluster.primary_of(&name);
        if all.iter().all(|(_, known)| *known != server) {
            all.push((name, server));
        }
        if all.len() == 3 {
            break;
        }
    }
    all
}

/// Somebody of one channel: the numbers that came, and whether it was told that something is lost.
struct Listener {
    heard: Arc<Mutex<Vec<u64>>>,
    is_told: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Listener {
    fn start(mut socket: Socket, read: impl Fn(&str) -> Option<Value> + Send + 'static) -> Listener {
        let (heard, is_told) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (numbers, told) = (Arc::clone(&heard), Arc::clone(&is_told));
        let task = tokio::spawn(async move {
            loop {
                let text = socket.hear().await;
                if text == "2" {
                    socket.say("3").await;
                }
                let Some(message) = read(&text) else { continue };
                if message["type"] == "lost" {
                    told.store(true, Ordering::Release);
                }
                let number = [&message["data"]["n"], &message["n"], &message[1]["n"], &message[1]["data"]["n"]];
                numbers.lock().extend(number.iter().find_map(|number| number.as_u64()));
            }
        });
        Listener { heard, is_told, task }
    }

    async fn plain(door: &Door, channel: &str) -> Listener {
        let socket = connect(door, &format!("/api/ws/{channel}?since=now")).await;
        Listener::start(socket, |text| serde_json::from_str(text).ok())
    }

    async fn socketio(door: &Door, channel: &str) -> Listener {
        let mut socket = connect(door, "/socket.io/?EIO=4&transport=websocket").await;
        assert!(socket.hear().await.starts_with("0{"));
        socket.say("40").await;
        assert!(socket.hear().await.starts_with("40{"));
        socket.say(&format!("420[\"join-room\",\"{channel}\"]")).await;
        while !socket.hear().await.starts_with("430") {}
        Listener::start(socket, |text| serde_json::from_str(text.strip_prefix("42")?).ok())
    }

    fn has(&self, number: u64) -> bool {
        self.heard.lock().contains(&number)
    }

    /// How many came twice, how many after a later one, and how many not at all.
    fn counts(&self, last: u64) -> [usize; 3] {
        let heard = self.heard.lock();
        let each: BTreeSet<u64> = heard.iter().copied().collect();
        let disordered = heard.windows(2).filter(|two| two[1] < two[0]).count();
        let missing = (1..=last).filter(|number| !each.contains(number)).count();
        [heard.len() - each.len(), disordered, missing]
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Says numbers in a channel, at one door after another, each until it is accepted.
async fn talk(ports: Vec<std::net::SocketAddr>, channel: String, is_over: Arc<AtomicBool>) -> u64 {
    let mut number = 0;
    while !is_over.load(Ordering::Acquire) {
        number += 1;
        let body = json!({"channel": channel, "name": "n", "json": {"n": number}}).to_string();
        let key = format!("{channel}-{number}");
        for tried in 0.. {
            let headers =
                [("host", "localhost"), ("content-type", "application/json"), ("idempotency-key", key.as_str())];
            let port = ports[(usize::try_from(number).unwrap() + tried) % ports.len()];
            let answer = ask(port, "POST", "/_doorway/api/v1/publish", &headers, body.clone()).await;
            let status = answer.status;
            let why = answer.bytes().await;
            if status == 200 {
                break;
            }
            assert!(status == 503 || status == 409, "{status} {}", String::from_utf8_lossy(&why));
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    number
}

#[tokio::test]
async fn several_servers_are_one_hub() {
    let cluster = RedisCluster::start();
    let doors = doors::<3>(&cluster);
    for (channel, _) in kept(&cluster) {
        let mut sockets = at_each(&doors, &format!("/api/ws/{channel}?since=now")).await;
        for number in 0..5 {
            for socket in &mut sockets {
                socket.say(&format!("{number}")).await;
            }
        }
        let mut heard = Vec::new();
        for socket in &mut sockets {
            let mut own = Vec::new();
            for _ in 0..15 {
                own.push(said(socket).await);
            }
            socket.is_quiet().await;
            heard.push(own);
        }
        assert!(heard[0] == heard[1] && heard[0] == heard[2], "one order");
        // From a place on, at any door.
        let mut back = connect(&doors[1], &format!("/api/ws/{channel}?since={}", heard[0][11].1)).await;
        let told = back.hear_json().await;
        assert_eq!((&told["recovered"], &told["missed"]), (&json!(true), &json!(3)), "{told}");
        for door in &doors {
            let subscribers = async || get(door, &format!("/channels/{channel}")).await.json["subscribers"].clone();
            eventually("all four", async || subscribers().await == 4).await;
        }
    }
    let list = async || get(&doors[2], "/channels?prefix=kept").await.json["channels"].as_array().map(Vec::len);
    eventually("all channels are listed", async || list().await == Some(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_amid_talk_costs_nobody_anything() {
    let mut cluster = RedisCluster::start();
    let doors = doors::<3>(&cluster);
    let channels = kept(&cluster);
    let (mut listeners, mut speakers, mut members) = (Vec::new(), Vec::new(), Vec::new());
    let is_over = Arc::new(AtomicBool::new(false));
    for (channel, _) in &channels {
        for door in &doors {
            listeners.push((channel.clone(), Listener::plain(door, channel).await));
            listeners.push((channel.clone(), Listener::socketio(door, channel).await));
        }
        let admins = doors.iter().map(Door::admin).collect();
        speakers.push(tokio::spawn(talk(admins, channel.clone(), Arc::clone(&is_over))));
    }
    for number in 0..6 {
        members.push(connect(&doors[number % 3], &format!("/api/ws/room-{number}")).await);
    }
    eventually("all hear", async || listeners.iter().all(|(_, listener)| listener.has(20))).await;
    let (killed, victim) = &channels[1];
    cluster.kill(*victim);
    let told = async |door: &Door| {
        let answer = crate::harness::client::get(door.admin(), "/health/ready", &[("host", "localhost")]).await;
        String::from_utf8(answer.bytes().await.to_vec()).unwrap()
    };
    eventually("it is said", async || told(&doors[0]).await.contains("Redis: ")).await;
    for door in &doors {
        eventually("it is over", async || !told(door).await.contains("Redis: ")).await;
    }
    is_over.store(true, Ordering::Release);
    for ((channel, _), speaker) in channels.iter().zip(speakers) {
        let last = speaker.await.unwrap() + 1;
        let answer = post(&doors[0], "/publish", json!({"channel": channel, "name": "n", "json": {"n": last}})).await;
        assert_eq!(answer.status, 200, "{}", answer.json);
        for (_, listener) in listeners.iter().filter(|(of, _)| of == channel) {
            eventually("nobody is deaf", async || listener.has(last)).await;
            let [doubled, disordered, missing] = listener.counts(last);
            let is_told = listener.is_told.load(Ordering::Acquire);
            assert_eq!((doubled, disordered), (0, 0), "{channel}: {:?}", listener.heard.lock());
            // What only the dead server had is all that can be missing, and who knows places is told so.
            assert!(missing == 0 || channel == killed, "{channel}: {missing} of {last}");
            println!("{channel}: {last} said, {missing} not heard, told so: {is_told}");
        }
    }
    // Nobody has gone, nobody is there twice.
    for number in 0..6 {
        for door in &doors {
            let members = async || get(door, &format!("/channels/room-{number}/members")).await.json["members"].clone();
            eventually("one is there", async || members().await.as_array().map(Vec::len) == Some(1)).await;
        }
    }
    for member in &mut members {
        let told = member.hear_json().await;
        assert_eq!(told["type"], "presence", "{told}");
        member.is_quiet().await;
    }
    // A place from before counts at any door.
    let history = get(&doors[2], &format!("/channels/{killed}/history")).await.json;
    let place = text(&history["messages"][0]["position"]);
    let mut back = connect(&doors[0], &format!("/api/ws/{killed}?since={place}")).await;
    assert_eq!(back.hear_json().await["recovered"], true);
}
