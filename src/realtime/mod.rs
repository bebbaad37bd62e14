//! River 2: WebSockets and their kin, from the upgrade to the hub.
//!
//! Three doors in: `upgrade` (WebSockets, over HTTP/1.1 and HTTP/2), `engine` (WebSockets and polling, as the stock
//! Socket.IO client comes) and `rest` (event streams and history). Behind each a `session` holds together how frames travel (`link`), how the client speaks (`dialect`) and who hears what (`hub`).

pub mod admission;
pub mod api;
pub mod broker;
pub mod dialect;
pub mod gate;
pub mod hub;
pub mod link;
pub mod session;
pub mod token;
pub mod vocabulary;

mod callbacks;
mod config;
mod cors;
mod doorman;
mod engine;
mod entrance;
mod farewell;
mod origin;
mod place;
mod pusher;
mod refusal;
mod rest;
mod upgrade;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::{ACCEPT, ALLOW};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::sync::Semaphore;

pub use config::Config;

use self::admission::Admission;
use self::callbacks::Callbacks;
use self::dialect::plain::Plain;
use self::doorman::Doorman;
use self::engine::Endpoint;
use self::gate::Gate;
use self::hub::Hub;
use self::link::engine::Sessions;
use self::link::websocket;
use self::token::Tokens;
use self::vocabulary::Moment;
use crate::app::App;
use crate::drain::Signal;
use crate::http::{Facts, Failure, Request, Response};
use crate::settings::Live;
use crate::telemetry::Registry;

/// The realtime hub and its doors in.
pub struct Realtime {
    settings: Live<Settings>,
    hub: Arc<Hub>,
    admission: Arc<Admission>,
    numbers: Arc<session::Numbers>,
    turned: entrance::Turned,
    sessions: Arc<Sessions>,
    berths: Arc<session::Berths>,
    recovered: dialect::socketio::Numbers,
    pusher: Arc<pusher::Apps>,
    pusher_webhooks: pusher::Webhooks,
    pusher_sessions: pusher::Sessions,
    app: Arc<App>,
    gate: Arc<dyn Gate>,
    tokens: Arc<Tokens>,
    /// Sockets that are open only to be told why they are closed.
    refusing: Arc<Semaphore>,
    drain: Signal,
}

/// The config, and what is made of it once.
struct Settings {
    config: Config,
    plain: Arc<Plain>,
    engines: Vec<Arc<Endpoint>>,
}

impl Settings {
    fn new(config: &Config, recovered: &dialect::socketio::Numbers) -> Settings {
        Settings {
            config: config.clone(),
            plain: Arc::new(Plain::new(config.plain.clone())),
            engines: config.socketio.iter().map(|endpoint| Arc::new(Endpoint::new(endpoint, recovered))).collect(),
        }
    }

    /// The endpoint of Engine.IO that a request for `path` is for.
    fn engine(&self, path: &str) -> Option<&Arc<Endpoint>> {
        self.engines.iter().find(|endpoint| endpoint.serves(path))
    }
}

impl Realtime {
    /// Builds the hub and starts its upkeep; `app` judges what clients want, where it wants to.
    pub fn new(config: &Config, app: Arc<App>, drain: Signal, registry: &mut Registry) -> Realtime {
        let lanes = std::thread::available_parallelism().map_or(1, usize::from);
        let hub = Arc::new(Hub::new(config.hub.clone(), lanes, hub::Numbers::new(registry)));
        tokio::spawn(upkeep::upkeep(Arc::clone(&hub), drain.clone()));
        let apps = Arc::new(pusher::Apps::new(&config.pusher));
        apps.register(registry);
        let webhooks = pusher::Webhooks::start(Arc::clone(&apps), &hub, Arc::clone(&app), drain.clone(), registry);
        let recovered = dialect::socketio::Numbers::new(registry);
        let numbers = Arc::new(session::Numbers::new(registry));
        session::start_couriers(&hub, &numbers);
        let settings = Live::new(Settings::new(config, &recovered));
        tokio::spawn(farewell::farewell(Arc::clone(&hub), settings.clone(), drain.clone()));
        let tokens = Tokens::new(&config.tokens, registry);
        tokio::spawn(Arc::clone(&tokens).follow(drain.clone()));
        let callbacks = Callbacks::new(Arc::clone(&app), Arc::clone(&hub));
        Realtime {
            settings,
            gate: Arc::new(Doorman::new(Arc::clone(&tokens), callbacks)),
            tokens,
            refusing: Arc::new(Semaphore::new(refusal::MOST)),
            app,
            hub,
            pusher: apps,
            pusher_webhooks: webhooks,
            pusher_sessions: pusher::Sessions::default(),
            admission: Arc::default(),
            numbers,
            turned: entrance::Turned::new(registry),
            sessions: engine::sessions(registry),
            berths: Arc::new(session::Berths::new(recovered.held().clone(), registry)),
            recovered,
            drain,
        }
    }

