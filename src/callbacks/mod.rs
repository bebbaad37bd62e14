//! Callbacks: what we ask the Next.js app. May this client in? what happened? what is to be done about it?
//!
//! Each is a `POST` to one of the app's own routes, signed as Standard Webhooks says, with the cookies and the
//! `Authorization` of the client it is about, so that the app's session code works in it unchanged.
//!
#![doc = include_str!("README.md")]

mod answer;
mod breaker;
mod config;
mod metrics;
mod callback;
mod receiver;
mod remote;
mod report;
mod sent;
mod signature;
mod span;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{info, warn};

pub use answer::{Act, Answer, Ask, Audience, Content, Destination, Do, Emit, Target, User};
pub use callback::{Amends, Callback, CallbackClient, Event, EventKind, Reply};
pub use config::{Config, SECRET_VARIABLE};
pub use receiver::Receiver;
pub use remote::Elsewhere;
pub use signature::{BadSecret, Secret};

use crate::drain::Signal;
use crate::http::routed::may_reach;
use crate::http::{Body, Failure};
use crate::settings::Live;
use crate::shares::{Holder, Shares};
use crate::telemetry::trace::{TRACESTATE, Tracer};
use crate::telemetry::{LogThrottle, Registry};
use crate::upstream::{self, FromTheDoor, Upstream};
use breaker::Breaker;
use metrics::Metrics;
use remote::{Away, Remote, RemoteError};
use sent::Sent;
use span::CallbackSpan;

/// Asks the app; shared by every session.
pub struct App {
    config: watch::Sender<Arc<Config>>,
    upstream: Arc<Upstream>,
    away: Away,
    breaker: Breaker,
    /// Callbacks under way at once, `concurrency` at most; more of them wait, and addresses take turns.
    under_way: Arc<Shares>,
    /// Callbacks waiting or under way. At most `max_waiting`, shared by address: one more is refused with
    /// [`CallbackError::TooMany`].
    waiting: Arc<Shares>,
    /// Reports that nobody waits for. At most `max_waiting`: one more is dropped, counted and logged.
    reports: mpsc::Sender<report::Report>,
    /// Of the places for those that wait.
    reported: Arc<Shares>,
    said_lost: LogThrottle,
    tracer: Live<Tracer>,
    metrics: Metrics,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// It did not answer in time, or not at all, as often as was tried; or it failed at this very one.
    #[error("the app did not answer: {0}")]
    Unavailable(String),
    /// It answered, but with something that is no answer. The app's fault; asking again would not help.
    #[error("the app's answer makes no sense: {0}")]
    Nonsense(String),
    /// More callbacks wait than `max_waiting`.
    #[error("too many callbacks wait for the app")]
    TooMany,
}

impl App {
    /// Nothing is asked before the first callback; `drain` lets reports under way finish.
    pub fn new(
        config: &Config,
        upstream: Arc<Upstream>,
        tracer: Live<Tracer>,
        drain: Signal,
        registry: &mut Registry,
    ) -> Arc<App> {
        let (reports, queue) = mpsc::channel(config.max_waiting);
        let app = Arc::new(App {
            breaker: Breaker::new(config.breaker_failures, config.breaker_pause),
            under_way: Shares::new("callbacks.concurrency", config.concurrency),
            waiting: Shares::new("callbacks.max_waiting", config.max_waiting),
            config: watch::Sender::new(Arc::new(config.clone())),
            upstream,
            away: Away::default(),
            reports,
            reported: Shares::new("callbacks.max_waiting", config.max_waiting),
            said_lost: LogThrottle::default(),
            tracer,
            metrics: Metrics::new(registry),
        });
        report::start(&app, queue, drain);
        app
    }

    /// Takes over another section of the config (SIGHUP). `concurrency`, `max_waiting` and the breaker's keys need a
    /// restart.
    pub fn reload(&self, config: &Config) {
        self.config.send_replace(Arc::new(config.clone()));
    }

