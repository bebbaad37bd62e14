//! Ably: sockets and REST at the root of the site, told apart from the app's own pages, and both below the hub's path.
//!
//! `route` says which of them a request is for; `socket` lets clients in, `machine` is how a client speaks, `connections`
//! what of it outlives its link, `carrying` what becomes of that where its client comes to another door. `comet` lets in those without WebSockets, and `rest`
//! is what is asked without a connection, streams of events too.
//!
#![doc = include_str!("README.md")]

mod amending;
pub mod apps;
pub mod capability;
pub mod connections;
pub mod key;
pub mod machine;
pub mod token;
pub mod wire;

mod carrying;
mod comet;
mod config;
mod rest;
mod revoking;
mod route;
mod socket;

use std::sync::Arc;

pub use config::{AppSettings, Config};

use self::apps::AblyApps;
use self::carrying::Carrying;
use self::comet::CometSessions;
use self::connections::Connections;
use self::rest::RequestRates;
use self::route::AblyRoute;
use super::door::{Door, Found, Ground};
use super::entrance::Entrance;
use super::hub::Hub;
use super::peer::Peers;
use super::session::Sessions;
use crate::http::Request;

const DIALECT: &str = "ably";

/// Where streams of events are.
const STREAM_PATHS: [&str; 2] = ["event-stream", "sse"];

/// The doors of Ably.
pub struct AblyDoor {
    entrance: Arc<Entrance>,
    sessions: Sessions,
    hub: Arc<Hub>,
    apps: Arc<AblyApps>,
    connections: Arc<Connections>,
    carrying: Arc<Carrying>,
    /// Clients without WebSockets.
    comets: Arc<CometSessions>,
    /// The other doors, where requests are forwarded.
    peers: Option<Arc<Peers>>,
    /// How often clients without a connection publish.
    rates: RequestRates,
}

impl Door for AblyDoor {
    type Config = Config;

    /// Builds the apps of `config`.
    fn new(config: &Config, ground: &mut Ground) -> AblyDoor {
        let apps = Arc::new(AblyApps::new(config, Some(Arc::clone(ground.entrance.tokens()))));
        let connections = Arc::default();
        revoking::start(ground.hub, &apps, &connections, ground.drain);
        AblyDoor {
            entrance: Arc::clone(ground.entrance),
            sessions: ground.sessions.clone(),
            hub: Arc::clone(ground.hub),
            apps,
            carrying: Carrying::start(ground.hub, &connections),
            connections,
            comets: Arc::default(),
            peers: ground.peers.cloned(),
            rates: RequestRates::default(),
        }
    }

    fn find(self: &Arc<Self>, request: &Request) -> Option<Found> {
        if self.apps.is_empty() {
            return None;
        }
        let config = self.entrance.config();
        let route = AblyRoute::find(&config.path, &self.apps, request)?;
        let door = Arc::clone(self);
        Some(Found::new(move |request| async move {
            match route {
                AblyRoute::Socket => door.socket(&config, request).await,
                AblyRoute::Comet { rest } => door.comet(&config, request, &rest).await,
                AblyRoute::Rest { path } => door.rest(&config, request, &path).await,
            }
        }))
    }

    /// The REST API alone, with a key or a token as anywhere.
    fn find_from_app(self: &Arc<Self>, request: &Request) -> Option<Found> {
        if self.apps.is_empty() {
            return None;
        }
        let config = self.entrance.config();
        let AblyRoute::Rest { path } = AblyRoute::find(&config.path, &self.apps, request)? else { return None };
        let door = Arc::clone(self);
        Some(Found::new(move |request| async move { door.rest(&config, request, &path).await }))
    }

    fn reload(&self, config: &Config) {
        self.apps.reload(config);
    }
}
