//! The section `[realtime]`.

use super::{entrance, hub, plain, pusher, socketio};
use crate::settings::Section;

/// The section `[realtime]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Sockets that are closed when Doorway stops are told 1012 (service restart) in place of 1001 (going away).
    /// Default false.
    pub restarts: bool,
    pub entrance: entrance::Config,
    pub hub: hub::Config,
    pub plain: plain::Config,
    pub socketio: socketio::Config,
    pub pusher: pusher::Config,
}

impl Default for Config {
    fn default() -> Self {
        let entrance = entrance::Config::default();
        Config {
            restarts: false,
            hub: hub::Config::default(),
            plain: plain::Config::default(),
            socketio: socketio::Config::at(&entrance.path),
            pusher: pusher::Config::default(),
            entrance,
        }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let entrance = entrance::Config::read(section);
        let pusher = pusher::Config::read(section);
        Config {
            restarts: section.value("restarts", false),
            hub: hub::Config { demands: pusher.demands(), parts: pusher.parts(), ..hub::Config::read(section) },
            plain: plain::Config::read(&section.section("plain")),
            socketio: socketio::Config::read(section, &entrance.path),
            pusher,
            entrance,
        }
    }
}
