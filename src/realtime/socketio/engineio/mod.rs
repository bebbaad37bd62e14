//! Engine.IO: which of a client's requests opens a session, which belongs to one, and which is refused, in the words of
//! the Node server.

pub mod transport;

mod handshake;
mod query;
mod error_code;
mod elsewhere;
mod requests;

use std::sync::Arc;

use http::request::Parts;
use http::{Method, StatusCode};

use super::{Endpoint, SocketIoDoor};
use crate::http::{Body, Failure, Request, Response};
use crate::realtime::entrance::cors::Cors;
use crate::realtime::entrance::origin::From;
use crate::realtime::entrance::{self, facts};
use crate::realtime::link::websocket;
use crate::realtime::peer::Ask;
use error_code::ErrorCode;
use query::Query;
use transport::{Lookup, PollingSession, Sid, Transport};

/// What a request is for.
enum RequestKind {
    Open(Transport),
    Read(Arc<PollingSession>),
    Write(Arc<PollingSession>),
    Upgrade(Arc<PollingSession>),
    /// A WebSocket for a session that has gone over to one already.
    Redundant,
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
        let is_socket = websocket::is_upgrade(&request);
        let is_http1 = request.version() < http::Version::HTTP_2;
        let refuse = |refusal: ErrorCode| {
            self.entrance.rejections().count(refusal.label());
            if is_socket && is_http1 { refusal.answer_upgrade() } else { refusal.answer() }
        };
        let (parts, body) = request.into_parts();
        if !is_socket && error_code::asks_for_the_client(parts.uri.path()) {
            return Ok(error_code::no_client());
        }
        let facts = facts(&parts)?;
        let from = match endpoint.origins(config).check(&parts.headers, &facts) {
            Ok(from) => from,
            Err(_) => {
                let mut response = refuse(ErrorCode::Forbidden);
                Cors::GET_POST.share(response.headers_mut(), &From::Here);
                return Ok(response);
            }
        };
        if let Some(answer) = Cors::GET_POST.preflight(&parts, &from) {
            return Ok(answer);
        }
        if let Some(Ask::Resume(key)) = parts.extensions.get::<Ask>() {
            let key = *key;
            return self.take_back(config, endpoint, key, Request::from_parts(parts, body), facts).await;
        }
        let query = Query::read(parts.uri.query());
        if let Some(way) = self.elsewhere(&parts, &query).await? {
            // The other door says all that there is to say, unless it has died.
            let answer = way.forward(Request::from_parts(parts, body)).await?;
            return Ok(answer.unwrap_or_else(|| {
                let mut unknown = refuse(ErrorCode::SessionUnknown);
                Cors::GET_POST.share(unknown.headers_mut(), &from);
                unknown
            }));
        }
        let outcome = match self.request_kind(endpoint, &parts, is_socket, &query) {
            Err(refusal) => Ok(refuse(refusal)),
            Ok(RequestKind::Open(Transport::Polling)) => self.open_polling(config, endpoint, &parts, &facts).await,
            Ok(RequestKind::Open(Transport::WebSocket)) => {
                self.open_socket(config, endpoint, Request::from_parts(parts, body), facts).await
            }
            Ok(RequestKind::Upgrade(shared)) => self.upgrade_session(config, &shared, Request::from_parts(parts, body)),
            Ok(RequestKind::Redundant) => {
                self.close_redundant(handshake::limits(config, &endpoint.transport), Request::from_parts(parts, body))
            }
            Ok(RequestKind::Read(shared)) => Ok(requests::read(&shared).await.unwrap_or_else(refuse)),
            Ok(RequestKind::Write(shared)) => {
                requests::write(&shared, &parts, body).await.map(|done| done.unwrap_or_else(refuse))
            }
        };
        outcome.map(|mut response| {
            Cors::GET_POST.share(response.headers_mut(), &from);
            response
        })
    }

    /// In the order in which the Node server looks, so that it says the same where several things are wrong.
    fn request_kind(
        &self,
        endpoint: &Endpoint,
        request: &Parts,
        is_socket: bool,
        query: &Query,
    ) -> Result<RequestKind, ErrorCode> {
        let transport = Transport::named(&query.transport).filter(|transport| endpoint.transport.allows(*transport));
        let transport = transport.ok_or(ErrorCode::TransportUnknown)?;
        let is_fitting = is_socket == (transport == Transport::WebSocket);
        if query.sid.is_empty() {
            if request.method != Method::GET && !is_socket {
                return Err(ErrorCode::BadHandshakeMethod);
            }
            if !is_fitting {
                return Err(ErrorCode::BadRequest);
            }
            return if query.is_version_4 {
                Ok(RequestKind::Open(transport))
            } else {
                Err(ErrorCode::UnsupportedVersion)
            };
        }
        let place = Sid::parse(&query.sid).and_then(|sid| self.transports.find(sid));
        let Lookup::Polling(shared) = place.ok_or(ErrorCode::SessionUnknown)? else {
            return if is_socket && is_fitting { Ok(RequestKind::Redundant) } else { Err(ErrorCode::BadRequest) };
        };
        if !is_fitting || !query.is_version_4 {
            return Err(ErrorCode::BadRequest);
        }
        match request.method {
            _ if is_socket => Ok(RequestKind::Upgrade(shared)),
            Method::GET => Ok(RequestKind::Read(shared)),
            Method::POST => Ok(RequestKind::Write(shared)),
            _ => Err(ErrorCode::BadRequest),
        }
    }
}

/// An answer without words.
fn bare(status: StatusCode) -> Response {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}
