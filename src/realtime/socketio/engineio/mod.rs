//! Engine.IO: which of a client's requests opens a session, which belongs to one, and which is refused, in the words of
//! the Node server.

pub mod transport;

mod handshake;
mod query;
mod refusal;
mod requests;

use std::sync::Arc;

use http::request::Parts;
use http::{Method, StatusCode};

use super::{Endpoint, SocketIoDoor};
use crate::http::{Body, Failure, Request, Response};
use crate::realtime::entrance::cors::{AllowedHeaders, Cors};
use crate::realtime::entrance::origin::From;
use crate::realtime::entrance::{self, facts};
use crate::realtime::link::websocket;
use query::Query;
use refusal::Refusal;
use transport::{Place, Shared, Sid, Transport};

/// Cross-origin polling. What of a request's headers means something here can be sent from anywhere.
const CORS: Cors = Cors { methods: "GET, POST", headers: AllowedHeaders::Any, varies_by: None };

/// What a request is for.
enum Wish {
    Open(Transport),
    Read(Arc<Shared>),
    Write(Arc<Shared>),
    Upgrade(Arc<Shared>),
}

impl SocketIoDoor {
    /// Answers a request to `endpoint`.
    ///
    /// # Errors
    /// [`Failure`] for what is wrong before the protocol begins: an upgrade that is none, no place, a body cut short.
    pub(super) async fn answer(
        &self,
        config: &entrance::Config,
        endpoint: &Endpoint,
        request: Request,
    ) -> Result<Response, Failure> {
        let is_socket = websocket::asks(&request);
        let is_http1 = request.version() < http::Version::HTTP_2;
        let refuse = |refusal: Refusal| {
            self.entrance.count_rejection(refusal.label());
            if is_socket && is_http1 { refusal.answer_upgrade() } else { refusal.answer() }
        };
        let (parts, body) = request.into_parts();
        if !is_socket && refusal::asks_for_the_client(parts.uri.path()) {
            return Ok(refusal::no_client());
        }
        let facts = facts(&parts)?;
        let from = match endpoint.origins(config).check(&parts.headers, &facts) {
            Ok(from) => from,
            Err(_) => {
                let mut response = refuse(Refusal::Forbidden);
                CORS.share(response.headers_mut(), &From::Here);
                return Ok(response);
            }
        };
        if let Some(answer) = CORS.preflight(&parts, &from) {
            return Ok(answer);
        }
        let query = Query::read(parts.uri.query());
        let outcome = match self.wish(endpoint, &parts, is_socket, &query) {
            Err(refusal) => Ok(refuse(refusal)),
            Ok(Wish::Open(Transport::Polling)) => self.open_polling(config, endpoint, &parts, &facts).await,
            Ok(Wish::Open(Transport::WebSocket)) => {
                self.open_socket(config, endpoint, Request::from_parts(parts, body), facts).await
            }
            Ok(Wish::Upgrade(shared)) => match self.upgrade_session(config, shared, Request::from_parts(parts, body)) {
                Some(answered) => answered,
                None => Ok(refuse(Refusal::BadRequest)),
            },
            Ok(Wish::Read(shared)) => Ok(requests::read(&shared).await.unwrap_or_else(refuse)),
            Ok(Wish::Write(shared)) => {
                requests::write(&shared, &parts, body).await.map(|done| done.unwrap_or_else(refuse))
            }
        };
        outcome.map(|mut response| {
            CORS.share(response.headers_mut(), &from);
            response
        })
    }

    /// In the order in which the Node server looks, so that it says the same where several things are wrong.
    fn wish(&self, endpoint: &Endpoint, request: &Parts, is_socket: bool, query: &Query) -> Result<Wish, Refusal> {
        let transport = Transport::named(&query.transport).filter(|transport| endpoint.transport.allows(*transport));
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
        let place = Sid::parse(&query.sid).and_then(|sid| self.transports.find(sid));
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
