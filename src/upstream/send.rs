//! A request's journey: wait for the app, get a connection, ask, and where it is safe ask once more.

use http::request::Parts;
use http::{Extensions, Method, StatusCode, Version};
use tokio::time::Instant;
use tracing::warn;

use std::sync::Arc;
use std::time::Duration;

use super::availability::{Availability, WaitDeadline};
use super::connection::Connection;
use super::exchange::{Cause, ExchangeError, ExchangeHead, ask};
use super::metrics::Metrics;
use super::pool::{NoConnection, Pool};
use super::protocol::{Head, Misbehaviour};
use super::response_body;
use super::rewrite::{self, Upgrade};
use super::span;
use super::upload::Upload;
use crate::http::connection::Connected;
use crate::http::{Body, EarlierBuild, Facts, Failure, Request, Response};
use crate::shares::Holder;

/// What a client is told with a 503 for want of a connection.
const COME_BACK: Duration = Duration::from_secs(1);
/// How often a request is asked at most. Once more, for the race with a kept connection that closes; and once more again,
/// for an app that is ending: its queue takes new connections until it has closed it.
const MAX_TRIES: u32 = 3;
/// What an app that is ending is given for that, before the last try.
const END_TIMEOUT: Duration = Duration::from_millis(100);

/// What helps an app whose rewrites fail behind TLS.
const MISNAMED: &str = "Next.js was started with an address in place of a name, and takes itself for another server: \
    every rewrite of its proxy.ts or middleware fails over https. Start it with `next start -H localhost` (a standalone \
    build: HOSTNAME=localhost)";

/// An answer's head, and the connection that holds the rest.
pub struct ExchangeDone {
    pub connection: Connection,
    pub head: Head,
    pub upload: Upload,
    pub pool: Arc<Pool>,
}

/// Asks the app and answers with what it says.
///
/// # Errors
/// [`Failure`] with 502, 503 or 504, or 400 when the request itself breaks off.
pub async fn send(availability: &Availability, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    // Those that usually have a body need not be waited for: without one they are framed as if they had.
    let body = match parts.method {
        Method::POST | Method::PUT | Method::PATCH => body,
        _ => body.unless_empty().await,
    };
    let answered = journey(availability, &parts, body, None).await?;
    respond(answered, &parts)
}

/// Gets `parts` and `body` to the app, until the head of its answer is there.
///
/// # Errors
/// As for [`send`].
pub async fn journey(
    availability: &Availability,
    parts: &Parts,
    body: Body,
    upgrade: Option<&Upgrade>,
) -> Result<ExchangeDone, Failure> {
    let begun = std::time::Instant::now();
    let done = travel(availability, parts, body, upgrade).await;
    let answer = done.as_ref().map(|done| (done.head.status, &done.pool.address)).map_err(|failure| failure.status);
    span::keep(parts, begun, answer);
    done
}

async fn travel(
    availability: &Availability,
    parts: &Parts,
    body: Body,
    upgrade: Option<&Upgrade>,
) -> Result<ExchangeDone, Failure> {
    let mut deadline = WaitDeadline::default();
    let holder = holder(&parts.extensions);
    let mut pool = availability.acquire_for(parts, &mut deadline, holder).await?;
    let encoding = Upload::encoding_of(&body);
    let head = rewrite::head(parts, encoding, upgrade, &pool.address);
    let mut upload = Upload::new(head, body, encoding);
    let method = if upgrade.is_some() { &Method::GET } else { &parts.method };
    let connected = parts.extensions.get::<Arc<Connected>>();
    let client = connected.map(|connected| &**connected).filter(|_| parts.version == Version::HTTP_11);
    let mut tries = 1;
    loop {
        let connected = if tries > 1 { pool.connect_anew(holder).await } else { pool.connect(holder).await };
        let mut connection = match connected {
            Ok(connection) => connection,
            Err(error @ NoConnection::Dial { .. }) => {
                availability.mark_down(&pool, &error);
                pool = availability.acquire_for(parts, &mut deadline, holder).await?;
                continue;
            }
            Err(error) => return Err(unconnected(error, &pool.metrics)),
        };
        let asked = Instant::now();
        let wants_upgrade = upgrade.is_some();
        let client = client.filter(|_| !wants_upgrade);
        let timeout = pool.config.answer_timeout;
        let question = ExchangeHead { method, wants_upgrade, asked, timeout, client };
        match ask(&mut connection, &mut upload, &question).await {
            Ok(head) => {
                pool.metrics.answered(asked.elapsed());
                pool.tally.count(head.status.is_server_error());
                pool.sign.learn(&head.headers);
                if !head.status.is_server_error() && !pool.is_of_earlier_build() {
                    availability.mark_up();
                }
                return Ok(ExchangeDone { connection, head, upload, pool });
            }
            Err(error) => {
                if tries == MAX_TRIES || !may_repeat(&error, &upload, method) {
                    if !matches!(error.cause, Cause::CutShort(_)) {
                        pool.tally.count(true);
                    }
                    return Err(exchange_failure(error, &pool.metrics));
                }
                pool.metrics.retries.inc();
                upload.rewind();
                tries += 1;
                if tries == MAX_TRIES {
                    tokio::time::sleep(END_TIMEOUT).await;
                }
                // It may be another one's turn by now.
                pool = availability.acquire_for(parts, &mut deadline, holder).await?;
            }
        }
    }
}

