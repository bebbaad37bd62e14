//! Clients that a proxy keeps from WebSockets: `xhr_streaming` and `xhr_polling` of `pusher-js`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Limited};

use super::place::Fallback;
use super::socket::{DIALECT, version};
use crate::http::{Body, Facts, Failure, Request, Response};
use crate::realtime::dialect::pusher::Code;
use crate::realtime::engine::sharing::{preflight, share};
use crate::realtime::entrance::{Greeting, Guest, facts};
use crate::realtime::link::sockjs::{self, Meeting};
use crate::realtime::session::{Record, Session, Who};
use crate::realtime::vocabulary::{Frame, Moment};
use crate::realtime::{Realtime, Settings};

/// What tells sessions apart: the client chooses its session's name, so whose it is counts too.
pub type SessionKey = (IpAddr, String, String);

/// How long the last words may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a request that listens gets.
enum Opened {
    Session(Arc<Meeting>),
    Refused(Code),
}

impl Realtime {
    /// A request of a client that has no WebSocket.
    ///
    /// # Errors
    /// 400, 403, 404, 405, 413, 429, 503.
    pub(in crate::realtime) async fn pusher_fallback(
        &self,
        request: Request,
        key: &str,
        session: &str,
        what: Fallback,
    ) -> Result<Response, Failure> {
        let settings = self.settings.get();
        let (request, body) = request.into_parts();
        let facts = facts(&request)?;
        let from = self.check_origin(&settings.config.origins, &request.headers, &facts)?;
        if let Some(response) = preflight(&request, &from) {
            return Ok(response);
        }
        if request.method != Method::POST {
            let failure = Failure::client(StatusCode::METHOD_NOT_ALLOWED, "This is asked with POST.");
            return Err(failure.header(ALLOW, HeaderValue::from_static("POST, OPTIONS")));
        }
        let id = (facts.client, key.to_owned(), session.to_owned());
        let known = self.pusher_sessions.find(&id);
        let mut response = match (what, known) {
            (Fallback::Send, Some(meeting)) => self.pusher_send(&settings, &meeting, body).await?,
            (Fallback::Send, None) => {
                return Err(Failure::client(StatusCode::NOT_FOUND, "There is no such session."));
            }
            (what, Some(meeting)) => listening(&meeting, what),
            (what, None) => match self.pusher_open(&settings, &request, facts, id).await? {
                Opened::Session(meeting) => listening(&meeting, what),
                Opened::Refused(code) => said(Body::from(refused(code))),
            },
        };
        share(response.headers_mut(), from);
        Ok(response)
    }

    async fn pusher_open(
        &self,
        settings: &Settings,
        request: &Parts,
        facts: Facts,
        id: SessionKey,
    ) -> Result<Opened, Failure> {
        let app = version(request.uri.query()).and_then(|()| self.pusher.by_key(&id.1).ok_or(Code::NoApp));
        let app = match app {
            Ok(app) => app,
            Err(code) => return Ok(Opened::Refused(code)),
        };
        let guest = self.let_in(settings, request, &facts, DIALECT, Greeting::WithoutChannel).await;
        let guest = match guest.map_err(Failure::from) {
            Ok(guest) => guest,
            Err(failure) if matches!(failure.status.as_u16(), 401 | 403) => {
                return Ok(Opened::Refused(Code::Unauthorised(failure.reason.as_ref().into())));
            }
            Err(failure) => return Err(failure),
        };
        let Guest { client, permit, gate, first } = guest;
        let machine = match app.connect(client.id(), Moment::now()) {
            Ok(machine) => machine,
            Err(code) => return Ok(Opened::Refused(code)),
        };
        let overlap = || Failure::client(StatusCode::CONFLICT, "This session is just being opened.");
        let (link, meeting) = self.pusher_sessions.open(id).ok_or_else(overlap)?;
        let who = Who {
            dialect: DIALECT,
            client: facts.client,
            path: request.uri.path().into(),
            request_id: facts.request_id,
            numbers: self.numbers.clone(),
        };
        let record = Record::new(who, permit);
        let session = Session::begin(Box::new(machine), client, gate, first, record, self.drain.guard()).await;
        tokio::spawn(session.run(Box::new(link), PATIENCE));
        Ok(Opened::Session(meeting))
    }

    async fn pusher_send(&self, settings: &Settings, meeting: &Meeting, body: Body) -> Result<Response, Failure> {
        let most = settings.config.websocket.max_message.bytes();
        let body = match Limited::new(body, most).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(Failure::client(StatusCode::PAYLOAD_TOO_LARGE, "This is longer than a message may be."));
            }
            Err(_) => return Err(Failure::client(StatusCode::BAD_REQUEST, "The body broke off.")),
        };
        let messages: Vec<String> = serde_json::from_slice(&body)
            .map_err(|_| Failure::client(StatusCode::BAD_REQUEST, "A list of messages is expected."))?;
        if messages.is_empty() {
            meeting.beat();
        } else if !meeting.post(messages).await {
            let failure = Failure::client(StatusCode::TOO_MANY_REQUESTS, "Too many messages wait.");
            return Err(failure.retry_after(Duration::from_secs(1)));
        }
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }
}

fn listening(meeting: &Arc<Meeting>, what: Fallback) -> Response {
    said(Body::boxed(meeting.listen(what == Fallback::Stream)))
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
