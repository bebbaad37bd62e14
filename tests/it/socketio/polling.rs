//! A client that polls, request by request.

use std::net::SocketAddr;

use serde_json::Value;

use crate::harness::Door;
use crate::harness::client::{Answer, ask, get};

pub const PATH: &str = "/socket.io/";
pub const OPEN: &str = "EIO=4&transport=polling";

/// A session, by its id.
pub struct Polling {
    address: SocketAddr,
    path: String,
    pub sid: String,
    /// What the first packet said.
    pub open: Value,
}

/// Opens one at `/socket.io/`.
pub async fn open(door: &Door) -> Polling {
    open_at(door, PATH).await
}

pub async fn open_at(door: &Door, path: &str) -> Polling {
    let answer = get(door.http(), &format!("{path}?{OPEN}"), &[]).await;
    assert_eq!(answer.status, 200);
    let text = text(answer).await;
    let open: Value = serde_json::from_str(text.strip_prefix('0').expect("an open packet")).expect("JSON");
    let sid = open["sid"].as_str().expect("a sid").to_owned();
    Polling { address: door.http(), path: path.to_owned(), sid, open }
}

pub async fn text(answer: Answer) -> String {
    String::from_utf8(answer.bytes().await.to_vec()).expect("UTF-8")
}

impl Polling {
    pub fn query(&self) -> String {
        format!("{OPEN}&sid={}", self.sid)
    }

    /// Where its second transport is.
    pub fn socket(&self) -> String {
        format!("{}?EIO=4&transport=websocket&sid={}", self.path, self.sid)
    }

    pub fn target(&self) -> String {
        format!("{}?{}", self.path, self.query())
    }

    /// One GET: its status and body.
    pub async fn read(&self) -> (u16, String) {
        let answer = get(self.address, &self.target(), &[]).await;
        (answer.status, text(answer).await)
    }

    /// One GET that must bring something.
    pub async fn hear(&self) -> String {
        let (status, text) = self.read().await;
        assert_eq!(status, 200, "{text}");
        text
    }

    /// One POST: its status and body.
    pub async fn write(&self, body: impl Into<String>) -> (u16, String) {
        let headers = [("content-type", "text/plain;charset=UTF-8")];
        let answer = ask(self.address, "POST", &self.target(), &headers, body.into()).await;
        (answer.status, text(answer).await)
    }

    /// One POST that must be taken.
    pub async fn say(&self, body: impl Into<String>) {
        assert_eq!(self.write(body).await, (200, "ok".to_owned()));
    }

    /// Joins the default namespace.
    pub async fn connect(&self) {
        self.say("40").await;
        let text = self.hear().await;
        assert!(text.starts_with("40{\"sid\":\""), "{text}");
    }

    /// It is over, and forgotten.
    pub async fn is_gone(&self) {
        assert_eq!(self.read().await, (400, r#"{"code":1,"message":"Session ID unknown"}"#.to_owned()));
    }
}
