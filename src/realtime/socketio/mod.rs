//! Socket.IO: the stock client, at `/socket.io/` and below the hub's path.
//!
//! `engineio` is what carries it: requests, sessions, transports. `machine` is the conversation on top, and `app_format` how its
//! events look to the app.
//!
#![doc = include_str!("README.md")]

pub mod app_format;
pub mod engineio;
pub mod machine;

mod config;

use std::sync::Arc;

pub use config::{Config, EndpointConfig};

use super::broker::NodeId;
use super::door::{Door, Found, Ground};
use super::entrance::origin::Origins;
use super::entrance::{self, Entrance};
use super::peer::Peers;
use super::session::{ResumeRegistry, Sessions};
use crate::callbacks::App;
use crate::drain::Signal;
use crate::http::Request;
use crate::settings::Live;
use engineio::transport;
use machine::{Metrics, SocketIo};

const DIALECT: &str = "socketio";

/// The doors of Socket.IO clients, one an endpoint.
pub struct SocketIoDoor {
    entrance: Arc<Entrance>,
    sessions: Sessions,
    app: Arc<App>,
    drain: Signal,
    endpoints: Live<Vec<Arc<Endpoint>>>,
    /// How the frames of all endpoints' clients travel, by their session ids.
    transports: Arc<transport::PollingSessions>,
    /// Where those lie that may come back by another link.
    resume_registry: Arc<ResumeRegistry>,
    recovered: Metrics,
    /// The other doors, where requests are forwarded.
    peers: Option<Arc<Peers>>,
}

/// One endpoint: its settings and what all its clients share.
struct Endpoint {
    config: EndpointConfig,
    transport: Arc<transport::Config>,
    dialect: Arc<SocketIo>,
    /// Clients come back to the same, even when it has got other settings.
    place: Arc<str>,
}

impl Endpoint {
    fn new(config: &EndpointConfig, metrics: &Metrics, home: Option<NodeId>) -> Arc<Endpoint> {
        let dialect = SocketIo::counted(config.dialect.clone(), metrics.clone(), home);
        let place = format!("{:?} {}", config.dialect.parser, config.paths.join(" ")).into();
        Arc::new(Endpoint { config: config.clone(), transport: Arc::new(config.transport.clone()), dialect, place })
    }

    fn all(config: &Config, metrics: &Metrics, home: Option<NodeId>) -> Vec<Arc<Endpoint>> {
        config.endpoints.iter().map(|endpoint| Endpoint::new(endpoint, metrics, home)).collect()
    }

    fn origins<'a>(&'a self, entrance: &'a entrance::Config) -> &'a Origins {
        self.config.origins.as_ref().unwrap_or(&entrance.origins)
    }
}

impl SocketIoDoor {
    /// What this door is called in the ids that clients bring back.
    fn home(&self) -> Option<NodeId> {
        self.peers.as_ref().map(|peers| peers.node())
    }
}

impl Door for SocketIoDoor {
    type Config = Config;

    fn new(config: &Config, ground: &mut Ground) -> SocketIoDoor {
        let recovered = Metrics::new(ground.registry);
        let peers = ground.peers.cloned();
        let home = peers.as_ref().map(|peers| peers.node());
        let transports = transport::Metrics::new(ground.registry.sub_registry_with_prefix("realtime"));
        SocketIoDoor {
            entrance: Arc::clone(ground.entrance),
            sessions: ground.sessions.clone(),
            app: Arc::clone(ground.app),
            drain: ground.drain.clone(),
            endpoints: Live::new(Endpoint::all(config, &recovered, home)),
            transports: Arc::new(transport::PollingSessions::new(transports, home)),
            resume_registry: Arc::new(ResumeRegistry::new(
                recovered.held().clone(),
                recovered.owners(),
                ground.registry,
            )),
            recovered,
            peers,
        }
    }

    fn find(self: &Arc<Self>, request: &Request) -> Option<Found> {
        let endpoints = self.endpoints.get();
        let endpoint = endpoints.iter().find(|endpoint| endpoint.config.serves(request.uri().path()))?;
        let (door, endpoint) = (Arc::clone(self), Arc::clone(endpoint));
        let config = self.entrance.config();
        Some(Found::new(move |request| async move { door.answer(&config, &endpoint, request).await }))
    }

    fn reload(&self, config: &Config) {
        self.endpoints.set(Endpoint::all(config, &self.recovered, self.home()));
    }
}
