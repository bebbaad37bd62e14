//! Promise: an end that the hub, the app or an operator has decided comes in time, whatever the client takes or says.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::harness::client::ask;
use crate::harness::socket::{Socket, connect, connect_narrow};
use crate::harness::{App, Door, door, response};

/// No heartbeat ends anything here.
const CALM: &str = "[realtime.plain]\nping_interval = \"0s\"\n[realtime.websocket]\nclose_timeout = \"1s\"\n";

fn room(slow: &str) -> String {
    format!(
        "[[realtime.channel]]\nmatch = \"room\"\npresence = \"all\"\npresence_grace = \"0s\"\nslow = \"{slow}\"\n\
         [[realtime.channel]]\nmatch = \"*\"\n[realtime.outbox]\nmessages = 20\n"
    )
}

async fn post(door: &Door, path: &str, body: &Value) -> u16 {
    let headers = [("host", "localhost"), ("content-type", "application/json")];
    let answer = ask(door.admin(), "POST", &format!("/_doorway/api/v1{path}"), &headers, body.to_string()).await;
    answer.status
}

/// A client in `room` that reads nothing, and takes nothing any more; and its id.
async fn blocked(door: &Door, policy: &str) -> (Socket, String) {
    let mut socket = connect_narrow(door, "/api/ws/room").await;
    let id = socket.hear_json().await["members"][0]["id"].as_str().expect("an id").to_owned();
    let message = json!({"channel": "room", "text": "x".repeat(60_000)});
    while door.metric(&format!("hub_slow_total{{policy=\"{policy}\"}}")).await == 0.0 {
        assert_eq!(post(door, "/publish", &message).await, 200);
    }
    (socket, id)
}

async fn has_ended(door: &Door, reason: &str) {
    // The app of a test answers only while this waits by itself.
    door.wait_for_metric("hub_members", 0.0).await;
    door.wait_for_log(|line| line["message"] == "socket closed" && line["reason"] == reason);
}

#[tokio::test]
async fn who_reads_too_slowly_is_gone_although_it_takes_no_close() {
    let door = door().config(room("disconnect") + CALM).start();
    let _slow = blocked(&door, "disconnect").await;
    has_ended(&door, "slow").await;
}

#[tokio::test]
async fn api_disconnect_needs_no_close_of_the_client() {
    let door = door().config(room("drop-oldest") + CALM).start();
    let (_slow, id) = blocked(&door, "drop_oldest").await;
    assert_eq!(post(&door, "/disconnect", &json!({"connection": id})).await, 200);
    has_ended(&door, "kicked").await;
}

#[tokio::test]
async fn app_disconnect_needs_no_close_of_the_client() {
    let app = App::start(|request| async move {
        let body = request.into_body().collect().await.expect("a whole body").to_bytes();
        let question: Value = serde_json::from_slice(&body).unwrap_or_default();
        let id = &question["data"]["text"];
        response(200, json!({"commands": [{"do": "disconnect", "connection": id}]}).to_string())
    })
    .await;
    let callbacks = "[callbacks]\nevents = [\"message\"]\n";
    let door = door().config(app.config() + callbacks + &room("drop-oldest") + CALM).start();
    let (_slow, id) = blocked(&door, "drop_oldest").await;
    let mut moderator = connect(&door, "/api/ws/elsewhere").await;
    moderator.say(&id).await;
    has_ended(&door, "kicked").await;
}

#[tokio::test]
async fn an_end_that_was_ordered_does_not_hurry_who_takes_it() {
    let calm = CALM.replace("1s", "10m");
    let door = door().config(room("drop-oldest") + &calm).start();
    let (mut slow, id) = blocked(&door, "drop_oldest").await;
    assert_eq!(post(&door, "/disconnect", &json!({"connection": id, "code": 4001, "reason": "bye"})).await, 200);
    let mut last = Value::Null;
    let close = loop {
        match slow.frame().await {
            Some(Ok(tokio_tungstenite::tungstenite::Message::Text(text))) => {
                last = serde_json::from_str(&text).expect("JSON");
            }
            Some(Ok(tokio_tungstenite::tungstenite::Message::Close(close))) => break close.expect("a code"),
            Some(Ok(_)) => {}
            other => panic!("instead of a close: {other:?}"),
        }
    };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (4001, "bye"));
    assert_eq!(last["type"], "broadcast", "what waited came before: {last}");
}

#[tokio::test]
async fn who_answers_no_ping_is_not_waited_for() {
    let config = "[realtime.websocket]\nclose_timeout = \"10m\"\n\
         [realtime.plain]\nping_interval = \"200ms\"\nping_timeout = \"200ms\"\n\
         [[realtime.socketio]]\nping_interval = \"200ms\"\nping_timeout = \"200ms\"\n\
         [[realtime.pusher]]\nid = \"1\"\nkey = \"app-key\"\nsecret = \"app-secret\"\n\
         activity_timeout = \"1s\"\npong_timeout = \"200ms\"\n";
    let door = door().config(config).start();
    let paths = ["/api/ws", "/socket.io/?EIO=4&transport=websocket", "/app/app-key?protocol=7"];
    for (path, reason) in paths.into_iter().zip(["idle", "ping timeout", "idle"]) {
        let seen = door.log().len();
        // It takes what it is sent, and reads nothing.
        let _dead = connect(&door, path).await;
        door.wait_for_log_after(seen, |line| line["message"] == "socket closed" && line["reason"] == reason);
        door.wait_for_metric("hub_connections", 0.0).await;
    }
}
