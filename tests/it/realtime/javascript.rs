//! Promise: what is JSON to JavaScript is JSON here, whoever sends it: no half of an emoji ends a connection.

use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::client::ask;
use crate::harness::socket::{Socket, connect};
use crate::harness::{App, Door, door, response};
use crate::pusher::app::{self as pusher_app, enter, md5, now, pusher, sign};

const SOCKETIO: &str = "/socket.io/?EIO=4&transport=websocket";

async fn post(door: &Door, path: &str, body: &str) -> u16 {
    let headers = [("host", "localhost"), ("content-type", "application/json")];
    let path = format!("/_doorway/api/v1{path}");
    ask(door.admin(), "POST", &path, &headers, body.to_owned()).await.status
}

async fn socketio(door: &Door) -> Socket {
    let mut socket = connect(door, SOCKETIO).await;
    socket.hear().await;
    socket.say("40").await;
    assert!(socket.hear().await.starts_with("40{"));
    socket
}

/// The data of the next message that is relayed, and all that came before it.
async fn relayed(socket: &mut Socket) -> (String, Vec<String>) {
    let mut before = Vec::new();
    loop {
        let heard = socket.hear().await;
        match heard.split_once("\"data\":") {
            Some((_, data)) => return (data[..data.rfind(",\"timestamp\"").expect("a relay's")].to_owned(), before),
            None => before.push(heard),
        }
    }
}

