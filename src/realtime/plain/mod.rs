//! Plain clients: a stock `WebSocket` or `EventSource`, and `fetch` for what a channel has kept.
//!
//! The door is here; its three ways in are `socket`, `event_stream` and `history`, and `machine` is how they speak.
//!
#![doc = include_str!("README.md")]

pub mod machine;

mod config;
mod event_stream;
mod history;
mod path;
mod socket;

use std::sync::Arc;

use http::header::{ACCEPT, ALLOW};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

pub use config::{Broadcast, Config};

use super::door::{Door, Found, Ground};
use super::entrance::cors::{AllowedHeaders, Cors};
use super::entrance::{self, Entrance, facts};
use super::hub::Hub;
use super::link::websocket;
use super::session::Sessions;
use super::vocabulary::{Channel, Since};
use crate::http::{Facts, Failure, Request, Response};
use crate::settings::Live;
use machine::Plain;

const DIALECT: &str = "plain";

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

const CORS: Cors = Cors {
    methods: "GET, HEAD",
    // A page may send its token in a header.
    headers: AllowedHeaders::These("authorization, last-event-id, cache-control"),
    varies_by: Some("accept"),
};

/// The door of plain clients: all below the hub's own path that is no other door's.
pub struct PlainDoor {
    entrance: Arc<Entrance>,
    sessions: Sessions,
    hub: Arc<Hub>,
    plain: Live<Plain>,
}

impl PlainDoor {
    /// Answers a request: an upgrade, or one of the one-way doors.
    ///
    /// # Errors
    /// [`Failure`] for what is not for the hub to answer: 400, 403, 404, 405, 426 (RFC 6455 section 4.4), and 503 with
    /// `Retry-After` when there is no place.
    async fn answer(&self, config: &RequestConfig, request: Request) -> Result<Response, Failure> {
        if websocket::is_upgrade(&request) {
            return self.upgrade(config, request).await;
        }
        let (request, _) = request.into_parts();
        let facts = facts(&request)?;
        let from = self.entrance.check_origin(&config.entrance.origins, &request.headers, &facts)?;
        if let Some(answer) = CORS.preflight(&request, &from) {
            return Ok(answer);
        }
        match self.one_way(config, request, facts).await {
            Ok(mut response) => {
                CORS.share(response.headers_mut(), &from);
                Ok(response)
            }
            Err(failure) => Err(CORS.share_failure(failure, &from)),
        }
    }

    async fn one_way(&self, config: &RequestConfig, request: Parts, facts: Facts) -> Result<Response, Failure> {
        let (is_get, is_head) = (request.method == Method::GET, request.method == Method::HEAD);
        if !is_get && !is_head {
            let failure = Failure::client(StatusCode::METHOD_NOT_ALLOWED, "This address is read, or speaks WebSocket.");
            return Err(failure.header(ALLOW, HeaderValue::from_static("GET, HEAD")));
        }
        if is_get && accepts(&request.headers, "text/event-stream") {
            self.listen(config, request, facts).await
        } else if accepts(&request.headers, "application/json") {
            self.look_back(config, request, facts).await
        } else {
            Err(websocket::not_asked(request.version))
        }
    }
}

impl Door for PlainDoor {
    type Config = Config;

    fn new(config: &Config, ground: &mut Ground) -> PlainDoor {
        PlainDoor {
            entrance: Arc::clone(ground.entrance),
            sessions: ground.sessions.clone(),
            hub: Arc::clone(ground.hub),
            plain: Live::new(Plain::new(config.clone())),
        }
    }

    fn find(self: &Arc<Self>, request: &Request) -> Option<Found> {
        let entrance = self.entrance.config();
        entrance.below(request.uri().path())?;
        let door = Arc::clone(self);
        let config = RequestConfig { entrance, plain: self.plain.get() };
        Some(Found::new(move |request| async move { door.answer(&config, request).await }))
    }

    fn reload(&self, config: &Config) {
        self.plain.set(Plain::new(config.clone()));
    }
}

/// What one request is answered by.
struct RequestConfig {
    entrance: Arc<entrance::Config>,
    plain: Arc<Plain>,
}

impl RequestConfig {
    /// The channel that a request names, or else that of clients that name none.
    fn channel(&self, request: &Parts) -> Result<Channel, Failure> {
        let named = path::channel(self.entrance.below(request.uri.path()).unwrap_or_default())?;
        Ok(named.unwrap_or_else(|| self.plain.channel().clone()))
    }

    /// Which channel, and from where: the query's `since`, or else what an event stream was at.
    fn wanted(&self, request: &Parts) -> Result<(Channel, Option<Since>), Failure> {
        let channel = self.channel(request)?;
        let id = request.headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or_default());
        // A stream that comes back repeats the query it began with: where it was last is newer.
        let since = match id {
            Some(id) if !id.is_empty() => Some(path::last_event_id(id)),
            _ => path::since(request.uri.query())?,
        };
        Ok((channel, since))
    }
}

/// Whether `kind` is named among what a client accepts; a wildcard names nothing.
fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    accepts.flat_map(|accept| accept.split(',')).any(|item| item.split(';').next().unwrap_or_default().trim() == kind)
}
