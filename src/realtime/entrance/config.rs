//! What `[realtime]` says of how clients come in, whatever they speak.

use super::{admission, origin::Origins, token};
use crate::http::path::misspelt;
use crate::realtime::link::websocket;
use crate::settings::Section;

/// The keys of `[realtime]` that are about coming in.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where WebSocket upgrades end in the hub. Default `/api/ws`.
    pub path: String,
    pub origins: Origins,
    pub admission: admission::AdmissionLimits,
    pub websocket: websocket::Config,
    pub tokens: token::Config,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            path: "/api/ws".into(),
            origins: Origins::default(),
            admission: admission::AdmissionLimits::default(),
            websocket: websocket::Config::default(),
            tokens: token::Config::default(),
        }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let path = section.value("path", Config::default().path);
        if !path.starts_with('/') || path.len() < 2 || path.ends_with('/') || path.contains(['?', '#', '%']) {
            section.problem("path", "realtime.path must be a path below the root", Some("as in \"/api/ws\""));
        } else if let Some(better) = misspelt(&path) {
            let help = format!("write {better:?}");
            section.problem("path", "requests are compared with realtime.path in another spelling", Some(&help));
        }
        Config {
            path,
            origins: Origins::read(section),
            admission: admission::AdmissionLimits::read(section),
            websocket: websocket::Config::read(&section.section("websocket")),
            tokens: token::read(&section.section("tokens")),
        }
    }

    /// What stands behind the hub's own path in `path`: nothing, or what begins with a slash. `None` for other paths.
    pub fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(self.path.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}
