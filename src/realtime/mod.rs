//! River 2: WebSockets and their kin, from the upgrade to the hub.
//!
//! Each protocol is a folder with a [`Door`](crate::realtime::door::Door); all of them are in the list
//! `protocols.rs`. Every client passes the [`Entrance`](crate::realtime::entrance::Entrance).
//! Behind it a [`Session`](crate::realtime::session::Session) holds together how frames travel
//! ([`link`](crate::realtime::link)), how the client speaks ([`dialect`](crate::realtime::dialect)) and who hears what
//! ([`hub`](crate::realtime::hub)).
//!
#![doc = include_str!("README.md")]
#![expect(clippy::disallowed_methods, reason = "sweeper, drain and the watch on key files end with the drain's signal")]

pub mod ably;
pub mod api;
pub mod broker;
pub mod dialect;
pub mod document;
pub mod door;
pub mod entrance;
pub mod hub;
pub mod link;
pub mod liveblocks;
pub mod msgpack;
pub mod peer;
pub mod plain;
pub mod pusher;
pub mod session;
pub mod socketio;
pub mod vocabulary;
pub mod yjs;

mod app_authorizer;
mod config;
mod drain;
mod protocols;
mod sharing;
mod sweeper;
mod token_authorizer;
mod webhooks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use config::Config;
use tokio::time::timeout;

use self::api::Api;
use self::app_authorizer::AppAuthorizer;
use self::door::{Doors, Found, Ground};
use self::entrance::Entrance;
use self::entrance::authorizer::Authorizer;
use self::entrance::token::Tokens;
use self::hub::Hub;
use self::hub::documents::{DocumentMetrics, Documents};
use self::peer::{Ask, Peers};
use self::protocols::Protocols;
use self::session::Sessions;
use self::sharing::Sharing;
use self::token_authorizer::TokenAuthorizer;
use self::vocabulary::{DisconnectReason, Moment};
use self::webhooks::documents::DocumentWebhooks;
use crate::callbacks::App;
use crate::documents::{self, Store, StoreError, StoreKind};
use crate::drain::Signal;
use crate::http::{Request, ResponseFuture};
use crate::settings::Live;
use crate::telemetry::Registry;

/// How long the door lets documents go that others may have, as it stops.
const PARTING: Duration = Duration::from_secs(2);

/// The realtime hub, and the doors of all protocols.
pub struct Realtime {
    hub: Arc<Hub>,
    entrance: Arc<Entrance>,
    sessions: Sessions,
    doors: Arc<Doors<Protocols>>,
    webhooks: DocumentWebhooks,
    /// Whether clients are told at a drain that this is a restart.
    restarts: Live<bool>,
    /// With other doors, where there are any.
    sharing: Option<Sharing>,
}

impl Realtime {
    /// Builds the hub and starts its upkeep; `app` judges what clients want, where it wants to.
    pub fn new(
        config: &Config,
        app: Arc<App>,
        kept: &documents::Config,
        drain: Signal,
        registry: &mut Registry,
    ) -> Realtime {
        let shards = std::thread::available_parallelism().map_or(1, usize::from);
        let hub = Arc::new(Hub::new(config.hub.clone(), shards, hub::Metrics::new(registry)));
        let redis = config.redis.as_ref();
        let sharing = redis.map(|redis| Sharing::start(redis, &hub, &drain, registry));
        let restarts = Live::new(config.restarts);
        let metrics = DocumentMetrics::new(registry);
        let limits = config.hub.documents.clone();
        let documents = match &sharing {
            Some(sharing) if kept.kind(config.has_peers()) == StoreKind::Redis => {
                let (documents, deposed) = Documents::shared(&hub, sharing.documents(), limits, metrics);
                tokio::spawn(Arc::clone(&hub).tell_deposed(deposed, drain.clone()));
                tokio::spawn(drain::let_documents_go(Arc::clone(&hub), restarts.clone(), drain.clone()));
                documents
            }
            _ => Documents::new(Store::new(kept), limits, metrics),
        };
        let documents = Arc::new(documents);
        hub.keep_documents(Arc::clone(&documents));
        tokio::spawn(sweeper::keep_documents(documents, drain.clone()));
        tokio::spawn(sweeper::sweep(Arc::clone(&hub), drain.clone()));
        tokio::spawn(drain::close_all(Arc::clone(&hub), restarts.clone(), drain.clone()));
        let tokens = Tokens::new(&config.entrance.tokens, registry);
        tokio::spawn(Arc::clone(&tokens).follow(drain.clone()));
        let callbacks = AppAuthorizer::new(Arc::clone(&app), Arc::clone(&hub));
        let authorizer = Arc::new(TokenAuthorizer::new(Arc::clone(&tokens), callbacks));
        let judges = (authorizer as Arc<dyn Authorizer>, tokens);
        let entrance = Arc::new(Entrance::new(&config.entrance, &hub, &app, judges, &drain, registry));
        let sessions = Sessions::new(&hub, &drain, registry);
        let webhooks = DocumentWebhooks::start(&config.document_webhooks, &hub, &app, &drain, registry);
        let peers = sharing.as_ref().and_then(Sharing::peers);
        let ground = &mut Ground {
            hub: &hub,
            entrance: &entrance,
            sessions: &sessions,
            app: &app,
            drain: &drain,
            peers,
            registry,
        };
        let doors = Arc::new(config.protocols.doors(ground));
        Realtime { hub, entrance, sessions, doors, webhooks, restarts, sharing }
    }

