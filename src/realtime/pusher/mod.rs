//! Pusher Channels: sockets at `/app/KEY` and the REST API at `/apps/ID/…`, both also below the hub's path.
//!
//! `route` says which of them a request is for; `socket`, `fallback` and `auth` let clients in, `rest` is the API of the app's
//! server, `webhooks` tells it what happens, and `machine` is how a client speaks.
//!
#![doc = include_str!("README.md")]

pub mod key;
pub mod machine;
pub mod name;
pub mod sockjs;

mod apps;
mod auth;
mod config;
mod fallback;
mod hook;
mod rest;
mod route;
mod socket;
mod webhooks;

use std::sync::Arc;

pub use config::{AppConfig, Config};

use super::door::{Door, Found, Ground};
use super::entrance::{self, Entrance};
use super::hub::Hub;
use super::link::websocket;
use super::peer::Peers;
use super::session::Sessions;
use crate::callbacks::App as NextApp;
use crate::http::{Failure, Request, Response};
use apps::Apps;
use fallback::SessionKey;
use machine::Code;
use route::{PusherRoute, RequestInfo};
use webhooks::Webhooks;

const DIALECT: &str = "pusher";

/// The doors of Pusher Channels.
pub struct PusherDoor {
    entrance: Arc<Entrance>,
    sessions: Sessions,
    hub: Arc<Hub>,
    app: Arc<NextApp>,
    apps: Arc<Apps>,
    webhooks: Webhooks,
    /// The sessions of clients without WebSockets.
    fallbacks: Arc<sockjs::SockJsSessions<SessionKey>>,
    /// The other doors, where requests are forwarded.
    peers: Option<Arc<Peers>>,
}

impl PusherDoor {
    /// How many places the hub has left for a client that has one of them already; `None` where one app has it alone.
    fn free_places(&self, config: &entrance::Config) -> Option<usize> {
        self.apps.are_several().then(|| self.entrance.free_places(config) + 1)
    }

    fn route(&self, entrance: &entrance::Config, request: &Request) -> Option<PusherRoute> {
        let uri = request.uri();
        let info = RequestInfo { path: uri.path(), query: uri.query(), is_upgrade: websocket::is_upgrade(request) };
        PusherRoute::find(&entrance.path, &self.apps, info)
    }

    async fn answer(
        &self,
        config: &entrance::Config,
        request: Request,
        route: PusherRoute,
    ) -> Result<Response, Failure> {
        match route {
            PusherRoute::Socket { key } => self.socket(config, request, &key, Ok(())).await,
            PusherRoute::Nowhere { key } => self.socket(config, request, &key, Err(Code::NoPath)).await,
            PusherRoute::Fallback { key, session, what } => self.fallback(config, request, (key, session), what).await,
            PusherRoute::Rest { id, path } => Ok(self.rest(request, &id, &path).await),
            PusherRoute::Auth { is_user } => self.auth(config, request, is_user).await,
        }
    }
}

impl Door for PusherDoor {
    type Config = Config;

    /// Builds the apps of `config` and starts their webhooks.
    fn new(config: &Config, ground: &mut Ground) -> PusherDoor {
        let apps = Arc::new(Apps::new(config));
        apps.register(ground.registry);
        let webhooks = Webhooks::start(
            Arc::clone(&apps),
            ground.hub,
            Arc::clone(ground.app),
            ground.drain.clone(),
            ground.registry,
        );
        PusherDoor {
            entrance: Arc::clone(ground.entrance),
            sessions: ground.sessions.clone(),
            hub: Arc::clone(ground.hub),
            app: Arc::clone(ground.app),
            apps,
            webhooks,
            fallbacks: Arc::default(),
            peers: ground.peers.cloned(),
        }
    }

    fn find(self: &Arc<Self>, request: &Request) -> Option<Found> {
        if self.apps.is_empty() {
            return None;
        }
        let config = self.entrance.config();
        let route = self.route(&config, request)?;
        let door = Arc::clone(self);
        Some(Found::new(move |request| async move { door.answer(&config, request, route).await }))
    }

    /// The REST API alone. A request has to be signed there as anywhere.
    fn find_from_app(self: &Arc<Self>, request: &Request) -> Option<Found> {
        if self.apps.is_empty() {
            return None;
        }
        let PusherRoute::Rest { id, path } = self.route(&self.entrance.config(), request)? else { return None };
        let door = Arc::clone(self);
        Some(Found::new(move |request| async move { Ok(door.rest(request, &id, &path).await) }))
    }

    fn reload(&self, config: &Config) {
        self.apps.reload(config);
        self.webhooks.reload();
    }
}
