//! An app's server, which publishes by the REST API of a protocol.

use std::net::SocketAddr;

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{ably, pusher};

/// Whose API is spoken.
#[derive(Debug, Clone, Copy)]
pub enum Api {
    Pusher,
    Ably,
}

/// Its connection is kept as long as it may be.
pub struct Rest {
    api: Api,
    stream: Option<TcpStream>,
    address: SocketAddr,
    /// How many were sent: no two are the same.
    number: u64,
}

impl Rest {
    pub fn new(api: Api, address: SocketAddr) -> Rest {
        Rest { api, stream: None, address, number: 0 }
    }

    /// A message with so many characters of data, to everybody in `channel`.
    pub async fn publish(&mut self, channel: &str, length: usize) -> Result<()> {
        self.number += 1;
        let data = format!("{:0length$}", self.number);
        let (head, body) = match self.api {
            Api::Pusher => pusher::event(channel, &data)?,
            Api::Ably => ably::message(channel, &data),
        };
        let request = format!(
            "{head}Host: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
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
                if !head.starts_with("http/1.1 20") {
                    bail!("{text}");
                }
                // Sockudo closes after each answer.
                self.stream = Some(stream).filter(|_| !head.contains("\r\nconnection: close"));
                return Ok(());
            }
        }
    }
}
