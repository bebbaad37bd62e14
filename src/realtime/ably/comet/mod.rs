//! Clients without WebSockets (`xhr_polling`): one request listens at a time, and others say something.
#![expect(clippy::disallowed_methods, reason = "a session holds a guard")]

mod link;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::value::RawValue;

pub use link::CometSessions;

use self::link::CometSession;
use super::AblyDoor;
use super::wire::Format;
use super::wire::error::AblyError;
use super::wire::protocol::action;
use crate::http::query::parameter;
use crate::http::{Body, Failure, Request, Response};
use crate::realtime::entrance::cors::Cors;
use crate::realtime::entrance::{self, facts};
use crate::realtime::peer::{Peers, SessionOwner, Way, is_from_peer};

/// How long the last words may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request may take to say what it says.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

impl AblyDoor {
    /// Answers a request whose path begins with `/comet/`; `rest` is what follows.
    ///
    /// # Errors
    /// 403 for pages of other sites, and for who may come back 429 and 503.
    pub(super) async fn comet(
        self: &Arc<Self>,
        config: &entrance::Config,
        request: Request,
        rest: &str,
    ) -> Result<Response, Failure> {
        let (head, body) = request.into_parts();
        let facts = facts(&head)?;
        let from = self.entrance.check_origin(&config.origins, &head.headers, &facts)?;
        if let Some(response) = Cors::GET_POST.preflight(&head, &from) {
            return Ok(response);
        }
        if let Some(way) = self.elsewhere(&head, rest).await? {
            // The other door says all that there is to say, unless it has died.
            let answer = way.forward(Request::from_parts(head, body)).await?;
            return Ok(answer.unwrap_or_else(|| {
                let mut gone = failed(&gone());
                Cors::GET_POST.share(gone.headers_mut(), &from);
                gone
            }));
        }
        let answer = match (&head.method, rest.split_once('/')) {
            (&Method::GET | &Method::POST, None) if rest == "connect" => self.open_comet(config, &head).await?,
            (_, Some((key, what))) => self.go_on(config, &head, body, key, what).await,
            (method, None) => Err(AblyError::new(40400, 404, format!("There is no {method} /comet/{rest}"))),
        };
        let mut response = answer.unwrap_or_else(|error| failed(&error));
        Cors::GET_POST.share(response.headers_mut(), &from);
        Ok(response)
    }

    async fn open_comet(
        self: &Arc<Self>,
        config: &entrance::Config,
        head: &Parts,
    ) -> Result<Result<Response, AblyError>, Failure> {
        let facts = facts(head)?;
        let (admitted, machine) = match self.admit(config, head, &facts, Format::Json).await? {
            Ok(both) => both,
            Err(error) => return Ok(Err(error)),
        };
        let claimed = self.peers.clone().map(|peers| (peers, claimed_name(machine.key())));
        if let Some((peers, name)) = &claimed {
            // Before its client hears of it: its next request may come to another door.
            peers.owner(name, true).await?;
        }
        let (link, session) = self.comets.open(machine.key());
        let live = self.sessions.begin(admitted, Box::new(machine)).await;
        tokio::spawn(Peers::held(claimed, live.run(Box::new(link), CLOSE_TIMEOUT)));
        Ok(Ok(listening(&session, head)))
    }

    /// The way to the door that has the connection which `rest` names; `None` where that is this one, or nobody's.
    async fn elsewhere(&self, head: &Parts, rest: &str) -> Result<Option<Way>, Failure> {
        let (Some(peers), Some((key, _))) = (self.peers.as_ref().filter(|_| !is_from_peer(head)), rest.split_once('/'))
        else {
            return Ok(None);
        };
        let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy();
        if self.comets.find(&key).is_some() {
            return Ok(None);
        }
        Ok(match peers.owner(&claimed_name(&key), false).await? {
            SessionOwner::There(way) => Some(way),
            SessionOwner::Here | SessionOwner::Nobody => None,
        })
    }

    /// A request of a connection that there is, by its private key.
    async fn go_on(
        &self,
        config: &entrance::Config,
        head: &Parts,
        body: Body,
        key: &str,
        what: &str,
    ) -> Result<Response, AblyError> {
        let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy();
        let session = self.comets.find(&key).ok_or_else(gone)?;
        match (&head.method, what) {
            (&Method::GET, "recv") => return Ok(listening(&session, head)),
            (&Method::POST, "send") => {
                let messages = read(body, config.websocket.max_message.bytes()).await?;
                post(&session, messages).await?;
            }
            (_, "close") => post(&session, vec![told(action::CLOSE)]).await?,
            (_, "disconnect") => post(&session, vec![told(action::DISCONNECT)]).await?,
            (method, what) => {
                return Err(AblyError::new(40400, 404, format!("There is no {method} of {what} here")));
            }
        }
        // What comes of it is heard by the request that listens.
        Ok(said(Body::from("[]")))
    }
}

/// Not one of those that clients take for the end of everything.
fn gone() -> AblyError {
    AblyError::new(80003, 404, "The connection is gone")
}

/// What a connection is called among doors: nobody reads its key in it.
fn claimed_name(key: &str) -> String {
    Peers::name("ably", &[key])
}

fn told(action: u8) -> String {
    format!(r#"{{"action":{action}}}"#)
}

async fn post(session: &CometSession, messages: Vec<String>) -> Result<(), AblyError> {
    if session.post(messages).await {
        return Ok(());
    }
    Err(AblyError::new(80003, 503, "Too many messages wait"))
}

/// Reads a list of protocol messages, each as its text.
async fn read(body: Body, most: usize) -> Result<Vec<String>, AblyError> {
    let bad = |what: &str| AblyError::new(40000, 400, what);
    let body = match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(AblyError::new(40009, 413, format!("The request is longer than {most} bytes")));
        }
        Ok(Err(_)) => return Err(bad("The body broke off")),
        Err(_) => return Err(bad("The body took too long")),
    };
    let messages: Result<Vec<Box<RawValue>>, _> = serde_json::from_slice(&body);
    let messages = messages.map_err(|_| bad("The body must be a JSON list of protocol messages"))?;
    Ok(messages.into_iter().map(|message| message.get().to_owned()).collect())
}

fn listening(session: &Arc<CometSession>, head: &Parts) -> Response {
    let is_stream = parameter(head.uri.query(), "stream").as_deref() == Some("true");
    said(Body::boxed(session.listen(is_stream)))
}

/// Why not, as the body has it and the status.
fn failed(error: &AblyError) -> Response {
    let mut response = said(Body::from(Format::Json.bytes(&BTreeMap::from([("error", error)]))));
    *response.status_mut() = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

fn said(body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}