    /// The hub, for the doors of the app and the operator.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// What `request` means to one of the doors; `None` where it is not the hub's.
    pub fn find(&self, request: &Request) -> Option<Found> {
        self.doors.find(request)
    }

    /// What `request` means if an app's server asks it: for a listener of the door's own, which the app reaches without
    /// knowing the site's address.
    pub fn find_from_app(&self, request: &Request) -> Option<Found> {
        self.doors.find_from_app(request)
    }

    /// Answers what other doors forward from now on, where there are any: of clients, and what is asked of `api`.
    pub fn answer_others(&self, config: &Config, api: &Arc<Api>) {
        let (Some(sharing), Some(redis)) = (&self.sharing, &config.redis) else { return };
        let (doors, api) = (Arc::clone(&self.doors), Arc::clone(api));
        let answers = move |request: Request| -> ResponseFuture {
            match request.extensions().get::<Ask>() {
                Some(Ask::AnswerApp) => {
                    let api = Arc::clone(&api);
                    Box::pin(async move { Ok(api.answer(request, api::Listener::Peer).await) })
                }
                _ => door::forwarded(&doors, request),
            }
        };
        sharing.serve(redis, Arc::new(answers));
    }

    /// The other doors, where requests are forwarded.
    pub fn peers(&self) -> Option<&Arc<Peers>> {
        self.sharing.as_ref().and_then(Sharing::peers)
    }

    /// Why the other doors are not heard, where there are any.
    pub fn sharing_trouble(&self) -> Option<String> {
        self.sharing.as_ref()?.trouble()
    }

    /// Takes its leave of the other doors: nobody is here any more.
    pub async fn leave_others(&self) {
        if let Some(sharing) = &self.sharing {
            if let Some(documents) = self.hub.documents() {
                let _ = timeout(PARTING, documents.end(&DisconnectReason::GoingAway)).await;
            }
            sharing.close().await;
        }
    }

    /// Forces documents to the disk: nobody edits any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn save(&self) -> Result<(), StoreError> {
        self.hub.documents().map_or(Ok(()), |documents| documents.store().sync())
    }

    /// Whether documents can be read and written, as far as it was tried.
    ///
    /// # Errors
    /// Why not.
    pub fn documents_health(&self) -> Result<(), StoreError> {
        self.hub.documents().map_or(Ok(()), |documents| documents.store().health())
    }

    /// Where the hub is.
    pub fn path(&self) -> String {
        self.entrance.config().path.clone()
    }

    /// How many clients are connected now, by dialect.
    pub fn sockets(&self) -> BTreeMap<&'static str, i64> {
        self.sessions.open()
    }

    /// Takes over another section of the config (SIGHUP). Sockets stay open; new ones are under the new settings, and
    /// channels under their new policies at once.
    pub fn reload(&self, config: &Config) {
        self.hub.reload(config.hub.clone(), Moment::now().instant);
        self.entrance.reload(&config.entrance);
        self.doors.reload(&config.protocols);
        self.webhooks.reload(&config.document_webhooks);
        self.restarts.set(config.restarts);
    }
}
