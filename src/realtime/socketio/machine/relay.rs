//! What the usual tutorial server does, for apps that bring no code of their own.

use std::sync::Arc;

use super::config::Relay;
use super::packet::Args;
use super::{draft, rooms};
use crate::realtime::vocabulary::{BadName, Channel, Draft, JsonWriter, Moment, Payload};

/// What an event is relayed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayTask {
    Say,
    Join,
    Leave,
}

/// What is to be done about an event, if anything.
pub fn task(relay: &Relay, name: &str) -> Option<RelayTask> {
    let is_in = |names: &[String]| names.iter().any(|known| known == name);
    if is_in(&relay.messages) {
        Some(RelayTask::Say)
    } else if is_in(&relay.joins) {
        Some(RelayTask::Join)
    } else if is_in(&relay.leaves) {
        Some(RelayTask::Leave)
    } else {
        None
    }
}

/// `{id, data, timestamp}`, to be sent to everyone under the name that it came with.
pub fn message(name: Arc<str>, sid: &str, args: &Args, now: Moment) -> Draft {
    let data = args.raw(1);
    let mut json = JsonWriter::object(sid.len() + data.as_ref().map_or(0, |data| data.len()) + 48);
    json.plain_text("id", sid);
    if let Some(data) = data {
        json.json("data", &data);
    }
    json.raw("timestamp", now.unix_ms);
    let extras = draft::attachments(&args.attachments);
    Draft { name: Some(name), extras, ..Draft::new(Payload::Json(json.end().into())) }
}

/// `{id, room}`, to be told to those in the room.
pub fn notice(name: &str, sid: &str, room: &str) -> Draft {
    let mut json = JsonWriter::object(sid.len() + room.len() + 24);
    json.plain_text("id", sid);
    json.text("room", room);
    Draft { name: Some(name.into()), ..Draft::new(Payload::Json(json.end().into())) }
}

/// The room that an event's first argument names, and its channel.
///
/// # Errors
/// [`BadName`].
pub fn room(scope: &str, args: &Args, longest: usize) -> Result<(String, Channel), BadName> {
    let is_number = |raw: &str| raw.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let number = || args.raw(1).filter(|raw| is_number(raw)).map(|raw| raw.to_string());
    let name = args.string(1).or_else(number).ok_or(BadName::Empty)?;
    if name.len() > longest {
        return Err(BadName::TooLong);
    }
    let channel = rooms::room(scope, &name)?;
    Ok((name, channel))
}
