//! The API from outside: the real binary, asked as a program asks.

mod alone;
mod app;
mod batch;
mod callers;
mod cors;
mod description;
mod disconnect;
mod emit;
mod idempotency;
mod look;
mod publish;
mod schema;
mod tokens;

use http::HeaderMap;
use serde_json::Value;

use crate::harness::client::ask;
use crate::harness::{Door, door};

const BASE: &str = "/_doorway/api/v1";

/// Two clients' worth of channels, one of which keeps what is said.
const CONFIG: &str = "[[realtime.channel]]\nmatch = \"kept*\"\nhistory = 100\n[realtime.plain]\necho = false\n";

/// An answer, read to its end.
pub struct Answer {
    pub status: u16,
    headers: HeaderMap,
    pub json: Value,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

/// Asks on the admin listener; what comes back must be as the description says.
async fn call(door: &Door, method: &str, path: &str, body: &str) -> Answer {
    call_with(door, method, path, &[], body).await
}

async fn call_with(door: &Door, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut headers = headers.to_vec();
    headers.push(("host", "localhost"));
    if method == "POST" {
        headers.push(("content-type", "application/json"));
    }
    let answer = ask(door.admin(), method, &format!("{BASE}{path}"), &headers, body.to_owned()).await;
    let (status, headers) = (answer.status, answer.headers.clone());
    let text = answer.bytes().await;
    let json = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
    schema::check_answer(method, path, status, &headers, &json);
    Answer { status, headers, json }
}

pub async fn post(door: &Door, path: &str, body: Value) -> Answer {
    call(door, "POST", path, &body.to_string()).await
}

pub async fn get(door: &Door, path: &str) -> Answer {
    call(door, "GET", path, "").await
}

fn start() -> Door {
    door().config(CONFIG).start()
}
