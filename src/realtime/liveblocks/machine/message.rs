//! What clients say, read out of JSON.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::realtime::document::tree::Op;
use crate::realtime::document::ydoc::Coding;
use crate::realtime::vocabulary::{Breach, Text, Violation, YName};

/// A message of a client.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientMessage {
    /// 100: what it shows of itself. For one newcomer, for all anew (-1), or what has changed.
    Presence { data: Text, target: Option<i64> },
    /// 103: for all others.
    Event { event: Text },
    /// 200
    FetchStorage,
    /// 201
    UpdateStorage { ops: Vec<Op> },
    /// 300
    FetchYjs { vector: Bytes, guid: YName, coding: Coding },
    /// 301
    UpdateYjs { update: Bytes, guid: YName, coding: Coding },
    /// 510 to 517: what is not offered here, and is told so.
    Feed { request: Text },
}

/// The messages of one frame.
///
/// # Errors
/// [`Violation`]: what is wrong, and with which of them.
pub fn read_messages(text: &str) -> Result<Vec<ClientMessage>, Violation> {
    let bad = |what: String| Violation::new(Breach::Protocol, what);
    let tamed;
    let text = match crate::json::tame(text) {
        Some(tame) => {
            tamed = tame;
            tamed.as_str()
        }
        None => text,
    };
    if text.trim_start().starts_with('"') {
        return Ok(Vec::new());
    }
    let messages: Vec<Option<&RawValue>> =
        serde_json::from_str(text).map_err(|_| bad("a frame is an array of messages, in JSON".into()))?;
    let read = |(place, message): (usize, Option<&RawValue>)| {
        let message = message.map_or("null", RawValue::get);
        read(message).map_err(|what| bad(format!("message {place}: {what}")))
    };
    messages.into_iter().enumerate().map(read).collect()
}

#[derive(Deserialize)]
struct Read<'a> {
    r#type: u16,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(rename = "targetActor")]
    target: Option<i64>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    ops: Option<Vec<&'a RawValue>>,
    vector: Option<String>,
    update: Option<String>,
    guid: Option<String>,
    #[serde(default)]
    v2: Option<bool>,
    #[serde(rename = "requestId")]
    request: Option<String>,
}

fn read(message: &str) -> Result<ClientMessage, String> {
    let read: Read<'_> = serde_json::from_str(message).map_err(|error| error.to_string())?;
    let coding = if read.v2 == Some(true) { Coding::V2 } else { Coding::V1 };
    Ok(match read.r#type {
        100 => {
            let data = read.data.filter(|data| data.get().starts_with('{')).ok_or("presence has no data")?;
            ClientMessage::Presence { data: data.get().into(), target: read.target }
        }
        103 => ClientMessage::Event { event: read.event.map_or("null", RawValue::get).into() },
        200 => ClientMessage::FetchStorage,
        201 => {
            let ops = read.ops.ok_or("an update has no ops")?.into_iter();
            let op = |(place, op): (usize, &RawValue)| {
                Op::read(op.get()).map_err(|malformed| format!("op {place}: {malformed}"))
            };
            ClientMessage::UpdateStorage { ops: ops.enumerate().map(op).collect::<Result<_, _>>()? }
        }
        300 => {
            let vector = binary("vector", read.vector.as_deref())?;
            ClientMessage::FetchYjs { vector, guid: name(read.guid)?, coding }
        }
        301 => {
            let update = binary("update", read.update.as_deref())?;
            ClientMessage::UpdateYjs { update, guid: name(read.guid)?, coding }
        }
        510..=517 => ClientMessage::Feed { request: read.request.unwrap_or_default().into() },
        other => return Err(format!("there is no type {other}")),
    })
}

fn binary(what: &str, text: Option<&str>) -> Result<Bytes, String> {
    let text = text.ok_or_else(|| format!("{what} is missing"))?;
    STANDARD.decode(text).map(Bytes::from).map_err(|error| format!("{what} is not base64: {error}"))
}

fn name(guid: Option<String>) -> Result<YName, String> {
    let Some(guid) = guid else { return Ok(None) };
    let known = Uuid::try_parse(&guid).map_err(|error| format!("guid: {error}"))?;
    Ok(Some(Arc::from(known.hyphenated().to_string())))
}
