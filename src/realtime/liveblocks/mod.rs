//! Liveblocks: sockets at `/v8` and the REST API at `/v2/…`, at the root of the site.
//!
//! `route` says which of them a request is for, `access` who may do what in which room; `socket` lets clients in, and
//! `machine` is how a client speaks. Rooms are channels, and what is edited in them are the channel's documents.
//!
#![doc = include_str!("README.md")]

pub mod access;
pub mod machine;
pub mod room;
pub mod rooms;
pub mod scopes;
pub mod token;

mod config;
mod hook;
mod rest;
mod route;
mod socket;
mod visitors;
mod webhooks;

use std::sync::Arc;

pub use config::Config;

use self::access::Access;
use self::machine::LiveblocksEncodings;
use self::rest::RestMetrics;
use self::rooms::Rooms;
use self::route::LiveblocksRoute;
use self::visitors::Visitors;
use self::webhooks::{RoomRecorder, RoomWebhooks};
use super::door::{Door, Found, Ground};
use super::entrance::Entrance;
use super::hub::Hub;
use super::peer::Peers;
use super::session::Sessions;
use crate::http::Request;
use crate::settings::Live;

const DIALECT: &str = "liveblocks";

/// The doors of Liveblocks.
pub struct LiveblocksDoor {
    entrance: Arc<Entrance>,
    sessions: Sessions,
    hub: Arc<Hub>,
    config: Live<Config>,
    access: Access,
    rooms: Arc<Rooms>,
    visitors: Arc<Visitors>,
    encodings: Arc<LiveblocksEncodings>,
    webhooks: RoomWebhooks,
    metrics: RestMetrics,
    /// The other doors, where documents may be theirs.
    peers: Option<Arc<Peers>>,
}

impl Door for LiveblocksDoor {
    type Config = Config;

    fn new(config: &Config, ground: &mut Ground) -> LiveblocksDoor {
        let live = Live::new(config.clone());
        let visitors = Arc::new(Visitors::new(ground.drain.clone()));
        let (recorder, news) = RoomRecorder::new(ground.registry);
        let store = ground.hub.documents().map(|documents| documents.store().clone());
        let rooms = Arc::new(Rooms::new(store, Arc::clone(&recorder)));
        let (app, drain) = (Arc::clone(ground.app), ground.drain.clone());
        let webhooks = RoomWebhooks::start((recorder, news), (ground.hub, &visitors), &live, app, drain);
        LiveblocksDoor {
            entrance: Arc::clone(ground.entrance),
            sessions: ground.sessions.clone(),
            hub: Arc::clone(ground.hub),
            config: live,
            access: Access::new(config),
            rooms,
            visitors,
            webhooks,
            metrics: RestMetrics::new(ground.registry),
            encodings: Arc::default(),
            peers: ground.peers.cloned(),
        }
    }

    fn find(self: &Arc<Self>, request: &Request) -> Option<Found> {
        if !self.access.is_on() {
            return None;
        }
        let route = LiveblocksRoute::find(&self.access, request)?;
        let config = self.entrance.config();
        let door = Arc::clone(self);
        Some(Found::new(move |request| async move {
            match route {
                LiveblocksRoute::Socket { room } => door.socket(&config, request, &room).await,
                LiveblocksRoute::Rest => door.rest(&config, request).await,
            }
        }))
    }

    /// The REST API alone, with the secret key as anywhere.
    fn find_from_app(self: &Arc<Self>, request: &Request) -> Option<Found> {
        if !self.access.is_on() || LiveblocksRoute::find(&self.access, request)? != LiveblocksRoute::Rest {
            return None;
        }
        let config = self.entrance.config();
        let door = Arc::clone(self);
        Some(Found::new(move |request| async move { door.rest(&config, request).await }))
    }

    fn reload(&self, config: &Config) {
        self.access.reload(config);
        self.config.set(config.clone());
        self.webhooks.reload(config);
    }
}
