//! The section `[realtime]`.

use super::dialect::plain;
use super::link::websocket;
use crate::settings::Section;

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where WebSocket upgrades end in the hub. Default `/api/ws`.
    pub path: String,
    /// Origins besides the site's own that may open sockets. Default none.
    pub origins: Vec<String>,
    pub websocket: websocket::Config,
    pub plain: plain::Config,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            path: "/api/ws".into(),
            origins: Vec::new(),
            websocket: websocket::Config::default(),
            plain: plain::Config::default(),
        }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        Config {
            path: section.value("path", default.path),
            origins: section.value("origins", default.origins),
            websocket: websocket::Config::read(&section.section("websocket")),
            plain: plain::Config::read(&section.section("plain")),
        }
    }
}
