//! Promise: the WebSocket app that a tutorial gives you works on `/api/ws` without a server of its own.

use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::harness::door;
use crate::harness::socket::connect;

fn config(plain: &str) -> String {
    format!("[realtime.plain]\n{plain}\n")
}

#[tokio::test]
async fn a_message_is_echoed_to_its_sender_and_then_broadcast_to_all() {
    let door = door().start();
    let mut alice = connect(&door, "/api/ws").await;
    let mut bob = connect(&door, "/api/ws").await;
    alice.say("hello").await;
    let echo = alice.hear_json().await;
    assert_eq!((&echo["type"], &echo["data"]), (&"echo".into(), &"hello".into()), "{echo}");
    assert!(echo["timestamp"].as_u64().unwrap() > 1_600_000_000_000, "{echo}");
    assert_eq!(alice.hear().await, r#"{"type":"broadcast","data":"hello"}"#);
    assert_eq!(bob.hear().await, r#"{"type":"broadcast","data":"hello"}"#);
    bob.is_quiet().await;
}

#[tokio::test]
async fn whatever_text_is_said_is_heard_as_it_was() {
    let door = door().start();
    let mut alice = connect(&door, "/api/ws").await;
    for text in ["", "\"quoted\" \\ \n\r\t\u{1}", "ÄÖ💡\u{2028}", "{\"type\":\"echo\"}", &"x".repeat(200_000)] {
        alice.say(text).await;
        assert_eq!(alice.hear_json().await["data"], text);
        assert_eq!(alice.hear_json().await["data"], text);
    }
}

#[tokio::test]
async fn messages_keep_their_order_for_everybody() {
    let door = door().config(config("echo = false")).start();
    let mut alice = connect(&door, "/api/ws").await;
    let mut bob = connect(&door, "/api/ws").await;
    for round in 0..20 {
        for number in 0..10 {
            alice.say(&format!("a{round}-{number}")).await;
            bob.say(&format!("b{round}-{number}")).await;
        }
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            first.push(alice.hear_json().await["data"].as_str().unwrap().to_owned());
            second.push(bob.hear_json().await["data"].as_str().unwrap().to_owned());
        }
        assert_eq!(first, second);
        let of_alice: Vec<_> = first.iter().filter(|text| text.starts_with('a')).cloned().collect();
        assert_eq!(of_alice, (0..10).map(|number| format!("a{round}-{number}")).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn echo_alone() {
    let door = door().config(config("broadcast = \"off\"")).start();
    let mut alice = connect(&door, "/api/ws").await;
    let mut bob = connect(&door, "/api/ws").await;
    alice.say("x").await;
    assert_eq!(alice.hear_json().await["type"], "echo");
    alice.is_quiet().await;
    bob.is_quiet().await;
}

#[tokio::test]
async fn broadcast_to_the_others() {
    let door = door().config(config("echo = false\nbroadcast = \"others\"")).start();
    let mut alice = connect(&door, "/api/ws").await;
    let mut bob = connect(&door, "/api/ws").await;
    alice.say("x").await;
    assert_eq!(bob.hear_json().await["data"], "x");
    alice.is_quiet().await;
}

#[tokio::test]
async fn verbatim_relays_frames_as_they_are_binary_too() {
    let door = door().config(config("echo = false\nbroadcast = \"others\"\nverbatim = true")).start();
    let mut alice = connect(&door, "/api/ws").await;
    let mut bob = connect(&door, "/api/ws").await;
    alice.say("as it is").await;
    assert_eq!(bob.message().await, Message::text("as it is"));
    let bytes = Bytes::from_static(&[0, 255, 1, 254]);
    alice.send(Message::Binary(bytes.clone())).await;
    assert_eq!(bob.message().await, Message::Binary(bytes));
}

#[tokio::test]
async fn binary_is_refused_where_it_means_nothing() {
    let door = door().start();
    let mut alice = connect(&door, "/api/ws").await;
    alice.send(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(alice.closed().await.0, 1003);
}

#[tokio::test]
async fn rooms_are_apart_and_the_path_itself_is_the_default_one() {
    let door = door().config(config("echo = false\nchannel = \"lobby\"")).start();
    let mut lobby = connect(&door, "/api/ws").await;
    let mut same = connect(&door, "/api/ws/lobby").await;
    let mut other = connect(&door, "/api/ws/a%20b").await;
    lobby.say("x").await;
    assert_eq!(lobby.hear_json().await["data"], "x");
    assert_eq!(same.hear_json().await["data"], "x");
    other.is_quiet().await;
    other.say("y").await;
    assert_eq!(other.hear_json().await["data"], "y");
    lobby.is_quiet().await;
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_a_dead_one_closed() {
    let door = door().config(config("ping_interval = \"200ms\"\nping_timeout = \"300ms\"")).start();
    let mut alive = connect(&door, "/api/ws").await;
    let mut pings = 0;
    while pings < 4 {
        // Reading is what answers them.
        pings += usize::from(matches!(alive.frame().await, Some(Ok(Message::Ping(_)))));
    }
    let dead = connect(&door, "/api/ws").await;
    let line = door.wait_for_log(|line| line["message"] == "socket closed");
    assert_eq!((&line["reason"], &line["code"]), (&"idle".into(), &1001.into()), "{line}");
    drop(dead);
}

#[tokio::test]
async fn an_idle_client_is_closed_where_the_config_says_so() {
    let door = door().config(config("idle_timeout = \"300ms\"")).start();
    let mut alice = connect(&door, "/api/ws").await;
    assert_eq!(alice.closed().await, (1001, "idle".to_owned()));
}

#[tokio::test]
async fn a_socket_has_a_line_in_the_log_with_its_life_and_counts() {
    let door = door().start();
    let mut alice = connect(&door, "/api/ws/room?token=secret").await;
    alice.say("hello").await;
    alice.hear().await;
    alice.hear().await;
    alice.close(1000).await;
    let line = door.wait_for_log(|line| line["message"] == "socket closed");
    assert_eq!((&line["path"], &line["dialect"]), (&"/api/ws/room".into(), &"plain".into()), "{line}");
    assert_eq!((&line["by"], &line["code"]), (&"client".into(), &1000.into()), "{line}");
    assert_eq!((&line["messages_in"], &line["messages_out"]), (&1.into(), &2.into()), "{line}");
    assert!(line["seconds"].as_f64().unwrap() > 0.0 && line["bytes_out"].as_u64().unwrap() > 80, "{line}");
    assert!(!door.output().contains("secret"), "{}", door.output());
}

#[tokio::test]
async fn a_reload_changes_new_sockets_and_leaves_open_ones() {
    let door = door().config(config("echo = false")).start();
    let mut old = connect(&door, "/api/ws").await;
    door.rewrite(&config("echo = false\nverbatim = true"));
    door.signal("HUP");
    door.wait_for_log(|line| line["message"] == "reloaded");
    let mut new = connect(&door, "/api/ws").await;
    new.say("x").await;
    assert_eq!(new.hear().await, "x");
    assert_eq!(old.hear().await, r#"{"type":"broadcast","data":"x"}"#);
}

/// As popular hooks send it: an answer for the sender, and nothing for anybody else.
#[tokio::test]
async fn a_heartbeat_of_the_clients_own_is_no_message() {
    for (config, beat, text) in [
        ("", "ping", "a message"),
        ("[realtime.plain]\nverbatim = true\n", "ping", "a message"),
        ("[realtime.plain]\nheartbeat = \"are you there?\"\n", "are you there?", "ping"),
    ] {
        let door = door().config(config).start();
        let (mut one, mut other) = (connect(&door, "/api/ws").await, connect(&door, "/api/ws").await);
        one.say(beat).await;
        assert_eq!(one.hear().await, "pong");
        other.is_quiet().await;
        one.is_quiet().await;
        one.say(text).await;
        assert!(other.hear().await.contains(text), "all else is one");
    }
    let door = door().config("[realtime.plain]\nheartbeat = \"off\"\n").start();
    let mut one = connect(&door, "/api/ws").await;
    one.say("ping").await;
    assert_eq!(one.hear_json().await["data"], "ping");
}