    /// True when the app wants to be asked about anything.
    pub fn has_callbacks(&self) -> bool {
        !self.config.borrow().events.is_empty()
    }

    /// True when the app's own route for callbacks is meant, however the path is written and whatever Next's router takes
    /// off it: nobody outside may use it, by any method (a route of the Pages Router answers all of them).
    pub fn is_callback(&self, uri: &Uri) -> bool {
        let config = self.config.borrow();
        let ours = config.path.as_deref().unwrap_or(&config.default_path);
        config.url.is_none() && !config.events.is_empty() && may_reach(uri, ours)
    }

    /// True when the app wants to be asked about `kind` (and, where there is one, about `channel`).
    pub fn wants(&self, kind: EventKind, channel: Option<&str>) -> bool {
        self.config.borrow().wants(kind, channel)
    }

    /// The headers of an upgrade that go along with every callback about it.
    pub fn carried(&self, headers: &HeaderMap) -> HeaderMap {
        let config = self.config.borrow();
        let mut carried = HeaderMap::new();
        // There only where it belongs to a trace that is carried on.
        let state = HeaderName::from_static(TRACESTATE);
        let is_traced = self.tracer.get().is_on() && !config.headers.contains(&state);
        for name in [COOKIE, AUTHORIZATION].iter().chain(&config.headers).chain(is_traced.then_some(&state)) {
            for value in headers.get_all(name) {
                carried.append(name.clone(), value.clone());
            }
        }
        carried
    }

    /// Asks, again where asking again may help, for at most the deadline that the config gives this kind.
    /// Cancel-safe: a callback whose client is gone is not sent again.
    ///
    /// # Errors
    /// [`CallbackError`]: the caller decides what that means (connect and subscribe fail closed).
    pub async fn ask(&self, callback: &Callback) -> Result<Answer, CallbackError> {
        let config = self.config.borrow().clone();
        let _place = self.waiting.try_take(Holder::of(callback.client().facts.client)).ok_or(CallbackError::TooMany)?;
        let limit = config.deadline(callback.kind());
        let outcome = self.persist(callback, &config, Instant::now() + limit).await;
        self.metrics.answered(callback.kind(), &outcome);
        outcome
    }

    /// Reports what has happened, to be delivered at least once; nobody waits for it. `then` is told what the app answers.
    /// Where too many wait, of all or of one client address, it is lost, and counted.
    pub fn report(&self, callback: Callback, then: impl FnOnce(Answer) + Send + 'static) {
        let place = self.reported.try_take(Holder::of(callback.client().facts.client));
        let sent = place
            .is_some_and(|place| self.reports.try_send(report::Report::new(callback, Box::new(then), place)).is_ok());
        if !sent {
            self.metrics.reports_lost.inc();
            if self.said_lost.may() {
                warn!("a report to the app is dropped: too many wait, of all or of its client's address");
            }
        }
    }

