//! The REST API: what servers and browsers ask without a connection. Paths are those behind the host that a client was
//! given.

mod amending;
mod answer;
mod batch;
mod caller;
mod channels;
mod messages;
mod page;
mod presence;
mod rates;
mod stream;
mod tokens;
mod visit;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, ORIGIN};
use http::request::Parts;
use http::{HeaderValue, Method};
use http_body_util::{BodyExt, Limited};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

pub use self::rates::RequestRates;

use self::answer::{Answer, AnswerStyle};
use super::AblyDoor;
use super::wire::Format;
use super::wire::error::AblyError;
use crate::http::{Body, Facts, Failure, Request, Response};
use crate::realtime::entrance::cors::{AllowedHeaders, Cors};
use crate::realtime::entrance::origin::From;
use crate::realtime::entrance::{self, facts};
use crate::realtime::vocabulary::Moment;

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What may stand around messages, in bytes.
const ENVELOPE_LEN: usize = 64 * 1024;

/// How often a body may have what the longest message has: for escapes, base64, and several channels.
const BODY_FACTOR: usize = 8;

/// What pages of allowed origins may do.
const CORS: Cors =
    Cors { methods: "GET, POST, PATCH, PUT, DELETE", headers: AllowedHeaders::Any, varies_by: Some("accept") };

/// What those pages may read besides.
const EXPOSED: HeaderValue = HeaderValue::from_static("x-ably-errorcode, x-ably-errormessage, link");

/// One request, without its body.
struct Call<'a> {
    head: &'a Parts,
    facts: &'a Facts,
    config: &'a entrance::Config,
    style: AnswerStyle,
    now: Moment,
}

impl Call<'_> {
    fn query(&self) -> Option<&str> {
        self.head.uri.query()
    }

    /// The format of its body.
    fn sends(&self) -> Format {
        AnswerStyle::sends(&self.head.headers)
    }

    fn answer(&self, status: u16, what: &impl serde::Serialize) -> Answer {
        Answer::new(status, self.style.format.bytes(what))
    }
}

impl AblyDoor {
    /// Answers a request, whose path for this protocol is `path`.
    ///
    /// # Errors
    /// 403 for pages of other sites.
    pub(super) async fn rest(
        self: &Arc<Self>,
        config: &entrance::Config,
        request: Request,
        path: &str,
    ) -> Result<Response, Failure> {
        let (head, body) = request.into_parts();
        let facts = facts(&head)?;
        // Nothing here goes by cookies: who says no origin is no page, and needs none.
        let from = match head.headers.contains_key(ORIGIN) {
            true => self.entrance.check_origin(&config.origins, &head.headers, &facts)?,
            false => From::Here,
        };
        if let Some(response) = CORS.preflight(&head, &from) {
            return Ok(response);
        }
        let call = Call { head: &head, facts: &facts, config, style: AnswerStyle::of(&head), now: Moment::now() };
        let outcome = match call.stream(path) {
            Some(style) => self.listen(&call, style).await,
            None => self.rest_answer(&call, body, path).await.map(|answer| call.style.respond(answer)),
        };
        let failed = |error| call.style.respond(Answer::error(&error, call.style.format));
        let mut response = outcome.unwrap_or_else(failed);
        CORS.share(response.headers_mut(), &from);
        if matches!(from, From::Elsewhere(_)) {
            response.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        Ok(response)
    }

    async fn rest_answer(&self, call: &Call<'_>, body: Body, path: &str) -> Result<Answer, AblyError> {
        let decoded = |segment: &str| percent_decode_str(segment).decode_utf8().map(String::from);
        let segments: Result<Vec<String>, _> = path.split('/').skip(1).map(decoded).collect();
        let segments = segments.map_err(|_| AblyError::new(40000, 400, "The path is not UTF-8"))?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match (&call.head.method, &segments[..]) {
            (&Method::GET, ["time"]) => return Ok(call.answer(200, &[call.now.unix_ms])),
            (&Method::POST, ["keys", name, "requestToken"]) => {
                let body = read(body, ENVELOPE_LEN).await?;
                return self.request_token(call, name, &body);
            }
            _ => {}
        }
        // Before the body: who may not ask has nothing read.
        let caller = self.caller(call)?;
        let most = caller.auth.app.settings().max_message.bytes().saturating_mul(BODY_FACTOR) + ENVELOPE_LEN;
        match (&call.head.method, &segments[..]) {
            (&Method::GET, ["stats"]) => caller.stats(call),
            (&Method::POST, ["keys", name, "revokeTokens"]) => {
                let body = read(body, ENVELOPE_LEN).await?;
                self.revoke_tokens(call, &caller, name, &body).await
            }
            (&Method::POST, ["messages"]) => self.publish_batch(call, &caller, &read(body, most).await?).await,
            (&Method::GET, ["presence"]) => self.batch_presence(call, &caller).await,
            (&Method::GET, ["channels"]) => self.list_channels(call, &caller).await,
            (&Method::GET, ["channels", name]) => self.look_at_channel(call, &caller, name).await,
            (&Method::POST, ["channels", name, "messages"]) => {
                self.publish_messages(call, &caller, name, &read(body, most).await?).await
            }
            (&Method::GET, ["channels", name, last @ ("messages" | "history")]) => {
                self.read_history(call, &caller, name, last).await
            }
            (&Method::GET, ["channels", name, "messages", serial]) => {
                self.read_message(call, &caller, name, serial).await
            }
            (&Method::GET, ["channels", name, "messages", serial, "versions"]) => {
                self.read_versions(call, &caller, name, serial).await
            }
            (&Method::PATCH, ["channels", name, "messages", serial]) => {
                self.change_message(call, &caller, (name, serial), &read(body, most).await?).await
            }
            (&Method::GET, ["channels", name, "messages", serial, "annotations"]) => {
                self.read_annotations(call, &caller, name, serial).await
            }
            (&Method::POST, ["channels", name, "messages", serial, "annotations"]) => {
                self.annotate(call, &caller, (name, serial), &read(body, most).await?).await
            }
            (&Method::GET, ["channels", name, "presence"]) => self.read_members(call, &caller, name).await,
            (&Method::GET, ["channels", name, "presence", "history"]) => {
                self.read_presence_history(call, &caller, name).await
            }
            (_, ["push", ..]) => Err(absent("Push notifications are")),
            (_, ["channels", _, "object" | "objects", ..]) => Err(absent("LiveObjects are")),
            (method, _) => Err(AblyError::new(40400, 404, format!("There is no {method} {path}"))),
        }
    }
}

fn absent(what: &str) -> AblyError {
    AblyError::new(40400, 404, format!("{what} not available here"))
}

/// Reads a body of at most `most` bytes.
async fn read(body: Body, most: usize) -> Result<Bytes, AblyError> {
    let bad = |what: &str| AblyError::new(40000, 400, what);
    match timeout(BODY_TIMEOUT, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(AblyError::new(40009, 413, format!("The request is longer than {most} bytes")))
        }
        Ok(Err(_)) => Err(bad("The body broke off")),
        Err(_) => Err(bad("The body took too long")),
    }
}
