//! The section `[realtime.plain]`.

use std::time::Duration;

use crate::realtime::door::ProtocolConfig;
use crate::realtime::vocabulary::Channel;
use crate::settings::{Section, keywords};

/// The section `[realtime.plain]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The channel of a client that names none. Default `default`.
    pub channel: Channel,
    /// Each message is answered to its sender with `{"type":"echo",…}`. Default true.
    pub echo: bool,
    /// Who hears a message. Default everybody in the channel, the sender too.
    pub broadcast: Broadcast,
    /// Frames are relayed as they are, binary too, without `{"type":…}` around them. Default false.
    pub verbatim: bool,
    /// A text by which a client asks whether it is still heard, as popular hooks do: answered with `pong` to the sender, and no
    /// message. `off`: none is. Default `ping`.
    pub heartbeat: Option<String>,
    /// A client that says nothing for this long is pinged; zero: never. Default 30 s.
    pub ping_interval: Duration,
    /// How long after the ping it may stay silent. Default 20 s.
    pub ping_timeout: Duration,
    /// A client that sends no message for this long is closed, alive or not; zero: never. Default zero.
    pub idle_timeout: Duration,
}

/// Who hears what a plain client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broadcast {
    All,
    Others,
    Off,
}

keywords!(Broadcast { "all" => All, "others" => Others, "off" => Off });

impl Default for Config {
    fn default() -> Self {
        Config {
            channel: Channel::new("default").expect("a name"),
            echo: true,
            broadcast: Broadcast::All,
            verbatim: false,
            heartbeat: Some("ping".to_owned()),
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(20),
            idle_timeout: Duration::ZERO,
        }
    }
}

impl ProtocolConfig for Config {
    fn at(_hub: &str) -> Config {
        Config::default()
    }

    fn read(realtime: &Section, _hub: &str) -> Config {
        let section = realtime.section("plain");
        let default = Config::default();
        let name: Option<String> = section.optional("channel");
        let channel = name.and_then(|name| match Channel::new(&name) {
            Ok(channel) => Some(channel),
            Err(error) => {
                section.problem("channel", error.to_string(), None);
                None
            }
        });
        Config {
            channel: channel.unwrap_or(default.channel),
            echo: section.value("echo", default.echo),
            broadcast: section.value("broadcast", default.broadcast),
            verbatim: section.value("verbatim", default.verbatim),
            heartbeat: match section.optional::<String>("heartbeat") {
                Some(text) => Some(text).filter(|text| text != "off"),
                None => default.heartbeat,
            },
            ping_interval: section.value("ping_interval", default.ping_interval),
            ping_timeout: section.value("ping_timeout", default.ping_timeout),
            idle_timeout: section.value("idle_timeout", default.idle_timeout),
        }
    }
}