    async fn persist(&self, callback: &Callback, config: &Config, deadline: Instant) -> Result<Answer, CallbackError> {
        // One id for all attempts: to the app, asked twice is asked once.
        let id = signature::message_id();
        let client = Holder::of(callback.client().facts.client);
        let mut last = CallbackError::Unavailable("it is given a rest after too many failures".into());
        let mut attempt = 0;
        while attempt < config.attempts {
            let earliest = self.breaker.next_chance(Instant::now());
            if earliest > deadline {
                return Err(last);
            }
            sleep_until(earliest).await;
            let failure = match self.attempt(callback, config, &id, client, deadline).await {
                None => return Err(last),
                // A turn that the breaker does not give is no attempt: a message waits out its deadline, not eight pauses.
                Some(Err(AttemptError::Resting)) => continue,
                Some(Ok(answer)) => {
                    self.breaker.succeeded();
                    return Ok(answer);
                }
                Some(Err(failure)) => failure,
            };
            let opens = match &failure {
                AttemptError::Away(_) => self.breaker.failed(Instant::now()),
                AttemptError::Silent(_) | AttemptError::Broken(_) => self.breaker.hung(client, Instant::now()),
                // It is there and it speaks: that it fails at one callback says nothing of the next.
                _ => {
                    self.breaker.succeeded();
                    false
                }
            };
            let repeats = may_repeat(&failure, callback.kind());
            let why = match failure {
                AttemptError::Nonsense(error) => {
                    warn!(kind = callback.kind().label(), path = config.place_of(), %error, "callback failed");
                    return Err(error);
                }
                AttemptError::Away(why)
                | AttemptError::Silent(why)
                | AttemptError::Broken(why)
                | AttemptError::Failed(why) => why,
                AttemptError::Resting => continue,
            };
            if opens {
                self.metrics.breaker_opened.inc();
                warn!(%why, pause = ?config.breaker_pause, "the app fails too often: its callbacks rest");
            }
            last = CallbackError::Unavailable(why.clone());
            if !repeats {
                warn!(kind = callback.kind().label(), path = config.place_of(), error = %last, "callback failed");
                return Err(last);
            }
            self.metrics.retries.inc();
            info!(kind = callback.kind().label(), attempt, %why, "callback will be tried again");
            let pause = jittered(config.first_pause * 2_u32.saturating_pow(attempt.min(10)));
            attempt += 1;
            if Instant::now() + pause > deadline {
                return Err(last);
            }
            tokio::time::sleep(pause).await;
        }
        Err(last)
    }

    /// One attempt, when it is this callback's turn; `None` where that does not come in time.
    async fn attempt(
        &self,
        callback: &Callback,
        config: &Config,
        id: &str,
        client: Holder,
        deadline: Instant,
    ) -> Option<Result<Answer, AttemptError>> {
        let _permit = timeout_at(deadline, self.under_way.take(client)).await.ok()?;
        let Some(_chance) = self.breaker.admit(Instant::now()) else { return Some(Err(AttemptError::Resting)) };
        let until = deadline.min(Instant::now() + config.timeout);
        let sent = Sent::default();
        let mut span = CallbackSpan::begin(callback.client().facts.trace.as_ref());
        let outcome = timeout_at(until, self.once(callback, config, id, &sent, &mut span)).await;
        span.end(callback.kind().label(), || config.place_of());
        Some(outcome.unwrap_or_else(|_| {
            let why = format!("no answer within {}", humantime::format_duration(config.timeout));
            Err(if sent.is_set() { AttemptError::Silent(why) } else { AttemptError::Away(why) })
        }))
    }

