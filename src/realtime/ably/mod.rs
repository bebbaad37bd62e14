//! Ably: sockets and REST at the root of the site, told apart from the app's own pages, and both below the hub's path.
//!
//! `route` says which of them a request is for; `socket` lets clients in, `machine` is how a client speaks, `connections`
//! what of it outlives its link.

pub mod apps;
pub mod capability;
pub mod connections;
pub mod key;
pub mod machine;
pub mod token;
pub mod wire;

mod config;
mod route;
mod socket;

use std::sync::Arc;

pub use config::{AppSettings, Config};

use self::apps::Apps;
use self::connections::Connections;
use self::route::AblyRoute;
use super::door::{Door, Found, Ground};
use super::entrance::Entrance;
use super::hub::Hub;
use super::session::Sessions;
use crate::drain::Signal;
use crate::http::Request;

const DIALECT: &str = "ably";

/// The doors of Ably.
pub struct AblyDoor {
    entrance: Arc<Entrance>,
    sessions: Sessions,
    hub: Arc<Hub>,
    drain: Signal,
    apps: Arc<Apps>,
    connections: Arc<Connections>,
}

impl Door for AblyDoor {
    type Config = Config;

    /// Builds the apps of `config`.
    fn new(config: &Config, ground: &mut Ground) -> AblyDoor {
        AblyDoor {
            entrance: Arc::clone(ground.entrance),
            sessions: ground.sessions.clone(),
            hub: Arc::clone(ground.hub),
            drain: ground.drain.clone(),
            apps: Arc::new(Apps::new(config, Some(Arc::clone(ground.entrance.tokens())))),
            connections: Arc::default(),
        }
    }

    fn find(self: &Arc<Self>, request: &Request) -> Option<Found> {
        if self.apps.is_empty() {
            return None;
        }
        let config = self.entrance.config();
        let AblyRoute::Socket = AblyRoute::find(&config.path, request)?;
        let door = Arc::clone(self);
        Some(Found::new(move |request| async move { door.socket(&config, request).await }))
    }

    fn reload(&self, config: &Config) {
        self.apps.reload(config);
    }
}
