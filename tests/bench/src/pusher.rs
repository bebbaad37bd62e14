//! Pusher Channels: what a client says to come in, and events by the REST API, signed as the stock libraries sign.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use aws_lc_rs::hmac;
use md5::{Digest, Md5};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

/// An app's server, whose connection is kept as long as it may be.
pub struct Rest {
    stream: Option<TcpStream>,
    address: SocketAddr,
    /// How many were sent: no two are the same.
    number: u64,
}

impl Rest {
    pub fn new(address: SocketAddr) -> Rest {
        Rest { stream: None, address, number: 0 }
    }

    /// An event with so many characters of data, to everybody in `channel`.
    pub async fn publish(&mut self, channel: &str, length: usize) -> Result<()> {
        self.number += 1;
        let data = format!("{:0length$}", self.number);
        let body = serde_json::json!({ "name": "message", "channel": channel, "data": data }).to_string();
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let md5 = hex(&Md5::digest(body.as_bytes()));
        let query = format!("auth_key={KEY}&auth_timestamp={now}&auth_version=1.0&body_md5={md5}");
        let path = format!("/apps/{APP}/events");
        let signature = signature(&format!("POST\n{path}\n{query}"));
        let request = format!(
            "POST {path}?{query}&auth_signature={signature} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.address).await?,
        };
        stream.set_nodelay(true)?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        loop {
            if stream.read_buf(&mut answer).await? == 0 {
                bail!("closed after {:?}", String::from_utf8_lossy(&answer));
            }
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                if !head.starts_with("http/1.1 200") {
                    bail!("{text}");
                }
                // Sockudo closes after each answer.
                self.stream = Some(stream).filter(|_| !head.contains("\r\nconnection: close"));
                return Ok(());
            }
        }
    }
}
