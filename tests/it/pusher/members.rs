//! Promise: who is in a presence channel is what its clients and the app's server are told, in an order that makes sense.

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::app::{data, enter, pusher, sign};
use crate::harness::raw::eventually;
use crate::harness::socket::Socket;
use crate::harness::{App, Door, response};

const ROOM: &str = "presence-room";

/// A client in the room as `user_data` says.
async fn member(door: &Door, user_data: &Value) -> Socket {
    let (mut socket, id) = enter(door).await;
    let who = user_data.to_string();
    let auth = format!("app-key:{}", sign("app-secret", &format!("{id}:{ROOM}:{who}")));
    let wish = json!({"channel": ROOM, "auth": auth, "channel_data": who});
    socket.say(&json!({"event": "pusher:subscribe", "data": wish}).to_string()).await;
    assert_eq!(socket.hear_json().await["event"], "pusher_internal:subscription_succeeded");
    socket
}

async fn hears(socket: &mut Socket, event: &str, what: Value) {
    let heard = socket.hear_json().await;
    assert_eq!((&heard["event"], data(&heard)), (&json!(event), what), "{heard}");
}

#[tokio::test]
async fn a_member_that_shows_something_else_has_gone_and_come() {
    let door = pusher("[[realtime.channel]]\nmatch = \"presence-*\"\npresence = \"asked\"\npresence_grace = \"1h\"\n");
    let mut ann = member(&door, &json!({"user_id": "ann", "user_info": {"mood": "calm"}})).await;
    let bob = json!({"user_id": "bob", "user_info": {"mood": "sad"}});
    let first = member(&door, &bob).await;
    hears(&mut ann, "pusher_internal:member_added", bob.clone()).await;
    first.close(1000).await;
    // Back within the grace, as before: that is a reload.
    let second = member(&door, &bob).await;
    second.close(1000).await;
    let glad = json!({"user_id": "bob", "user_info": {"mood": "glad"}});
    let _third = member(&door, &glad).await;
    hears(&mut ann, "pusher_internal:member_removed", json!({"user_id": "bob"})).await;
    hears(&mut ann, "pusher_internal:member_added", glad).await;
    ann.is_quiet().await;
}

#[tokio::test]
async fn webhooks_tell_of_a_member_before_its_channel() {
    let told = Arc::<Mutex<Vec<Value>>>::default();
    let kept = Arc::clone(&told);
    let app = App::start(move |request| {
        let kept = Arc::clone(&kept);
        async move {
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            let mut post: Value = serde_json::from_slice(&body).expect("JSON");
            let events: Vec<Value> = serde_json::from_value(post["events"].take()).expect("a list");
            kept.lock().unwrap().extend(events);
            response(200, "")
        }
    })
    .await;
    // The channel is quiet long before the member's grace is over.
    let door = pusher(&format!(
        "webhook_quiet = \"0s\"\n[[realtime.pusher.webhooks]]\nurl = \"http://{}/hook\"\n\
         [[realtime.channel]]\nmatch = \"presence-*\"\npresence = \"asked\"\npresence_grace = \"1s\"\n",
        app.address
    ));
    let ann = member(&door, &json!({"user_id": "ann"})).await;
    ann.close(1000).await;
    eventually("all is told", || told.lock().unwrap().len() >= 4).await;
    let told: Vec<_> =
        told.lock().unwrap().iter().map(|event| event["name"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(told, ["channel_occupied", "member_added", "member_removed", "channel_vacated"]);
}
