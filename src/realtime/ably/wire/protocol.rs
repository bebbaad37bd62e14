//! One protocol message: what a frame is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::annotation::AblyAnnotation;
use super::error::AblyError;
use super::list::Few;
use super::message::AblyMessage;
use super::presence::AblyPresence;

/// The kinds of protocol messages, as numbers on the wire.
pub mod action {
    pub const HEARTBEAT: u8 = 0;
    pub const ACK: u8 = 1;
    pub const NACK: u8 = 2;
    pub const CONNECTED: u8 = 4;
    pub const DISCONNECT: u8 = 5;
    pub const DISCONNECTED: u8 = 6;
    pub const CLOSE: u8 = 7;
    pub const CLOSED: u8 = 8;
    pub const ERROR: u8 = 9;
    pub const ATTACH: u8 = 10;
    pub const ATTACHED: u8 = 11;
    pub const DETACH: u8 = 12;
    pub const DETACHED: u8 = 13;
    pub const PRESENCE: u8 = 14;
    pub const MESSAGE: u8 = 15;
    pub const SYNC: u8 = 16;
    pub const AUTH: u8 = 17;
    pub const OBJECT: u8 = 19;
    pub const ANNOTATION: u8 = 21;
}

/// What a flag says.
pub mod flag {
    pub const HAS_PRESENCE: u64 = 1;
    pub const HAS_BACKLOG: u64 = 2;
    pub const RESUMED: u64 = 4;
    pub const ATTACH_RESUME: u64 = 32;
}

/// A parameter that is text, or what some libraries write in its place.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Parameter {
    Text(String),
    Number(i64),
    Bool(bool),
}

impl Parameter {
    pub fn into_text(self) -> String {
        match self {
            Parameter::Text(text) => text,
            Parameter::Number(number) => number.to_string(),
            Parameter::Bool(is) => is.to_string(),
        }
    }
}

/// What a client says. Unknown fields are ignored, as the specification wants.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SaidFrame {
    pub action: u8,
    pub flags: Option<u64>,
    pub id: Option<String>,
    pub channel: Option<String>,
    pub channel_serial: Option<String>,
    pub msg_serial: Option<u64>,
    pub messages: Option<Few<AblyMessage>>,
    pub presence: Option<Few<AblyPresence>>,
    pub annotations: Option<Few<AblyAnnotation>>,
    pub params: Option<BTreeMap<String, Parameter>>,
    pub auth: Option<AuthDetails>,
}

/// A token in band.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthDetails {
    pub access_token: Option<String>,
}

/// What a client is told.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToldFrame<'a> {
    pub action: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a AblyError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<AblyMessage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<Vec<AblyPresence>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Vec<AblyAnnotation>>,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    pub connection: Option<ConnectionDetails<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    pub receipt: Option<PublishReceipt<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthDetails>,
}

/// Of CONNECTED.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionDetails<'a> {
    pub connection_id: &'a str,
    pub connection_details: Details<'a>,
}

/// What a client may do, and how it comes back.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<&'a str>,
    pub connection_key: &'a str,
    pub max_message_size: usize,
    pub max_frame_size: usize,
    pub max_inbound_rate: u32,
    /// Milliseconds.
    pub max_idle_interval: u64,
    /// Milliseconds.
    pub connection_state_ttl: u64,
}

/// Of ACK and NACK.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishReceipt<'a> {
    pub msg_serial: u64,
    pub count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub res: Option<[PublishResult<'a>; 1]>,
}

/// The serials of one frame's messages.
#[derive(Debug, Serialize)]
pub struct PublishResult<'a> {
    pub serials: &'a [Option<String>],
}
