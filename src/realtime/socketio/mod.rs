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

use super::door::{Door, Found, Ground};
use super::entrance::origin::Origins;
use super::entrance::{self, Entrance};
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
    fn new(config: &EndpointConfig, metrics: &Metrics) -> Arc<Endpoint> {
        let dialect = SocketIo::counted(config.dialect.clone(), metrics.clone());
        let place = format!("{:?} {}", config.dialect.parser, config.paths.join(" ")).into();
        Arc::new(Endpoint { config: config.clone(), transport: Arc::new(config.transport.clone()), dialect, place })
    }

    fn all(config: &Config, metrics: &Metrics) -> Vec<Arc<Endpoint>> {
        config.endpoints.iter().map(|endpoint| Endpoint::new(endpoint, metrics)).collect()
    }

    fn origins<'a>(&'a self, entrance: &'a entrance::Config) -> &'a Origins {
        self.config.origins.as_ref().unwrap_or(&entrance.origins)
    }
}

impl Door for SocketIoDoor {
    type Config = Config;

    fn new(config: &Config, ground: &mut Ground) -> SocketIoDoor {
        let recovered = Metrics::new(ground.registry);
        let transports = transport::Metrics::new(ground.registry.sub_registry_with_prefix("realtime"));
        SocketIoDoor {
            entrance: Arc::clone(ground.entrance),
            sessions: ground.sessions.clone(),
            app: Arc::clone(ground.app),
            drain: ground.drain.clone(),
            endpoints: Live::new(Endpoint::all(config, &recovered)),
            transports: Arc::new(transport::PollingSessions::new(transports)),
            resume_registry: Arc::new(ResumeRegistry::new(
                recovered.held().clone(),
                recovered.owners(),
                ground.registry,
            )),
            recovered,
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
        self.endpoints.set(Endpoint::all(config, &self.recovered));
    }
}
