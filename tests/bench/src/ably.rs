//! Ably: what a client says to come in and to come back, and messages by the REST API.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

pub const KEY: &str = "bench.key:a secret of the benchmark's own";

const CONNECTED: u64 = 4;
const ATTACH: u64 = 10;
const ATTACHED: u64 = 11;
const MESSAGE: u64 = 15;
/// Of ATTACHED: what was missed follows.
const RESUMED: u64 = 4;

/// How frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Msgpack,
}

/// By what a client comes back: to its connection, and to what it last heard of its channel.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub connection: String,
    pub key: String,
    pub serial: String,
}

impl Format {
    pub fn write(self, frame: &Value) -> Vec<u8> {
        match self {
            Format::Json => frame.to_string().into_bytes(),
            Format::Msgpack => rmp_serde::to_vec(frame).expect("JSON has a form"),
        }
    }

    fn read(self, frame: &[u8]) -> Result<Value> {
        Ok(match self {
            Format::Json => serde_json::from_slice(frame)?,
            Format::Msgpack => rmp_serde::from_slice(frame)?,
        })
    }

    fn expect(self, frame: &[u8], action: u64) -> Result<Value> {
        let frame = self.read(frame)?;
        if frame["action"] != action || !frame["error"].is_null() {
            bail!("action {action} was to come, not {frame}");
        }
        Ok(frame)
    }
}

/// As whom a client comes.
#[derive(Debug, Clone, Copy)]
pub enum Who {
    /// With the key: nobody in particular.
    Key,
    /// The user of this number, by a token of its own.
    User(usize),
}

/// Where a client asks to come in, or back.
pub fn path(format: Format, who: Who, place: Option<&Place>) -> String {
    let format = if format == Format::Json { "json" } else { "msgpack" };
    let resume = place.map(|place| format!("&resume={}", place.key)).unwrap_or_default();
    let who = match who {
        Who::Key => format!("key={}", KEY.replace(' ', "%20")),
        Who::User(number) => format!("access_token={}", token(&format!("user-{number}"))),
    };
    format!("/?{who}&format={format}&v=6&heartbeats=false{resume}")
}

/// A JWT for an hour.
fn token(client: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let (name, secret) = KEY.split_once(':').expect("a key");
    let header = json!({ "typ": "JWT", "alg": "HS256", "kid": name });
    let capability = r#"{"room":["subscribe","publish","presence","history"]}"#;
    let claims = json!({ "iat": now, "exp": now + 3600, "x-ably-capability": capability, "x-ably-clientId": client });
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// What is said first in answer to CONNECTED, and the place of who is connected.
pub fn attach(format: Format, connected: &[u8], channel: &str, place: Option<&Place>) -> Result<(Vec<u8>, Place)> {
    let told = format.expect(connected, CONNECTED)?;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("no id or key");
    let now = Place {
        connection: text(&told["connectionId"])?,
        key: text(&told["connectionDetails"]["connectionKey"])?,
        serial: String::new(),
    };
    let mut said = json!({ "action": ATTACH, "channel": channel });
    if let Some(place) = place {
        if place.connection != now.connection {
            bail!("it came back as another connection: {told}");
        }
        said["channelSerial"] = place.serial.as_str().into();
    }
    Ok((format.write(&said), now))
}

/// The place in the channel of who is attached.
pub fn attached(format: Format, frame: &[u8], is_back: bool) -> Result<String> {
    let told = format.expect(frame, ATTACHED)?;
    if is_back && told["flags"].as_u64().unwrap_or_default() & RESUMED == 0 {
        bail!("it came back to the channel without what it had missed: {told}");
    }
    told["channelSerial"].as_str().map(str::to_owned).context("no channelSerial")
}

/// The data of a message, and the place in the channel behind it.
pub fn heard(format: Format, frame: &[u8]) -> Result<(String, String)> {
    let told = format.expect(frame, MESSAGE)?;
    let data = told["messages"][0]["data"].as_str().context("no data")?;
    Ok((data.to_owned(), told["channelSerial"].as_str().context("no channelSerial")?.to_owned()))
}

/// The head of the request that says `data` to everybody in `channel`, and its body.
pub fn message(channel: &str, data: &str) -> (String, String) {
    let body = json!({ "name": "message", "data": data }).to_string();
    let basic = STANDARD.encode(KEY);
    let headers = format!("Authorization: Basic {basic}\r\nX-Ably-Version: 6\r\nAccept: application/json\r\n");
    (format!("POST /channels/{channel}/messages HTTP/1.1\r\n{headers}"), body)
}
