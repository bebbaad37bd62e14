//! Pusher Channels: what a client says to come in, and events by the REST API, signed as the stock libraries sign.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use aws_lc_rs::hmac;
use md5::{Digest, Md5};

pub const APP: &str = "bench";
pub const KEY: &str = "bench-key";
pub const SECRET: &str = "a secret of the benchmark's own";

fn signature(text: &str) -> String {
    hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), text.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The client's answer to `pusher:connection_established`.
pub fn subscription(established: &str, channel: &str) -> Result<String> {
    let event: serde_json::Value = serde_json::from_str(established)?;
    let data: serde_json::Value = serde_json::from_str(event["data"].as_str().context("no data")?)?;
    let socket = data["socket_id"].as_str().context("no socket_id")?;
    let mut data = serde_json::json!({ "channel": channel });
    if channel.starts_with("private-") {
        data["auth"] = format!("{KEY}:{}", signature(&format!("{socket}:{channel}"))).into();
    }
    Ok(serde_json::json!({ "event": "pusher:subscribe", "data": data }).to_string())
}

/// What a client says to hear a public channel.
pub fn subscription_to(channel: &str) -> String {
    serde_json::json!({ "event": "pusher:subscribe", "data": { "channel": channel } }).to_string()
}

/// The head of the request that says `data` to everybody in `channel`, without headers, and its body.
pub fn event(channel: &str, data: &str) -> Result<(String, String)> {
    let body = serde_json::json!({ "name": "message", "channel": channel, "data": data }).to_string();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let md5 = hex(&Md5::digest(body.as_bytes()));
    let query = format!("auth_key={KEY}&auth_timestamp={now}&auth_version=1.0&body_md5={md5}");
    let path = format!("/apps/{APP}/events");
    let signature = signature(&format!("POST\n{path}\n{query}"));
    Ok((format!("POST {path}?{query}&auth_signature={signature} HTTP/1.1\r\n"), body))
}
