//! Connections that are kept, and what is the same whichever way an answer takes: its bytes, its line in the log, the numbers.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::door::Door;
use super::wire;

/// One connection that is kept.
pub struct Kept<S = TcpStream>(pub S);

impl Kept {
    pub async fn to(door: &Door) -> Kept {
        Kept(TcpStream::connect(door.http()).await.unwrap())
    }

    /// Sends `request` and reads its answer.
    pub async fn ask(&mut self, request: &str) -> Vec<u8> {
        self.0.write_all(request.as_bytes()).await.unwrap();
        self.read(request.starts_with("HEAD")).await
    }
}

impl<S: AsyncRead + Unpin> Kept<S> {
    /// What is read of it.
    pub fn of(reader: S) -> Kept<S> {
        Kept(reader)
    }

    /// Reads an answer, by the length that it says.
    pub async fn read(&mut self, is_to_head: bool) -> Vec<u8> {
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            read.push(self.0.read_u8().await.expect("a head"));
        }
        let head = String::from_utf8(read.clone()).unwrap().to_lowercase();
        let line = |name: &str| head.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        if is_to_head || [" 204 ", " 304 "].iter().any(|status| head[..13].contains(status)) {
            return read;
        }
        if line("transfer-encoding: ").is_some() {
            while !read.ends_with(b"\r\n0\r\n\r\n") {
                read.push(self.0.read_u8().await.expect("a piece"));
            }
        } else {
            let length = line("content-length: ").expect("a length").parse().unwrap();
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await.unwrap();
            read.extend(body);
        }
        read
    }
}

/// The bytes without what may differ.
pub fn same(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let id = text.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap_or("none").to_owned();
    let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with("date: ") && !line.starts_with("age: "));
    let ttl = |line: &str| line.split("; ttl=").next().unwrap_or_default().to_owned();
    lines.map(ttl).collect::<String>().replace(&id, "ID")
}

/// The counters that requests move.
pub async fn numbers(door: &Door) -> BTreeMap<String, f64> {
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = wire::exchange(door.admin(), request).await;
    let lines = answer.lines().filter_map(|line| line.rsplit_once(' '));
    let wanted = |name: &str| {
        let rooms = ["doorway_http_", "doorway_cache_", "doorway_compress_"];
        let is_count = name.contains("_total") || name.contains("_count");
        rooms.iter().any(|room| name.starts_with(room)) && is_count
    };
    lines.filter(|(name, _)| wanted(name)).map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

/// The lines of requests, without what is never the same.
pub fn access(door: &Door) -> Vec<Value> {
    let mut lines: Vec<Value> = door.log().into_iter().filter(|line| line["target"] == "access").collect();
    for line in &mut lines {
        let line = line.as_object_mut().unwrap();
        for key in ["timestamp", "first_byte_ms", "total_ms", "upstream_ms", "request_id"] {
            if let Some(value) = line.get_mut(key) {
                *value = Value::Bool(!value.is_null());
            }
        }
    }
    lines
}
