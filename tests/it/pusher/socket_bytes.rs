//! Promise: whatever a client says that is wrong gets the protocol's own error, and its socket stays open.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::app::{data, enter, pusher, sign, subscribe};
use crate::harness::socket::connect;

const PING: &str = r#"{"event":"pusher:ping","data":"{}"}"#;

#[tokio::test]
async fn each_version_and_key_that_is_wrong_has_its_code() {
    let door = pusher("");
    for (path, code) in [
        ("/app/app-key", 4008),
        ("/app/app-key?protocol=", 4006),
        ("/app/app-key?protocol=seven", 4006),
        ("/app/app-key?protocol=-1", 4006),
        ("/app/app-key?protocol=4", 4007),
        ("/app/app-key?protocol=8", 4007),
        ("/app/nobody?protocol=7", 4001),
        ("/api/ws/app/nobody?protocol=7", 4001),
        ("/app/app-key/more?protocol=7", 4005),
        ("/api/ws/app/app-key/?protocol=7", 4005),
    ] {
        let mut socket = connect(&door, path).await;
        let error = socket.hear_json().await;
        assert_eq!(error["event"], "pusher:error", "{path}");
        assert_eq!(data(&error)["code"], code, "{path}");
        assert_eq!(socket.closed().await.0, code, "{path}");
    }
}

#[tokio::test]
async fn what_is_no_message_is_told_so_and_ends_nothing() {
    let door = pusher("");
    let (mut socket, _) = enter(&door).await;
    for said in [
        "",
        "{",
        "[]",
        "null",
        "7",
        "\"pusher:ping\"",
        "{}",
        r#"{"event":7}"#,
        r#"{"event":null,"data":{}}"#,
        r#"{"event":"pusher:subscribe"}"#,
        r#"{"event":"pusher:subscribe","data":"a string"}"#,
        r#"{"event":"pusher:subscribe","data":{"channel":7}}"#,
        r#"{"event":"pusher:subscribe","data":{"channel":"a","auth":{}}}"#,
        r#"{"event":"pusher:unsubscribe","data":{}}"#,
        r#"{"event":"pusher:signin","data":{"auth":"k:s"}}"#,
        r#"{"event":"client-x","data":{}}"#,
        r#"{"event":"client-x","channel":["a"]}"#,
    ] {
        socket.say(said).await;
        let error = socket.hear_json().await;
        assert_eq!((&error["event"], &data(&error)["code"]), (&json!("pusher:error"), &json!(null)), "{said}");
        socket.say(PING).await;
        assert_eq!(socket.hear().await, r#"{"event":"pusher:pong","data":"{}"}"#, "{said}");
    }
    socket.say(&"[".repeat(10_000)).await;
    assert_eq!(socket.hear_json().await["event"], "pusher:error");
    socket.send(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(socket.hear_json().await["event"], "pusher:error");
    for ignored in [r#"{"event":"hello"}"#, r#"{"event":"pusher:pong"}"#, r#"{"event":"pusher_internal:x","data":1}"#] {
        socket.say(ignored).await;
    }
    socket.say(PING).await;
    assert_eq!(socket.hear().await, r#"{"event":"pusher:pong","data":"{}"}"#);
}

#[tokio::test]
async fn a_name_that_is_none_is_no_channel() {
    let door = pusher("");
    let (mut socket, _) = enter(&door).await;
    for name in ["", "a b", "a/b", "a#b", "ä", "a\u{0}", "#server-to-user-", &"x".repeat(201), &"x".repeat(100_000)] {
        socket.say(&subscribe(name, "")).await;
        let error = socket.hear_json().await;
        assert_eq!(error["event"], "pusher:subscription_error", "{name:.40}");
        assert_eq!(data(&error)["status"], 400, "{name:.40}");
        assert!(error["channel"].as_str().unwrap().len() <= 1000, "it is not said back without end");
    }
    let longest = "x".repeat(200);
    socket.say(&subscribe(&longest, "")).await;
    let succeeded = socket.hear_json().await;
    assert_eq!(
        (succeeded["event"].as_str(), succeeded["channel"].as_str()),
        (Some("pusher_internal:subscription_succeeded"), Some(longest.as_str()),)
    );
}

#[tokio::test]
async fn a_signature_is_good_for_its_own_connection_and_channel_alone() {
    let door = pusher("");
    let (mut socket, id) = enter(&door).await;
    let (_other, other) = enter(&door).await;
    let of = |secret: &str, text: &str| format!("app-key:{}", sign(secret, text));
    let good = of("app-secret", &format!("{id}:private-x"));
    let wrong = [
        String::new(),
        ":".into(),
        "app-key".into(),
        "app-key:".into(),
        "app-key:nonsense".into(),
        good.replace("app-key", "nobody"),
        good[..good.len() - 1].to_owned(),
        format!("{good}0"),
        of("other-secret", &format!("{id}:private-x")),
        of("app-secret", &format!("{id}:private-y")),
        of("app-secret", &format!("{id}:private-x:{{}}")),
        of("app-secret", &format!("{other}:private-x")),
        of("app-secret", &id),
    ];
    for auth in &wrong {
        socket.say(&subscribe("private-x", auth)).await;
        let error = socket.hear_json().await;
        assert_eq!(error["event"], "pusher:subscription_error", "{auth}");
        let told = data(&error);
        assert_eq!((&told["type"], &told["status"]), (&json!("AuthError"), &json!(401)), "{auth}");
    }
    socket.say(&subscribe("private-x", &good)).await;
    assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded");
    socket.say(&subscribe("private-x", &good)).await;
    assert_eq!(socket.hear_json().await["event"], "pusher:error", "a second time");
    // What signs for a private channel signs for no user.
    let user = json!({ "event": "pusher:signin", "data": { "auth": good, "user_data": "{\"id\":\"ann\"}" } });
    socket.say(&user.to_string()).await;
    assert_eq!(data(&socket.hear_json().await)["code"], 4009);
    assert_eq!(socket.closed().await.0, 4009);
}

#[tokio::test]
async fn client_events_have_their_places_sizes_and_rate() {
    let door = pusher("client_event_rate = 3\nmax_event = \"1KiB\"");
    let (mut socket, id) = enter(&door).await;
    let auth = format!("app-key:{}", sign("app-secret", &format!("{id}:private-x")));
    socket.say(&subscribe("private-x", &auth)).await;
    socket.say(&subscribe("open", "")).await;
    for _ in 0..2 {
        assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded");
    }
    let said = |event: &str, channel: &str, data: &str| {
        json!({ "event": event, "channel": channel, "data": data }).to_string()
    };
    for wrong in [
        said("client-x", "open", ""),
        said("client-x", "private-elsewhere", ""),
        said("client-x", "no name", ""),
        said(&format!("client-{}", "x".repeat(200)), "private-x", ""),
        said("client-x", "private-x", &"x".repeat(1025)),
    ] {
        socket.say(&wrong).await;
        let error = socket.hear_json().await;
        assert_eq!((&error["event"], &data(&error)["code"]), (&json!("pusher:error"), &json!(4301)), "{wrong:.60}");
    }
    for _ in 0..100 {
        socket.say(&said("client-x", "private-x", &"x".repeat(1024))).await;
    }
    socket.say(PING).await;
    let mut rejected = 0;
    loop {
        let heard = socket.hear_json().await;
        match heard["event"].as_str() {
            Some("pusher:pong") => break,
            Some("pusher:error") if data(&heard)["code"] == 4301 => rejected += 1,
            _ => panic!("{heard}"),
        }
    }
    assert!((1..=97).contains(&rejected), "{rejected}");
}
