//! Editors of Yjs with the stock `y-websocket`, at `PATH/yjs/ROOM`: a room is a channel, and its document the channel's own.
//!
//! `socket` lets clients in, and `machine` is how they speak.
//!
#![doc = include_str!("README.md")]

pub mod machine;

mod config;
mod socket;

use std::sync::Arc;

pub use config::Config;

use self::machine::YjsEncoder;
use super::dialect::Encoding;
use super::door::{Door, Found, Ground};
use super::entrance::Entrance;
use super::hub::Hub;
use super::link::websocket;
use super::peer::Peers;
use super::session::Sessions;
use crate::http::Request;
use crate::settings::Live;

const DIALECT: &str = "yjs";

/// Where its rooms are, below the hub's own path.
const FOLDER: &str = "/yjs/";

/// The door of editors of Yjs.
pub struct YjsDoor {
    entrance: Arc<Entrance>,
    sessions: Sessions,
    hub: Arc<Hub>,
    config: Live<Config>,
    encoding: Encoding,
    /// The other doors, where documents may be theirs.
    peers: Option<Arc<Peers>>,
}

impl Door for YjsDoor {
    type Config = Config;

    fn new(config: &Config, ground: &mut Ground) -> YjsDoor {
        YjsDoor {
            entrance: Arc::clone(ground.entrance),
            sessions: ground.sessions.clone(),
            hub: Arc::clone(ground.hub),
            config: Live::new(config.clone()),
            encoding: Encoding::new(YjsEncoder),
            peers: ground.peers.cloned(),
        }
    }

    /// Only where rooms are offered: elsewhere the path names a channel of the plain door.
    fn find(self: &Arc<Self>, request: &Request) -> Option<Found> {
        let config = self.config.get();
        if config.rooms.is_empty() {
            return None;
        }
        let entrance = self.entrance.config();
        let room = entrance.below(request.uri().path())?.strip_prefix(FOLDER)?.to_owned();
        if !websocket::is_upgrade(request) {
            return None;
        }
        let door = Arc::clone(self);
        Some(Found::new(move |request| async move { door.socket(&entrance, &config, request, &room).await }))
    }

    fn reload(&self, config: &Config) {
        self.config.set(config.clone());
    }
}