    async fn once(
        &self,
        callback: &Callback,
        config: &Config,
        id: &str,
        sent: &Sent,
        span: &mut CallbackSpan,
    ) -> Result<Answer, AttemptError> {
        let request = self
            .request(callback, config, id, span)
            .map_err(|why| AttemptError::Nonsense(CallbackError::Nonsense(why)))?;
        let request = request.map(|body| Body::boxed(sent.watch(body)));
        let answer = match &config.url {
            Some(remote) => self.ask_away(remote, request, config, sent).await,
            None => self.ask_here(request, config, sent).await,
        };
        let (status, body) = answer?;
        span.status = Some(status);
        let why = || format!("status {}", status.as_u16());
        match status {
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => Err(AttemptError::Away(why())),
            // Whoever stands before the app has waited for it in vain.
            StatusCode::GATEWAY_TIMEOUT => Err(AttemptError::Silent(why())),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(AttemptError::Failed(why()))
            }
            status => {
                Answer::parse(status, &body).map_err(|what| AttemptError::Nonsense(CallbackError::Nonsense(what)))
            }
        }
    }

    /// Asks the app behind the door.
    async fn ask_here(
        &self,
        request: http::Request<Body>,
        config: &Config,
        sent: &Sent,
    ) -> Result<(StatusCode, Bytes), AttemptError> {
        let failed = |failure: Failure| {
            let is_late = failure.status == StatusCode::GATEWAY_TIMEOUT && sent.is_set();
            let why = failure.detail.unwrap_or_else(|| failure.reason.into_owned());
            if is_late { AttemptError::Silent(why) } else { broken(sent, why) }
        };
        let (head, body) = self.upstream.send(request).await.map_err(failed)?.into_parts();
        match Limited::new(body, config.max_answer.bytes()).collect().await {
            Ok(body) => Ok((head.status, body.to_bytes())),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_long(config)),
            Err(error) => Err(AttemptError::Broken(format!("its answer broke off: {error}"))),
        }
    }

    /// Asks an app elsewhere.
    async fn ask_away(
        &self,
        remote: &Remote,
        request: http::Request<Body>,
        config: &Config,
        sent: &Sent,
    ) -> Result<(StatusCode, Bytes), AttemptError> {
        let asked = self.away.ask(remote, request, config.max_answer.bytes()).await;
        asked.map_err(|unanswered| match unanswered {
            RemoteError::Broken(why) => broken(sent, why),
            RemoteError::TooLong => too_long(config),
        })
    }

    fn request(
        &self,
        callback: &Callback,
        config: &Config,
        id: &str,
        span: &CallbackSpan,
    ) -> Result<http::Request<Bytes>, String> {
        let body = callback.body();
        let client = callback.client();
        let mut headers = client.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.extend(self.signed(Some(config.secret()), id, body.as_bytes())?);
        let mut put = |name: &'static str, value: &str| -> Result<(), String> {
            let value = HeaderValue::from_str(value).map_err(|error| error.to_string())?;
            headers.insert(HeaderName::from_static(name), value);
            Ok(())
        };
        put("webhook-id", id)?;
        put(upstream::CALLBACK, &config.secret().badge())?;
        if config.url.is_some() {
            span.tell(&mut headers);
        }
        let mut request = http::Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = config.path_of().parse::<Uri>().map_err(|error| error.to_string())?;
        *request.headers_mut() = headers;
        request.extensions_mut().insert(span.facts(&client.facts));
        request.extensions_mut().insert(FromTheDoor);
        Ok(request)
    }
}

fn too_long(config: &Config) -> AttemptError {
    AttemptError::Nonsense(CallbackError::Nonsense(format!("it is longer than {} bytes", config.max_answer.0)))
}

/// Why one attempt brought no answer.
enum AttemptError {
    /// The app cannot be had, or says so (502, 503): no handler has the callback.
    Away(String),
    /// It has the callback and says nothing (504 says the same): a handler may still be at work.
    Silent(String),
    /// The callback had left when the connection broke: its handler may have begun, and went with its process.
    Broken(String),
    /// It failed at this one callback: another 5xx, or 429.
    Failed(String),
    /// It answered, but not with an answer.
    Nonsense(CallbackError),
    /// The breaker gave no turn.
    Resting,
}

/// What a connection that failed says of the callback.
fn broken(sent: &Sent, why: String) -> AttemptError {
    if sent.is_set() { AttemptError::Broken(why) } else { AttemptError::Away(why) }
}

/// Whether the callback is put again: where no handler has it. One that may still be at work is not run a second time. A
/// message whose handler went with its process would be lost, and is put again under the same id; a client that wants
/// in comes again by itself. The news that a client is gone is delivered at least once, whatever happens.
fn may_repeat(failure: &AttemptError, kind: EventKind) -> bool {
    match failure {
        AttemptError::Away(_) => true,
        AttemptError::Broken(_) => !matches!(kind, EventKind::Connect | EventKind::Subscribe),
        AttemptError::Silent(_) | AttemptError::Failed(_) => kind == EventKind::Disconnect,
        AttemptError::Nonsense(_) | AttemptError::Resting => false,
    }
}

/// Between half of `pause` and all of it, so that many askers do not come back in step.
fn jittered(pause: Duration) -> Duration {
    pause / 2 + (pause / 2).mul_f64(fastrand::f64())
}
