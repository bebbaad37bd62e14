//! What `[[realtime.socketio]]` says of the conversation; what it says of the transport is the link's.

use std::time::Duration;

use toml::de::DeValue;

use crate::settings::{Expected, Pattern, Section, Setting, Size, keywords};

use super::rooms;

/// The keys of `[[realtime.socketio]]` that are Socket.IO's: namespaces, parser, limits, recovery.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Which namespaces there are; `*` stands for any characters. Default only `/`.
    pub namespaces: Vec<Pattern>,
    /// How packets are written. Default JSON.
    pub parser: Parser,
    /// A client that is in no namespace by then is closed. Default 45 s.
    pub connect_timeout: Duration,
    /// Attachments of one packet. Default 10.
    pub max_attachments: usize,
    /// How deep arguments may be nested. Default 64.
    pub max_nesting: usize,
    /// The longest name of an event, in bytes. Default 256.
    pub max_event_name: Size,
    /// The longest name of a room, in bytes. Default 256.
    pub max_room_name: Size,
    /// Rooms that one client may be in. Default 100.
    pub max_rooms: usize,
    /// Namespaces that one connection may be in. Default 16.
    pub max_namespaces: usize,
    /// How long a client that lost its link may come back to its id, its rooms and what it missed
    /// (`connectionStateRecovery.maxDisconnectionDuration` of the Node server). Default off: as there, clients see one
    /// more argument of each event where it is on.
    pub recovery: RecoveryMode,
    /// Clients without a link that are kept at a time, of all endpoints; with more, who has been away for longest is
    /// forgotten. Default 10,000.
    pub recovery_clients: usize,
    /// Events that one client may have missed, or not be known to have received; with more, the oldest are forgotten,
    /// and who missed them begins anew. Default 1000.
    pub recovery_messages: usize,
    /// The same in bytes. Default 256 KiB.
    pub recovery_bytes: Size,
    /// Memory for the events of all clients of all endpoints together; what several are to be told counts once. As
    /// from seven eighths of it whoever has been away for longest is forgotten; where there is no more of it, nothing
    /// is kept for whoever is told something. Default 256 MiB.
    pub recovery_bytes_total: Size,
    pub relay: Relay,
}

/// Whether and how long clients may come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryMode {
    Off,
    Within(Duration),
}

impl Setting for RecoveryMode {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        if value.as_str() == Some("off") {
            return Ok(RecoveryMode::Off);
        }
        let words = "\"off\", or a duration with its unit, as in \"2m\"";
        Duration::parse(value).map(RecoveryMode::Within).map_err(|_| Expected(words.into()))
    }
}

/// How packets are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parser {
    Json,
    /// `socket.io-msgpack-parser`.
    Msgpack,
}

keywords!(Parser { "json" => Json, "msgpack" => Msgpack });

/// Events that need no app code, where the app is not asked about messages.
#[derive(Debug, Clone, PartialEq)]
pub struct Relay {
    /// Sent to everyone in the namespace as `{id, data, timestamp}`. Default `message`.
    pub messages: Vec<String>,
    /// Joins the room of its first argument and tells those in it `user-joined` `{id, room}`. Default `join-room`.
    pub joins: Vec<String>,
    /// Leaves that room and tells those in it `user-left` `{id, room}`. Default `leave-room`.
    pub leaves: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            namespaces: vec![Pattern::new(rooms::ROOT)],
            parser: Parser::Json,
            connect_timeout: Duration::from_secs(45),
            max_attachments: 10,
            max_nesting: 64,
            max_event_name: Size(256),
            max_room_name: Size(256),
            max_rooms: 100,
            max_namespaces: 16,
            recovery: RecoveryMode::Off,
            recovery_clients: 10_000,
            recovery_messages: 1000,
            recovery_bytes: Size::kib(256),
            recovery_bytes_total: Size::mib(256),
            relay: Relay {
                messages: vec!["message".into()],
                joins: vec!["join-room".into()],
                leaves: vec!["leave-room".into()],
            },
        }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let namespaces = section.value("namespaces", default.namespaces);
        if let Some(bad) = namespaces.iter().find(|name| !rooms::is_scope(name.as_str())) {
            let what = format!("no namespace can be called {:?}", bad.as_str());
            section.problem("namespaces", what, Some("they begin with a slash, as in \"/admin\" or \"/room-*\""));
        }
        let max_nesting = section.value("max_nesting", default.max_nesting);
        if !(1..=128).contains(&max_nesting) {
            section.problem("max_nesting", "arguments may be nested from 1 to 128 deep", None);
        }
        Config {
            namespaces,
            parser: section.value("parser", default.parser),
            connect_timeout: section.value("connect_timeout", default.connect_timeout),
            max_attachments: section.value("max_attachments", default.max_attachments),
            max_nesting: max_nesting.clamp(1, 128),
            max_event_name: section.value("max_event_name", default.max_event_name),
            max_room_name: section.value("max_room_name", default.max_room_name),
            max_rooms: section.value("max_rooms", default.max_rooms),
            max_namespaces: section.value("max_namespaces", default.max_namespaces),
            recovery: section.value("recovery", default.recovery),
            recovery_clients: section.value("recovery_clients", default.recovery_clients),
            recovery_messages: section.value("recovery_messages", default.recovery_messages),
            recovery_bytes: section.value("recovery_bytes", default.recovery_bytes),
            recovery_bytes_total: section.value("recovery_bytes_total", default.recovery_bytes_total),
            relay: Relay {
                messages: section.value("relay_messages", default.relay.messages),
                joins: section.value("relay_joins", default.relay.joins),
                leaves: section.value("relay_leaves", default.relay.leaves),
            },
        }
    }
}
