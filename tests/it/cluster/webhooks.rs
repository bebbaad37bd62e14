//! What happens in Pusher's channels is told once, whatever doors it happens at.

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::hears;
use crate::harness::raw::eventually;
use crate::harness::redis::Redis;
use crate::harness::socket::Socket;
use crate::harness::{App, Door, door, response};
use crate::pusher::app::{enter, sign};

/// What the app was told, in short: `occupied room`, `added presence-x ann`.
type Told = Arc<Mutex<Vec<String>>>;

async fn receiver() -> (App, Told) {
    let told = Told::default();
    let kept = Arc::clone(&told);
    let app = App::start(move |request| {
        let told = Arc::clone(&told);
        async move {
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            let post: Value = serde_json::from_slice(&body).expect("JSON");
            told.lock().unwrap().extend(post["events"].as_array().expect("a list").iter().map(in_short));
            response(200, "")
        }
    })
    .await;
    (app, kept)
}

fn in_short(event: &Value) -> String {
    let name = event["name"].as_str().expect("a name");
    let name = name.trim_start_matches("channel_").trim_start_matches("member_");
    let user = event["user_id"].as_str().map(|user| format!(" {user}")).unwrap_or_default();
    format!("{name} {}{user}", event["channel"].as_str().expect("a channel"))
}

/// So many doors of one app, with the receiver's hooks.
fn doors<const N: usize>(redis: &Redis, receiver: &App) -> [Door; N] {
    let config = format!(
        "{}[app]\nurl = \"off\"\n[[realtime.pusher]]\nid = \"1\"\nkey = \"app-key\"\nsecret = \"app-secret\"\n\
         webhook_quiet = \"500ms\"\n[[realtime.pusher.webhooks]]\nurl = \"http://{}/hook\"\n",
        redis.config(),
        receiver.address
    );
    let doors = [(); N].map(|()| door().config(config.clone()).start());
    doors.iter().for_each(hears);
    doors
}

/// One in a channel: as a user, where it is a channel with members.
async fn come(door: &Door, channel: &str, user: &str) -> Socket {
    let (mut socket, id) = enter(door).await;
    let mut data = json!({ "channel": channel });
    if channel.starts_with("presence-") {
        let who = json!({ "user_id": user }).to_string();
        data["auth"] = format!("app-key:{}", sign("app-secret", &format!("{id}:{channel}:{who}"))).into();
        data["channel_data"] = who.into();
    }
    socket.say(&json!({ "event": "pusher:subscribe", "data": data }).to_string()).await;
    while socket.hear_json().await["event"] != "pusher_internal:subscription_succeeded" {}
    socket
}

async fn sorted_after(told: &Told, last: &str) -> Vec<String> {
    eventually(last, || told.lock().unwrap().iter().any(|known| known == last)).await;
    let mut told = std::mem::take(&mut *told.lock().unwrap());
    told.sort();
    told
}

/// All that either door has to tell is told: each of them tells of something else behind it.
async fn all_told(told: &Told, doors: &[Door]) -> Vec<String> {
    let mut sockets = Vec::new();
    for (number, door) in doors.iter().enumerate() {
        sockets.push(come(door, &format!("last-{number}"), "").await);
        eventually("the last", || told.lock().unwrap().contains(&format!("occupied last-{number}"))).await;
    }
    for socket in sockets {
        socket.close(1000).await;
    }
    let is_over = |number| told.lock().unwrap().contains(&format!("vacated last-{number}"));
    eventually("the last of them gone", || (0..doors.len()).all(is_over)).await;
    let mut told = std::mem::take(&mut *told.lock().unwrap());
    told.retain(|told| !told.contains("last-"));
    told.sort();
    told
}

