//! Clients that a proxy keeps from WebSockets: `xhr_streaming` and `xhr_polling` of `pusher-js`.
#![expect(clippy::disallowed_methods, reason = "a session holds a guard")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Limited};

use super::PusherDoor;
use super::machine::Code;
use super::route::Fallback;
use super::sockjs::{self, SockJsSession};
use crate::http::{Body, Facts, Failure, Request, Response};
use crate::realtime::entrance::cors::Cors;
use crate::realtime::entrance::{self, facts};
use crate::realtime::peer::{Peers, SessionOwner, is_from_peer};
use crate::realtime::vocabulary::Frame;

/// What tells sessions apart: the client chooses its session's name, so whose it is counts too.
pub type SessionKey = (IpAddr, String, String);

/// How long the last words may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a request that listens gets.
enum Opened {
    Session(Arc<SockJsSession>),
    Refused(Code),
}

impl PusherDoor {
    /// A request of a client that has no WebSocket.
    ///
    /// # Errors
    /// 400, 403, 404, 405, 413, 429, 503.
    pub(super) async fn fallback(
        &self,
        config: &entrance::Config,
        request: Request,
        (key, session): (String, String),
        what: Fallback,
    ) -> Result<Response, Failure> {
        let (request, body) = request.into_parts();
        let facts = facts(&request)?;
        let from = self.entrance.check_origin(&config.origins, &request.headers, &facts)?;
        if let Some(response) = Cors::GET_POST.preflight(&request, &from) {
            return Ok(response);
        }
        if request.method != Method::POST {
            let failure = Failure::client(StatusCode::METHOD_NOT_ALLOWED, "Use POST for this.");
            return Err(failure.header(ALLOW, HeaderValue::from_static("POST, OPTIONS")));
        }
        let id = (facts.client, key, session);
        let known = self.fallbacks.find(&id);
        let shares = self.peers.as_ref().filter(|_| known.is_none() && !is_from_peer(&request));
        if let Some(peers) = shares
            && let SessionOwner::There(way) = peers.owner(&claimed_name(&id), what != Fallback::Send).await?
        {
            // The other door says all that there is to say, unless it has died.
            return way.forward(Request::from_parts(request, body)).await?.ok_or_else(unknown);
        }
        let mut response = match (what, known) {
            (Fallback::Send, Some(session)) => send(config, &session, body).await?,
            (Fallback::Send, None) => {
                return Err(unknown());
            }
            (what, Some(session)) => listening(&session, what),
            (what, None) => match self.open_fallback(config, &request, facts, id).await? {
                Opened::Session(session) => listening(&session, what),
                Opened::Refused(code) => said(Body::from(refused(code))),
            },
        };
        Cors::GET_POST.share(response.headers_mut(), &from);
        Ok(response)
    }

    async fn open_fallback(
        &self,
        config: &entrance::Config,
        request: &Parts,
        facts: Facts,
        id: SessionKey,
    ) -> Result<Opened, Failure> {
        let (admitted, machine) = match self.admit(config, request, &facts, &id.1, Ok(())).await? {
            Ok(both) => both,
            Err(code) => return Ok(Opened::Refused(code)),
        };
        let overlap = || Failure::client(StatusCode::CONFLICT, "This session is just being opened.");
        let claimed = self.peers.clone().map(|peers| (peers, claimed_name(&id)));
        let (link, requests) = self.fallbacks.open(id).ok_or_else(overlap)?;
        let session = self.sessions.begin(admitted, Box::new(machine)).await;
        tokio::spawn(Peers::held(claimed, session.run(Box::new(link), CLOSE_TIMEOUT)));
        Ok(Opened::Session(requests))
    }
}

fn unknown() -> Failure {
    Failure::client(StatusCode::NOT_FOUND, "There is no such session.")
}

/// What a session is called among doors: nobody reads in it whose it is.
fn claimed_name((client, key, session): &SessionKey) -> String {
    Peers::name("pusher", &[&client.to_string(), key, session])
}

async fn send(config: &entrance::Config, session: &SockJsSession, body: Body) -> Result<Response, Failure> {
    let most = config.websocket.max_message.bytes();
    let body = match Limited::new(body, most).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(Failure::client(StatusCode::PAYLOAD_TOO_LARGE, "This is longer than a message may be."));
        }
        Err(_) => return Err(Failure::client(StatusCode::BAD_REQUEST, "The body broke off.")),
    };
    let messages: Vec<String> = crate::json::from_slice(&body)
        .map_err(|_| Failure::client(StatusCode::BAD_REQUEST, "The body must be a JSON list of messages."))?;
    if messages.is_empty() {
        session.heartbeat();
    } else if !session.post(messages).await {
        let failure = Failure::client(StatusCode::TOO_MANY_REQUESTS, "Too many messages wait.");
        return Err(failure.retry_after(Duration::from_secs(1)));
    }
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn listening(session: &Arc<SockJsSession>, what: Fallback) -> Response {
    said(Body::boxed(session.listen(what == Fallback::Stream)))
}

fn refused(code: Code) -> String {
    match code.close() {
        Frame::Close(Some(close)) => sockjs::refusal(close.code, &close.reason),
        _ => sockjs::refusal(code.number(), ""),
    }
}

fn said(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/javascript; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}
