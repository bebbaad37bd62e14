//! An app of Pusher Channels, and signatures made without the code under test.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use crate::harness::socket::{Socket, connect};
use crate::harness::{Door, door};

pub const SOCKET: &str = "/app/app-key?protocol=7";

/// A door with one app, and more lines for its section.
pub fn pusher(more: &str) -> Door {
    let app = "[[realtime.pusher]]\nid = \"1\"\nkey = \"app-key\"\nsecret = \"app-secret\"\n";
    door().config(format!("{app}{more}\n")).start()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn sign(secret: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hex(hmac::sign(&key, text.as_bytes()).as_ref())
}

pub fn md5(body: &[u8]) -> String {
    hex(&Md5::digest(body))
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A socket that stands, and its id.
pub async fn enter(door: &Door) -> (Socket, String) {
    let mut socket = connect(door, SOCKET).await;
    let established = socket.hear_json().await;
    assert_eq!(established["event"], "pusher:connection_established");
    let data: Value = serde_json::from_str(established["data"].as_str().expect("a string")).expect("JSON");
    (socket, data["socket_id"].as_str().expect("an id").to_owned())
}

pub fn subscribe(channel: &str, auth: &str) -> String {
    json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } }).to_string()
}

/// What an event carries: errors an object, all others a string with one in it.
pub fn data(event: &Value) -> Value {
    match &event["data"] {
        Value::String(text) => serde_json::from_str(text).expect("JSON"),
        data => data.clone(),
    }
}