#[tokio::test]
async fn one_door_tells_for_all() {
    let (redis, (app, told)) = (Redis::start(&[]), receiver().await);
    let doors = doors::<2>(&redis, &app);
    let ann = come(&doors[0], "presence-x", "ann").await;
    let mut others = vec![come(&doors[1], "presence-x", "bob").await, come(&doors[1], "presence-x", "ann").await];
    for door in [&doors[0], &doors[1], &doors[0], &doors[1]] {
        others.push(come(door, "room", "").await);
    }
    let expected = ["added presence-x ann", "added presence-x bob", "occupied presence-x", "occupied room"];
    assert_eq!(all_told(&told, &doors).await, expected);
    // She is at the other door still.
    ann.close(1000).await;
    assert!(all_told(&told, &doors).await.is_empty());
    // All at once, on both doors.
    futures_util::future::join_all(others.into_iter().map(|socket| socket.close(1000))).await;
    let expected = ["removed presence-x ann", "removed presence-x bob", "vacated presence-x", "vacated room"];
    sorted_after(&told, "vacated presence-x").await.iter().for_each(|told| assert!(expected.contains(&&**told)));
    assert!(all_told(&told, &doors).await.iter().all(|told| expected.contains(&&**told)));
    // And once more from the beginning.
    let again = come(&doors[1], "room", "").await;
    assert_eq!(all_told(&told, &doors).await, ["occupied room"]);
    again.close(1000).await;
    sorted_after(&told, "vacated room").await;
}

#[tokio::test]
async fn a_page_that_changes_doors_is_silent() {
    let (redis, (app, told)) = (Redis::start(&[]), receiver().await);
    let doors = doors::<2>(&redis, &app);
    let mut ann = come(&doors[0], "presence-x", "ann").await;
    assert_eq!(all_told(&told, &doors).await, ["added presence-x ann", "occupied presence-x"]);
    for number in 0..4 {
        ann.close(1000).await;
        ann = come(&doors[(number + 1) % 2], "presence-x", "ann").await;
    }
    assert!(all_told(&told, &doors).await.is_empty());
    ann.close(1000).await;
    assert_eq!(sorted_after(&told, "vacated presence-x").await, ["removed presence-x ann", "vacated presence-x"]);
}

#[tokio::test]
async fn of_a_door_that_died_another_tells() {
    let (redis, (app, told)) = (Redis::start(&[]), receiver().await);
    let doors = doors::<3>(&redis, &app);
    let _dead = [come(&doors[0], "presence-x", "ann").await, come(&doors[0], "alone", "").await];
    let _bob = come(&doors[1], "presence-x", "bob").await;
    let living = &doors[1..];
    eventually("all is told", || told.lock().unwrap().len() == 4).await;
    told.lock().unwrap().clear();
    doors[0].signal("KILL");
    eventually("all is over", || told.lock().unwrap().len() == 2).await;
    assert_eq!(all_told(&told, living).await, ["removed presence-x ann", "vacated alone"]);
}

#[tokio::test]
async fn of_a_door_that_stops_another_tells_who_did_not_come_back() {
    let (redis, (app, told)) = (Redis::start(&[]), receiver().await);
    let mut doors = doors::<2>(&redis, &app).into_iter();
    let (mut stops, stays) = (doors.next().unwrap(), doors.next().unwrap());
    let mut sockets = Vec::new();
    for channel in ["comes back", "does not"].map(|name| format!("presence-{}", name.replace(' ', "-"))) {
        sockets.push(come(&stops, &channel, "ann").await);
    }
    eventually("all is told", || told.lock().unwrap().len() == 4).await;
    told.lock().unwrap().clear();
    stops.signal("TERM");
    for mut socket in sockets {
        assert_eq!(socket.closed().await.0, 4101);
    }
    let _back = come(&stays, "presence-comes-back", "ann").await;
    assert!(stops.wait().success());
    eventually("all is over", || told.lock().unwrap().len() == 2).await;
    let expected = ["removed presence-does-not ann", "vacated presence-does-not"];
    assert_eq!(all_told(&told, &[stays]).await, expected);
}
