//! Promise: who comes back with its position gets exactly what it missed, in order, once, or is told that it cannot.

use serde_json::Value;

use crate::harness::socket::{Socket, connect, refused};
use crate::harness::{Door, door};

const CONFIG: &str = "[[realtime.channel]]\nmatch = \"kept\"\nhistory = 5\n[realtime.plain]\necho = false\n";

async fn data(socket: &mut Socket) -> String {
    socket.hear_json().await["data"].as_str().unwrap().to_owned()
}

/// Says `texts` in the channel and gives the position of each.
async fn say(door: &Door, texts: &[&str]) -> Vec<String> {
    let mut speaker = connect(door, "/api/ws/kept?since=now").await;
    speaker.hear_json().await;
    let mut positions = Vec::new();
    for text in texts {
        speaker.say(text).await;
        let message = speaker.hear_json().await;
        assert_eq!(message["data"], *text);
        positions.push(message["id"].as_str().unwrap().to_owned());
    }
    positions
}

#[tokio::test]
async fn what_was_missed_comes_once_and_in_order_and_then_what_is_new() {
    let door = door().config(CONFIG).start();
    let positions = say(&door, &["a", "b", "c"]).await;
    let mut back = connect(&door, &format!("/api/ws/kept?since={}", positions[0])).await;
    let told = back.hear_json().await;
    assert_eq!(told["type"], "subscribed");
    assert_eq!((&told["recovered"], &told["missed"]), (&Value::Bool(true), &2.into()), "{told}");
    assert_eq!(told["id"], positions[0], "where it stands until it has read on");
    assert_eq!((data(&mut back).await, data(&mut back).await), ("b".into(), "c".into()));
    say(&door, &["d"]).await;
    assert_eq!(data(&mut back).await, "d");
    back.is_quiet().await;
}

#[tokio::test]
async fn everything_that_is_kept_can_be_had() {
    let door = door().config(CONFIG).start();
    say(&door, &["a", "b", "c", "d", "e", "f", "g"]).await;
    let mut new = connect(&door, "/api/ws/kept?since=start").await;
    assert_eq!(new.hear_json().await["missed"], 5);
    for expected in ["c", "d", "e", "f", "g"] {
        assert_eq!(data(&mut new).await, expected);
    }
    new.is_quiet().await;
}

#[tokio::test]
async fn what_is_no_longer_kept_is_said_to_be_gone() {
    let door = door().config(CONFIG).start();
    let positions = say(&door, &["a", "b", "c", "d", "e", "f", "g"]).await;
    let mut back = connect(&door, &format!("/api/ws/kept?since={}", positions[0])).await;
    let told = back.hear_json().await;
    assert_eq!((&told["recovered"], &told["id"]), (&Value::Bool(false), &positions[6].as_str().into()), "{told}");
    say(&door, &["new"]).await;
    assert_eq!(data(&mut back).await, "new");
}

#[tokio::test]
async fn a_restart_begins_a_new_epoch_and_says_so() {
    let before = {
        let door = door().config(CONFIG).start();
        say(&door, &["a", "b"]).await
    };
    let door = door().config(CONFIG).start();
    let now = say(&door, &["a", "b"]).await;
    assert_ne!(before, now);
    let mut back = connect(&door, &format!("/api/ws/kept?since={}", before[0])).await;
    assert_eq!(back.hear_json().await["recovered"], false);
}

#[tokio::test]
async fn a_reload_of_the_config_keeps_positions() {
    let door = door().config(CONFIG).start();
    let positions = say(&door, &["a", "b"]).await;
    door.rewrite(&CONFIG.replace("history = 5", "history = 9"));
    door.signal("HUP");
    door.wait_for_log(|line| line["message"] == "reloaded");
    let mut back = connect(&door, &format!("/api/ws/kept?since={}", positions[0])).await;
    assert_eq!(back.hear_json().await["recovered"], true);
    assert_eq!(data(&mut back).await, "b");
}

#[tokio::test]
async fn without_history_nothing_missed_is_still_something_known() {
    let door = door().config(CONFIG).start();
    let mut stays = connect(&door, "/api/ws/live?since=now").await;
    stays.hear_json().await;
    stays.say("a").await;
    let position = stays.hear_json().await["id"].as_str().unwrap().to_owned();
    let mut back = connect(&door, &format!("/api/ws/live?since={position}")).await;
    assert_eq!(back.hear_json().await["recovered"], true, "nothing was missed");
    stays.say("b").await;
    stays.hear().await;
    let mut late = connect(&door, &format!("/api/ws/live?since={position}")).await;
    assert_eq!(late.hear_json().await["recovered"], false);
}

#[tokio::test]
async fn a_position_that_is_none_is_a_bad_request() {
    let door = door().config(CONFIG).start();
    for since in ["yesterday", "1-", "-1", "g-1", "1-99999999999999999999999"] {
        assert_eq!(refused(&door, &format!("/api/ws/kept?since={since}"), &[]).await, 400, "{since}");
    }
}

#[tokio::test]
async fn clients_that_come_and_go_all_the_time_miss_nothing() {
    let door = door().config(CONFIG.replace("history = 5", "history = 1000")).start();
    const MESSAGES: usize = 300;
    let mut speaker = connect(&door, "/api/ws/kept").await;
    let mut listeners = tokio::task::JoinSet::new();
    for listener in 0..20_usize {
        let door = door.http();
        listeners.spawn(async move {
            let (mut since, mut heard) = ("start".to_owned(), Vec::new());
            while heard.len() < MESSAGES {
                let path = format!("/api/ws/kept?since={since}");
                let mut socket = crate::harness::socket::connect_to(door, &path, &[]).await.expect("let in");
                let told = socket.hear_json().await;
                assert_ne!(told["recovered"], false, "{told}");
                // Gone after a few messages, as on a train.
                for _ in 0..(listener % 7 + 3).min(MESSAGES - heard.len()) {
                    let message = socket.hear_json().await;
                    since = message["id"].as_str().unwrap().to_owned();
                    heard.push(message["data"].as_str().unwrap().parse::<usize>().unwrap());
                }
            }
            heard
        });
    }
    for number in 0..MESSAGES {
        speaker.say(&number.to_string()).await;
        speaker.hear().await;
    }
    while let Some(heard) = listeners.join_next().await {
        assert_eq!(heard.expect("no panic"), (0..MESSAGES).collect::<Vec<_>>());
    }
}