#[tokio::test]
async fn socketio_client_may_say_half_an_emoji_and_any_number() {
    let door = door().start();
    let (mut ada, mut bob) = (socketio(&door).await, socketio(&door).await);
    for (said, data, answered) in [
        (r#"42["message","\ud83d"]"#, r#""\ud83d""#, None),
        (r#"42["m\u0065ssage",1e400]"#, "1e400", None),
        (r#"42 ["message",1]"#, "1", Some("430[")),
        ("42\t7 [\"message\",2] ", "2", Some("437[")),
        (r#"4299999999999999999999["message",3]"#, "3", None),
    ] {
        ada.say(said).await;
        let (heard, before) = relayed(&mut ada).await;
        assert_eq!(heard, data, "{said}");
        assert_eq!(relayed(&mut bob).await.0, data, "{said}");
        // The answer comes behind or before what was relayed.
        match answered {
            Some(answer) if before.is_empty() => assert!(ada.hear().await.starts_with(answer), "{said}"),
            Some(answer) => assert!(before[0].starts_with(answer), "{said}: {before:?}"),
            None => assert!(before.is_empty(), "{said}: {before:?}"),
        }
    }
    // Beside bytes, and as a name that nobody relays.
    ada.say(r#"42["\ud83d","\udc00"]"#).await;
    ada.say(r#"451-["message",[{"_placeholder":true,"num":0},"\ud83d",-1e999]]"#).await;
    ada.send(Message::binary(&b"xyz"[..])).await;
    assert!(bob.hear().await.starts_with("451-"));
    assert_eq!(bob.message().await, Message::binary(&b"xyz"[..]));
}

#[tokio::test]
async fn half_emoji_is_replaced_in_messagepack() {
    let config = "[[realtime.socketio]]\n[[realtime.socketio]]\npath = \"/packed\"\nparser = \"msgpack\"\n\
         [[realtime.channel]]\nmatch = \"*\"\n";
    let door = door().config(config).start();
    let mut packed = connect(&door, "/packed/?EIO=4&transport=websocket").await;
    packed.hear().await;
    packed.send(Message::binary(&b"\x82\xa4type\x00\xa3nsp\xa1/"[..])).await;
    packed.message().await;
    let body = r#"{"name":"news","args":["\ud83d",1e400,7]}"#;
    assert_eq!(post(&door, "/emit", body).await, 200);
    let heard = packed.message().await.into_data();
    let args = b"\x94\xa4news\xa3\xef\xbf\xbd\xc0\x07";
    assert!(heard.windows(args.len()).any(|part| part == args), "{heard:?}");
}

#[tokio::test]
async fn a_client_of_pusher_may_name_an_event_with_half_an_emoji() {
    let door = pusher("client_events = true\n");
    let (mut ada, ada_id) = enter(&door).await;
    let (mut bob, bob_id) = enter(&door).await;
    for (socket, id) in [(&mut ada, ada_id), (&mut bob, bob_id)] {
        let signature = sign("app-secret", &format!("{id}:private-room"));
        socket.say(&pusher_app::subscribe("private-room", &format!("app-key:{signature}"))).await;
        assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded");
    }
    ada.say(r#"{"event":"client-\ud83d","channel":"private-room","data":"\ude00"}"#).await;
    let heard = bob.hear_json().await;
    assert_eq!((&heard["event"], &heard["data"]), (&json!("client-\u{fffd}"), &json!("\u{fffd}")), "{heard}");
    ada.say(r#"{"event":"client-x","channel":"private-room","data":{"half":"\ud83d","far":1e400}}"#).await;
    let heard = bob.hear_json().await;
    assert_eq!(heard["data"], r#"{"half":"\ud83d","far":1e400}"#, "what is JSON to its reader stays as it is");
}

#[tokio::test]
async fn an_apps_server_may_name_an_event_with_half_an_emoji() {
    let door = pusher("");
    let (mut socket, _) = enter(&door).await;
    socket.say(&pusher_app::subscribe("open", "")).await;
    assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded");
    let body = r#"{"name":"\ud83d","channel":"open","data":"\udfff!"}"#;
    let query = format!("auth_key=app-key&auth_timestamp={}&auth_version=1.0&body_md5={}", now(), md5(body.as_bytes()));
    let signature = sign("app-secret", &format!("POST\n/apps/1/events\n{query}"));
    let target = format!("/apps/1/events?{query}&auth_signature={signature}");
    let answer = ask(door.http(), "POST", &target, &[("content-type", "application/json")], body.to_owned()).await;
    assert_eq!(answer.status, 200);
    let heard = socket.hear_json().await;
    assert_eq!((&heard["event"], &heard["data"]), (&json!("\u{fffd}"), &json!("\u{fffd}!")), "{heard}");
}

#[tokio::test]
async fn the_api_takes_half_an_emoji_as_text_and_leaves_json_as_it_is() {
    let door = door().start();
    let mut socket = connect(&door, "/api/ws/room").await;
    assert_eq!(post(&door, "/publish", r#"{"channel":"room","name":"\ud83d","text":"\ud83dx"}"#).await, 200);
    assert_eq!(socket.hear_json().await["data"], "\u{fffd}x");
    assert_eq!(post(&door, "/publish", r#"{"channel":"room","json":["\ud83d",1e400]}"#).await, 200);
    let heard = socket.hear().await;
    assert!(heard.contains(r#"["\ud83d",1e400]"#), "{heard}");
}

#[tokio::test]
async fn the_app_may_answer_with_half_an_emoji() {
    let app = App::start(|request| async move {
        let body = request.into_body().collect().await.expect("a whole body").to_bytes();
        let question: Value = serde_json::from_slice(&body).unwrap_or_default();
        let answer = match question["data"]["text"].as_str() {
            Some("text") => r#"{"replace":{"text":"\ud83d"},"commands":[{"do":"send","text":"\udc00"}]}"#,
            Some("json") => r#"{"replace":{"json":[1e400,"\ud83d"]}}"#,
            _ => r#"{"allow":false,"reason":"\ud83d"}"#,
        };
        response(200, answer)
    })
    .await;
    let config =
        "[callbacks]\nevents = [\"message\"]\n[[realtime.channel]]\nmatch = \"*\"\n[realtime.plain]\necho = false\n";
    let door = door().config(app.config() + config).start();
    let mut socket = connect(&door, "/api/ws/room").await;
    socket.say("text").await;
    assert_eq!(socket.hear_json().await["data"], "\u{fffd}");
    assert_eq!(socket.hear_json().await["data"], "\u{fffd}");
    socket.say("json").await;
    let heard = socket.hear().await;
    assert!(heard.contains(r#"[1e400,"\ud83d"]"#), "{heard}");
    socket.say("no").await;
    assert_eq!(socket.hear_json().await["message"], "\u{fffd}");
}