    /// The hub, for the doors of the app and the operator.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// True when a request is the hub's, by its path.
    pub fn serves(&self, request: &Request) -> bool {
        let settings = self.settings.get();
        let path = request.uri().path();
        if settings.engine(path).is_some() || self.pusher_place(&settings, request).is_some() {
            return true;
        }
        path.strip_prefix(settings.config.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// How many clients are connected now, by dialect.
    pub fn sockets(&self) -> BTreeMap<&'static str, i64> {
        self.numbers.sockets()
    }

    /// Takes over another section of the config (SIGHUP). Sockets stay open; new ones are under the new settings, and
    /// channels under their new policies at once.
    pub fn reload(&self, config: &Config) {
        self.hub.reload(config.hub.clone(), Moment::now().instant);
        self.pusher.reload(&config.pusher);
        self.tokens.reload(&config.tokens);
        self.pusher_webhooks.reload();
        self.settings.set(Settings::new(config, &self.recovered));
    }

    /// Answers a request on the hub's path: an upgrade, or one of the one-way doors.
    ///
    /// # Errors
    /// [`Failure`] for what is not for the hub to answer: 400, 403, 404, 405, 426 (RFC 6455 section 4.4), and 503 with
    /// `Retry-After` when there is no place.
    pub async fn answer(&self, request: Request) -> Result<Response, Failure> {
        let settings = self.settings.get();
        if let Some(endpoint) = settings.engine(request.uri().path()) {
            let endpoint = Arc::clone(endpoint);
            return self.engine(settings, endpoint, request).await;
        }
        if let Some(place) = self.pusher_place(&settings, &request) {
            return self.pusher(request, place).await;
        }
        drop(settings);
        if websocket::asks(&request) {
            return self.upgrade(request).await;
        }
        let (request, _) = request.into_parts();
        let facts = entrance::facts(&request)?;
        let from = self.check_origin(&self.settings.get().config.origins, &request.headers, &facts)?;
        if let Some(answer) = cors::preflight(&request, &from) {
            return Ok(answer);
        }
        match self.one_way(request, facts).await {
            Ok(mut response) => {
                cors::share(response.headers_mut(), &from);
                Ok(response)
            }
            // A page may read why it is refused.
            Err(failure) => Err(cors::share_failure(failure, &from)),
        }
    }

    async fn one_way(&self, request: Parts, facts: Facts) -> Result<Response, Failure> {
        let (is_get, is_head) = (request.method == Method::GET, request.method == Method::HEAD);
        if !is_get && !is_head {
            let failure = Failure::client(StatusCode::METHOD_NOT_ALLOWED, "This address is read, or speaks WebSocket.");
            return Err(failure.header(ALLOW, HeaderValue::from_static("GET, HEAD")));
        }
        if is_get && accepts(&request.headers, "text/event-stream") {
            self.listen(request, facts).await
        } else if accepts(&request.headers, "application/json") {
            self.look_back(request, facts).await
        } else {
            Err(websocket::not_asked(request.version))
        }
    }
}

/// Whether `kind` is named among what a client accepts; a wildcard names nothing.
fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    accepts.flat_map(|accept| accept.split(',')).any(|item| item.split(';').next().unwrap_or_default().trim() == kind)
}
