//! The section `[realtime]`.

use super::admission;
use super::dialect::plain;
use super::engine;
use super::hub;
use super::link::websocket;
use super::origin::Origins;
use super::pusher;
use super::token;
use crate::http::canonical::path::misspelt;
use crate::settings::Section;

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where WebSocket upgrades end in the hub. Default `/api/ws`.
    pub path: String,
    pub origins: Origins,
    /// Sockets that are closed when Doorway stops are told 1012 (service restart) in place of 1001 (going away).
    /// Default false.
    pub restarts: bool,
    pub admission: admission::Limits,
    pub hub: hub::Config,
    pub plain: plain::Config,
    /// The endpoints of the stock Socket.IO client. Default one, at `/socket.io` and below `path`.
    pub socketio: Vec<engine::Config>,
    pub pusher: pusher::Config,
    pub websocket: websocket::Config,
    pub tokens: token::Config,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            path: "/api/ws".into(),
            restarts: false,
            origins: Origins::default(),
            admission: admission::Limits::default(),
            hub: hub::Config::default(),
            plain: plain::Config::default(),
            socketio: vec![engine::Config::at("/api/ws")],
            pusher: pusher::Config::default(),
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
        let sections = section.sections("socketio");
        let socketio = match section.has("socketio") {
            true => sections.iter().map(|section| engine::Config::read(section, &path)).collect(),
            false => vec![engine::Config::at(&path)],
        };
        let pusher = pusher::Config::read(section);
        let hub = hub::Config { demands: pusher.demands(), ..hub::Config::read(section) };
        Config {
            path,
            socketio,
            restarts: section.value("restarts", Config::default().restarts),
            origins: Origins::read(section),
            admission: admission::Limits::read(section),
            hub,
            plain: plain::Config::read(&section.section("plain")),
            pusher,
            websocket: websocket::Config::read(&section.section("websocket")),
            tokens: token::Config::read(&section.section("tokens")),
        }
    }
}
