//! Promise: a slow reader holds nobody back; what becomes of it is the channel's policy, and is counted.

use crate::harness::socket::{Socket, connect, connect_narrow};
use crate::harness::{Door, door};

const FLOOD: usize = 120;

fn config(policy: &str) -> String {
    format!(
        "[[realtime.channel]]\nmatch = \"room\"\n{policy}\n[realtime.outbox]\nmessages = 20\n\
         [realtime.websocket]\nclose_timeout = \"10m\"\n\
         [realtime.plain]\necho = false\nping_interval = \"0s\"\n"
    )
}

/// A listener that reads nothing while a speaker says more than the system's buffers hold, and another reads it all.
async fn flood(door: &Door) -> Socket {
    let slow = connect_narrow(door, "/api/ws/room?since=now").await;
    let mut fast = connect(door, "/api/ws/room").await;
    let mut speaker = connect(door, "/api/ws/room").await;
    let filler = "x".repeat(60_000);
    for number in 0..FLOOD {
        speaker.say(&format!("{number} {filler}")).await;
        for socket in [&mut speaker, &mut fast] {
            let heard = socket.hear_json().await;
            assert!(heard["data"].as_str().unwrap().starts_with(&format!("{number} ")), "out of order");
        }
    }
    slow
}

/// What the slow one hears in the end: the numbers of the messages, and how many it was told it lost.
async fn aftermath(slow: &mut Socket) -> (Vec<usize>, u64) {
    let (mut numbers, mut lost) = (Vec::new(), 0);
    let offset = |id: &serde_json::Value| id.as_str().unwrap().split_once('-').unwrap().1.parse::<u64>().unwrap();
    let mut at = 0;
    while numbers.last() != Some(&(FLOOD - 1)) {
        let told = slow.hear_json().await;
        match told["type"].as_str().unwrap() {
            "subscribed" => at = offset(&told["id"]),
            "lost" => {
                assert_eq!(offset(&told["after"]), at, "{told}");
                lost += offset(&told["upto"]) - at;
                at = offset(&told["upto"]);
            }
            _ => {
                assert_eq!(offset(&told["id"]), at + 1, "a gap that nobody told of");
                at += 1;
                numbers.push(told["data"].as_str().unwrap().split_once(' ').unwrap().0.parse().unwrap());
            }
        }
    }
    (numbers, lost)
}

#[tokio::test]
async fn it_is_closed() {
    let door = door().config(config("slow = \"disconnect\"")).start();
    let mut slow = flood(&door).await;
    assert_eq!(slow.closed().await.0, 1013);
    drop(slow);
    let line = door.wait_for_log(|line| line["message"] == "socket closed" && line["reason"] == "slow");
    assert_eq!(line["code"], 1013);
    assert_eq!(line["channel"], "room", "{line}");
    let (messages, bytes) = (line["waiting_messages"].as_u64().unwrap(), line["waiting_bytes"].as_u64().unwrap());
    // Full of either: a megabyte, or twenty messages of 60 KB.
    assert!((10..=20).contains(&messages) && bytes > messages * 60_000, "{line}");
}

#[tokio::test]
async fn slow_client_without_words_for_loss_is_closed_and_logged() {
    let door = door().config(config("slow = \"drop-oldest\"") + "verbatim = true\nbroadcast = \"others\"\n").start();
    let mut slow = connect_narrow(&door, "/api/ws/room").await;
    let mut fast = connect(&door, "/api/ws/room").await;
    let mut speaker = connect(&door, "/api/ws/room").await;
    let filler = "x".repeat(60_000);
    for _ in 0..FLOOD {
        speaker.say(&filler).await;
        assert_eq!(fast.hear().await, filler);
    }
    assert_eq!(slow.closed().await.0, 1013);
    drop(slow);
    let line = door.wait_for_log(|line| line["message"] == "socket closed" && line["reason"] == "slow");
    assert_eq!((&line["channel"], line["waiting_bytes"].is_u64()), (&"room".into(), true), "{line}");
    speaker.close(1000).await;
    let line = door.wait_for_log(|line| line["message"] == "socket closed" && line["by"] == "client");
    assert!(line["channel"].is_null() && line["waiting_bytes"].is_null(), "only of slow clients: {line}");
}

#[tokio::test]
async fn it_loses_the_oldest_and_is_told() {
    let door = door().config(config("slow = \"drop-oldest\"")).start();
    let mut slow = flood(&door).await;
    let (numbers, lost) = aftermath(&mut slow).await;
    assert!(lost > 0, "nothing was lost: the flood is too small");
    assert_eq!(numbers.len() as u64 + lost, FLOOD as u64);
}

#[tokio::test]
async fn with_history_it_loses_nothing() {
    let door = door().config(config("slow = \"drop-oldest\"\nhistory = 1000")).start();
    let mut slow = flood(&door).await;
    let (numbers, lost) = aftermath(&mut slow).await;
    assert_eq!((numbers, lost), ((0..FLOOD).collect(), 0));
    assert!(door.metric("hub_fell_behind_total").await >= 1.0, "it never fell behind: the flood is too small");
    // And it is live again.
    let mut speaker = connect(&door, "/api/ws/room").await;
    speaker.say("120 live").await;
    assert_eq!(slow.hear_json().await["data"], "120 live");
}

#[tokio::test]
async fn client_that_never_reads_is_not_heard_for_ever() {
    let config = "[realtime.plain]\nbroadcast = \"off\"\nping_interval = \"1s\"\nping_timeout = \"1s\"\n";
    let door = door().config(config).start();
    let text = "x".repeat(100_000);
    let mut socket = connect(&door, "/api/ws").await;
    for _ in 0..50 {
        socket.say(&text).await;
        socket.hear().await;
    }
    let before = door.resident();
    let mut socket = connect_narrow(&door, "/api/ws").await;
    let sending = async {
        // Ends when the door no longer takes anything and closes.
        let mut taken = 0;
        while socket.try_say(&text).await.is_ok() {
            taken += text.len();
        }
        taken
    };
    let taken = tokio::time::timeout(crate::harness::PATIENCE, sending).await.expect("it is cut off");
    let grown = door.resident().saturating_sub(before);
    println!("{taken} bytes were taken, and {grown} are held");
    // All that is taken are the buffers of the system (some 10 MB on loopback, 37 at most by default): what the door
    // itself reads ahead is 64 KiB. Without a bound it would be all that can be sent in two seconds.
    assert!(taken < 60_000_000, "{taken} bytes were taken");
    // The allocator takes memory from the system in segments of 32 MiB, and gives it back in its own time.
    assert!(grown < 40_000_000, "grown by {grown}");
}