/// Whose share of the app's connections a request counts against: its client's, also behind trusted proxies. What the
/// door itself asks has none: it is bounded where it is asked.
pub fn holder(extensions: &Extensions) -> Holder {
    extensions.get::<Facts>().map_or(Holder::Trusted, |facts| Holder::of(facts.client))
}

/// A kept connection closes when the app thinks that it has been idle for too long, perhaps just as a request arrives;
/// a new one, when the app ends before it has taken it from its queue. Asking again is safe when the app cannot have heard, or when twice is the same as once (RFC 9110 section 9.2.2).
fn may_repeat(error: &ExchangeError, upload: &Upload, method: &Method) -> bool {
    let is_race = matches!(error.cause, Cause::Closed | Cause::Broken(_)) && !error.had_begun;
    is_race && (upload.sent == 0 || (method.is_idempotent() && !upload.has_body()))
}

/// The answer for the client; its body is read as the client takes it.
///
/// # Errors
/// [`Failure`] with 502 when there is a body where there can be none.
pub fn respond(answered: ExchangeDone, parts: &Parts) -> Result<Response, Failure> {
    let ExchangeDone { connection, head, upload, pool } = answered;
    if rewrite::is_taken_for_another(&head.headers, &pool.address) && pool.said_misnamed.may() {
        warn!(
            path = parts.uri.path(),
            status = head.status.as_u16(),
            help = MISNAMED,
            "the app sends its own rewrites to itself"
        );
    }
    let body = response_body::body(connection, &head, upload, &pool)
        .map_err(|misbehaviour| exchange_failure(ExchangeError::from(misbehaviour), &pool.metrics))?;
    let mut response = rewrite::response(head, body, &pool.address, parts);
    if pool.is_of_earlier_build() {
        rewrite::of_previous(response.headers_mut(), parts);
        pool.metrics.skew.requests.inc();
        if let Some(deployment) = &pool.deployment {
            response.extensions_mut().insert(EarlierBuild(Arc::clone(deployment)));
        }
    } else if rewrite::reload_stale(response.headers_mut(), parts, pool.deployment.as_deref()) {
        pool.metrics.skew.reloaded.inc();
    }
    Ok(response)
}

fn unconnected(error: NoConnection, metrics: &Metrics) -> Failure {
    match &error {
        NoConnection::Dial { .. } | NoConnection::DialTimeout(_) => {
            metrics.failures.connect.inc();
            Failure::app(StatusCode::GATEWAY_TIMEOUT, "The app cannot be reached.").detail(error)
        }
        NoConnection::Shortage { .. } => {
            metrics.failures.overload.inc();
            let reason = "The server has no room for another connection to the app just now.";
            Failure::us(StatusCode::SERVICE_UNAVAILABLE, reason).detail(error).retry_after(COME_BACK)
        }
        NoConnection::Crowded | NoConnection::WaitTimeout => {
            metrics.failures.overload.inc();
            let failure = Failure::app(StatusCode::SERVICE_UNAVAILABLE, "The app is too busy just now.");
            failure.detail(error).retry_after(COME_BACK)
        }
    }
}

pub fn exchange_failure(error: ExchangeError, metrics: &Metrics) -> Failure {
    let ExchangeError { cause, .. } = error;
    let (counter, failure) = match &cause {
        Cause::Closed | Cause::Broken(_) => {
            (&metrics.failures.closed, Failure::app(StatusCode::BAD_GATEWAY, "The app gave no answer."))
        }
        Cause::Timeout => {
            let reason = "The app did not answer in time.";
            (&metrics.failures.timeout, Failure::app(StatusCode::GATEWAY_TIMEOUT, reason))
        }
        Cause::Misbehaved(_) => {
            let reason = "The app's answer was not proper HTTP.";
            (&metrics.failures.misbehaved, Failure::app(StatusCode::BAD_GATEWAY, reason))
        }
        Cause::CutShort(_) => {
            let failure = Failure::client(StatusCode::BAD_REQUEST, "The request was cut short.").closing();
            (&metrics.failures.cut_short, failure)
        }
    };
    counter.inc();
    failure.detail(cause)
}

impl From<Misbehaviour> for ExchangeError {
    fn from(misbehaviour: Misbehaviour) -> ExchangeError {
        ExchangeError { cause: misbehaviour.into(), had_begun: true }
    }
}
