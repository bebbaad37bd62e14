//! What of `[[realtime.socketio]]` is about how packets travel.

use std::time::Duration;

use crate::settings::{Section, Size, keywords};

/// The keys of `[[realtime.socketio]]` that are Engine.IO's: transports, heartbeat, sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// How clients may come. Default both ways.
    pub transports: Vec<Transport>,
    /// A client is asked whether it lives this long after it last said so. Default 25 s.
    pub ping_interval: Duration,
    /// And is given up when it has not answered after this. Default 20 s.
    pub ping_timeout: Duration,
    /// The longest message by WebSocket, and the longest body of a POST. Default 1 MB (1,000,000 bytes).
    pub max_payload: Size,
    /// Packets in one body of a POST. Default 50,000.
    pub max_packets: usize,
    /// How long a client may take from its second transport's first byte to the end of the upgrade. Default 10 s.
    pub upgrade_timeout: Duration,
}

/// How packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Polling,
    WebSocket,
}

keywords!(Transport { "polling" => Polling, "websocket" => WebSocket });

impl Transport {
    /// Its name in a query.
    pub fn named(name: &str) -> Option<Transport> {
        match name {
            "polling" => Some(Transport::Polling),
            "websocket" => Some(Transport::WebSocket),
            _ => None,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            transports: vec![Transport::Polling, Transport::WebSocket],
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_payload: Size(1_000_000),
            max_packets: 50_000,
            upgrade_timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let config = Config {
            transports: section.value("transports", default.transports),
            ping_interval: section.value("ping_interval", default.ping_interval),
            ping_timeout: section.value("ping_timeout", default.ping_timeout),
            max_payload: section.value("max_payload", default.max_payload),
            max_packets: section.value("max_packets", default.max_packets),
            upgrade_timeout: section.value("upgrade_timeout", default.upgrade_timeout),
        };
        if config.transports.is_empty() {
            section.problem("transports", "nobody could ever connect", Some("as in [\"polling\", \"websocket\"]"));
        }
        // Clients count these in milliseconds, and give up by their sum.
        for (key, value) in [("ping_interval", config.ping_interval), ("ping_timeout", config.ping_timeout)] {
            if value < Duration::from_millis(1) {
                section.problem(key, format!("realtime.socketio.{key} must be at least 1ms"), None);
            }
        }
        config
    }

    /// Whether clients may come by `transport`.
    pub fn allows(&self, transport: Transport) -> bool {
        self.transports.contains(&transport)
    }
}
