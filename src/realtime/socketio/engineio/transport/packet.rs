//! Engine.IO 4 packets: one character of type, then the data. <https://socket.io/docs/v4/engine-io-protocol/>

use super::config::{Config, Transport};
use super::sid::Sid;

/// What a text of a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnginePacket<'a> {
    Open,
    Close,
    Ping(&'a str),
    Pong(&'a str),
    /// The dialect's; handed on with its first character.
    Message,
    Upgrade,
    Noop,
}

impl EnginePacket<'_> {
    /// `None` for what is no packet.
    pub fn read(text: &str) -> Option<EnginePacket<'_>> {
        let (kind, data) = text.split_at_checked(1)?;
        Some(match kind {
            "0" => EnginePacket::Open,
            "1" => EnginePacket::Close,
            "2" => EnginePacket::Ping(data),
            "3" => EnginePacket::Pong(data),
            "4" => EnginePacket::Message,
            "5" => EnginePacket::Upgrade,
            "6" => EnginePacket::Noop,
            _ => return None,
        })
    }
}

pub const CLOSE: &str = "1";
pub const PING: &str = "2";
pub const PROBED: &str = "3probe";
pub const NOOP: &str = "6";

/// The first packet of a session.
pub fn open(sid: Sid, by: Transport, config: &Config) -> String {
    let can_upgrade = by == Transport::Polling && config.allows(Transport::WebSocket);
    let upgrades = if can_upgrade { "\"websocket\"" } else { "" };
    format!(
        "0{{\"sid\":\"{sid}\",\"upgrades\":[{upgrades}],\"pingInterval\":{},\"pingTimeout\":{},\"maxPayload\":{}}}",
        config.ping_interval.as_millis(),
        config.ping_timeout.as_millis(),
        config.max_payload.0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_packet_is_the_one_that_clients_know() {
        let sid = Sid::random().unwrap();
        assert_eq!(
            open(sid, Transport::Polling, &Config::default()),
            format!(
                r#"0{{"sid":"{sid}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#
            )
        );
        assert!(open(sid, Transport::WebSocket, &Config::default()).contains(r#""upgrades":[],"#));
        let only = Config { transports: vec![Transport::Polling], ..Config::default() };
        assert!(open(sid, Transport::Polling, &only).contains(r#""upgrades":[],"#));
    }

    #[test]
    fn a_packet_is_known_by_its_first_character() {
        assert_eq!(EnginePacket::read("2probe"), Some(EnginePacket::Ping("probe")));
        assert_eq!(EnginePacket::read("3"), Some(EnginePacket::Pong("")));
        assert_eq!(EnginePacket::read("42[\"a\"]"), Some(EnginePacket::Message));
        for text in ["", "7", "b", "é", "\u{1e}", " 4"] {
            assert_eq!(EnginePacket::read(text), None, "{text:?}");
        }
    }
}
