//! The door of clients that speak Engine.IO: which of its requests opens a session, which belongs to one, and which is
//! refused, in the words of the Node server.

mod config;
mod handshake;
mod polling;
mod query;
mod refusal;
pub mod sharing;

use std::sync::Arc;

use http::request::Parts;
use http::{Method, StatusCode};

pub use config::Config;

use super::dialect::socketio::{Numbers, SocketIo};
use super::entrance::facts;
use super::link::engine::{self, Place, Sessions, Shared, Sid, Transport};
use super::link::websocket;
use super::origin::{From, Origins};
use super::{Realtime, Settings};
use crate::http::{Body, Failure, Request, Response};
use crate::telemetry::Registry;
use query::Query;
use refusal::Refusal;

/// One endpoint: its settings and what all its clients share.
pub struct Endpoint {
    config: Config,
    link: Arc<engine::Config>,
    dialect: Arc<SocketIo>,
    /// Clients come back to the same, even when it has got other settings.
    place: Arc<str>,
}

impl Endpoint {
    pub fn new(config: &Config, numbers: &Numbers) -> Endpoint {
        let dialect = SocketIo::counted(config.dialect.clone(), numbers.clone());
        let place = format!("{:?} {}", config.dialect.parser, config.paths.join(" ")).into();
        Endpoint { config: config.clone(), link: Arc::new(config.link.clone()), dialect, place }
    }

    pub fn serves(&self, path: &str) -> bool {
        self.config.serves(path)
    }

    fn origins<'a>(&'a self, settings: &'a Settings) -> &'a Origins {
        self.config.origins.as_ref().unwrap_or(&settings.config.origins)
    }
}

/// The sessions of all endpoints.
pub fn sessions(registry: &mut Registry) -> Arc<Sessions> {
    Arc::new(Sessions::new(engine::Numbers::new(registry.sub_registry_with_prefix("realtime"))))
}

/// What a request is for.
enum Wish {
    Open(Transport),
    Read(Arc<Shared>),
    Write(Arc<Shared>),
    Upgrade(Arc<Shared>),
}

impl Realtime {
    /// Answers a request to `endpoint`.
    ///
    /// # Errors
    /// [`Failure`] for what is wrong before the protocol begins: an upgrade that is none, no place, a body cut short.
    pub(super) async fn engine(
        &self,
        settings: Arc<Settings>,
        endpoint: Arc<Endpoint>,
        request: Request,
    ) -> Result<Response, Failure> {
        let is_socket = websocket::asks(&request);
        let is_http1 = request.version() < http::Version::HTTP_2;
        let refuse = |refusal: Refusal| {
            self.turned.count(refusal.label());
            if is_socket && is_http1 { refusal.answer_upgrade() } else { refusal.answer() }
        };
        let (parts, body) = request.into_parts();
        if !is_socket && refusal::asks_for_the_client(parts.uri.path()) {
            return Ok(refusal::no_client());
        }
        let facts = facts(&parts)?;
        let from = match endpoint.origins(&settings).check(&parts.headers, &facts) {
            Ok(from) => from,
            Err(_) => {
                let mut response = refuse(Refusal::Forbidden);
                sharing::share(response.headers_mut(), From::Here);
                return Ok(response);
            }
        };
        if let Some(answer) = sharing::preflight(&parts, &from) {
            return Ok(answer);
        }
        let query = Query::read(parts.uri.query());
        let outcome = match self.wish(&endpoint, &parts, is_socket, &query) {
            Err(refusal) => Ok(refuse(refusal)),
            Ok(Wish::Open(Transport::Polling)) => self.open_polling(&settings, &endpoint, &parts, &facts).await,
            Ok(Wish::Open(Transport::WebSocket)) => {
                self.open_socket(&settings, &endpoint, Request::from_parts(parts, body), facts).await
            }
            Ok(Wish::Upgrade(shared)) => {
                match self.upgrade_session(&settings, shared, Request::from_parts(parts, body)) {
                    Some(answered) => answered,
                    None => Ok(refuse(Refusal::BadRequest)),
                }
            }
            Ok(Wish::Read(shared)) => Ok(polling::read(&shared).await.unwrap_or_else(refuse)),
            Ok(Wish::Write(shared)) => {
                polling::write(&shared, &parts, body).await.map(|done| done.unwrap_or_else(refuse))
            }
        };
        outcome.map(|mut response| {
            sharing::share(response.headers_mut(), from);
            response
        })
    }

    /// In the order in which the Node server looks, so that it says the same where several things are wrong.
    fn wish(&self, endpoint: &Endpoint, request: &Parts, is_socket: bool, query: &Query) -> Result<Wish, Refusal> {
        let transport = Transport::named(&query.transport).filter(|transport| endpoint.link.allows(*transport));
        let transport = transport.ok_or(Refusal::TransportUnknown)?;
        let is_fitting = is_socket == (transport == Transport::WebSocket);
        if query.sid.is_empty() {
            if request.method != Method::GET && !is_socket {
                return Err(Refusal::BadHandshakeMethod);
            }
            if !is_fitting {
                return Err(Refusal::BadRequest);
            }
            return if query.is_version_4 { Ok(Wish::Open(transport)) } else { Err(Refusal::UnsupportedVersion) };
        }
        let place = Sid::parse(&query.sid).and_then(|sid| self.sessions.find(sid));
        let Place::Polling(shared) = place.ok_or(Refusal::SessionUnknown)? else {
            return Err(Refusal::BadRequest);
        };
        if !is_fitting || !query.is_version_4 {
            return Err(Refusal::BadRequest);
        }
        match request.method {
            _ if is_socket => Ok(Wish::Upgrade(shared)),
            Method::GET => Ok(Wish::Read(shared)),
            Method::POST => Ok(Wish::Write(shared)),
            _ => Err(Refusal::BadRequest),
        }
    }
}

/// An answer without words.
fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}
