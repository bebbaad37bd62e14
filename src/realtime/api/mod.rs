//! The app's own door to the hub: publish, look, disconnect, over HTTP and JSON.
//!
//! `operation` is what can be done, `json` how it looks as JSON, and this file is what a request passes on its way:
//! caller, route, body, `Idempotency-Key`, rate.
//!
#![doc = include_str!("README.md")]
#![expect(
    clippy::disallowed_methods,
    reason = "what is done once by its key is waited for by its request, which holds a guard"
)]

mod bearer;
mod body;
mod caller;
mod config;
mod elsewhere;
mod json;
mod idempotency;
mod metrics;
mod once;
pub mod operation;
mod problem;
mod route;
mod shared_request;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};
use tracing::{debug, info};

pub use bearer::VARIABLE as TOKEN_VARIABLE;
pub use caller::Listener;
pub use config::Config;

use super::hub::Hub;
use super::peer::{Peers, is_from_peer};
use super::vocabulary::{Moment, Refusal, Since, TokenBucket};
use crate::cache::Cache;
use crate::http::query::parameter;
use crate::http::{Body, Request, Response};
use crate::settings::Live;
use crate::shares::Holder;
use crate::telemetry::Registry;
use body::Room;
use elsewhere::Answerer;
use idempotency::{IdempotencyMemory, StoredResponse};
use json::Emission;
use metrics::Metrics;
use problem::ApiProblem;
use route::ApiRoute;

/// The variable in which the app finds where all this is.
pub const URL_VARIABLE: &str = "DOORWAY_URL";

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How many entries of a list are given where the query does not say, and at most.
const MOST_BY_DEFAULT: usize = 100;
const MAX_LISTED: usize = 1000;

/// The OpenAPI 3.1 description, but for where this server is.
const DESCRIPTION: &str = include_str!("openapi.json");

/// The API. One for all the doors that lead to it.
pub struct Api {
    config: Live<Config>,
    hub: Arc<Hub>,
    cache: Arc<Cache>,
    /// The other doors, where documents may be theirs.
    peers: Option<Arc<Peers>>,
    memory: IdempotencyMemory,
    rate: Mutex<TokenBucket>,
    room: Room,
    metrics: Metrics,
}

/// What a request came to, also where that is a problem: then something was done all the same.
struct Completed {
    kept: StoredResponse,
    was_kept: bool,
    /// Another door has refused it: sent again, it is judged again.
    was_refused: bool,
}

impl Completed {
    fn new(body: impl Into<Bytes>) -> Completed {
        Completed::of(StoredResponse { status: StatusCode::OK, body: body.into() })
    }

    fn of(kept: StoredResponse) -> Completed {
        Completed { kept, was_kept: false, was_refused: false }
    }

    fn again(kept: StoredResponse) -> Completed {
        Completed { was_kept: true, ..Completed::of(kept) }
    }
}

impl Api {
    pub fn new(
        config: &Config,
        hub: Arc<Hub>,
        cache: Arc<Cache>,
        peers: Option<Arc<Peers>>,
        registry: &mut Registry,
    ) -> Api {
        Api {
            rate: Mutex::new(TokenBucket::full(f64::from(config.rate), Instant::now())),
            config: Live::new(config.clone()),
            hub,
            cache,
            peers,
            memory: IdempotencyMemory::default(),
            room: Room::default(),
            metrics: Metrics::new(registry),
        }
    }

    /// Takes over another section of the config (SIGHUP): tokens that are no longer in it are no longer good.
    pub fn reload(&self, config: &Config) {
        self.config.set(config.clone());
    }

    /// True when a request for `path` that came in by `door` is the API's.
    pub fn serves(&self, path: &str, door: Listener) -> bool {
        let config = self.config.get();
        (config.public || door != Listener::Public) && below(&config.path, path).is_some()
    }

    /// Answers a request. What is wrong with it is a problem of RFC 9457.
    pub async fn answer(self: &Arc<Self>, request: Request, door: Listener) -> Response {
        let config = self.config.get();
        let (head, body) = request.into_parts();
        let route = caller::admit(door, &head.headers, config.tokens())
            .and_then(|()| ApiRoute::find(&head.method, below(&config.path, head.uri.path()).unwrap_or_default()));
        let name = route.as_ref().map_or("none", ApiRoute::name);
        let done = match route {
            Ok(route) => self.carry_out(route, head, body, config).await,
            Err(problem) => Err(problem),
        };
        let mut response = match done {
            Ok(done) => {
                let StoredResponse { status, body } = done.kept;
                let mut response = Response::new(Body::from(body));
                *response.status_mut() = status;
                let kind = if status == StatusCode::OK { JSON } else { problem::MEDIA_TYPE };
                response.headers_mut().insert(CONTENT_TYPE, kind);
                if done.was_kept {
                    self.metrics.replays.inc();
                    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
                }
                response
            }
            Err(problem) => {
                debug!(operation = name, status = problem.status.as_u16(), detail = %problem.detail, "API request refused");
                problem.into_response()
            }
        };
        self.metrics.answered(name, response.status().as_u16());
        self.metrics.keys.set(i64::try_from(self.memory.len()).unwrap_or(i64::MAX));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    async fn carry_out(
        self: &Arc<Self>,
        route: ApiRoute,
        head: Parts,
        body: Body,
        config: Arc<Config>,
    ) -> Result<Completed, ApiProblem> {
        if head.method != Method::POST {
            let query = head.uri.query();
            if let ApiRoute::Tree(channel) | ApiRoute::Yjs(channel) = &route
                && let Answerer::Other(done) = self.answer_elsewhere(channel, &head, None).await?
            {
                return Ok(done);
            }
            let body = match route {
                ApiRoute::Tree(channel) => json::tree(&channel, &operation::tree(&self.hub, &channel).await?),
                ApiRoute::Yjs(channel) => {
                    let name = parameter(query, "document").map(|name| json::document_name(&name)).transpose()?;
                    json::yjs(&channel, &name, &operation::yjs(&self.hub, &channel, &name).await?)
                }
                route => {
                    if let ApiRoute::Channel(name) | ApiRoute::Members(name) | ApiRoute::History(name) = &route {
                        self.hub.mirror(name, Holder::Trusted).await?;
                    }
                    self.look(route, query, &config).await?
                }
            };
            return Ok(Completed::new(body));
        }
        let body = self.room.read(&head.headers, body, config.max_body.bytes()).await?;
        let Some(value) = head.headers.get(IDEMPOTENCY_KEY) else {
            return self.act(route, (&head, &body), None, &config).await;
        };
        let bad =
            || ApiProblem::bad(format!("Idempotency-Key is a string of 1 to {} characters", idempotency::MAX_KEY_LEN));
        let key = value.to_str().ok().and_then(idempotency::key).ok_or_else(bad)?.to_owned();
        // It goes on to its end though the client leaves: what was done of it would be done again else.
        let api = Arc::clone(self);
        let doing = tokio::spawn(async move { api.do_once(route, (&head, &body), &key, &config).await });
        doing.await.unwrap_or_else(|_| Err(ApiProblem::unavailable("what came of it is not known")))
    }

    /// What changes something.
    async fn act(
        &self,
        route: ApiRoute,
        (head, body): (&Parts, &Bytes),
        request: Option<&str>,
        config: &Config,
    ) -> Result<Completed, ApiProblem> {
        let json = match route {
            ApiRoute::Publish => {
                let publication = json::publication(body)?;
                self.take(1, config).await?;
                Value::Object(json::published(
                    publication.perform(&self.hub, request.map(Arc::from), Moment::now()).await?,
                ))
            }
            ApiRoute::Batch => {
                let publications = json::batch(body, config.max_batch)?;
                self.take(publications.len(), config).await?;
                let mut results = Vec::with_capacity(publications.len());
                for (place, read) in publications.into_iter().enumerate() {
                    self.hub.yield_to_writers().await;
                    let request = request.map(|request| format!("{request}-{place}").into());
                    results.push(self.one_of_many(read, request).await);
                }
                json!({ "results": results })
            }
            ApiRoute::Emit => {
                let emission = json::emission(body)?;
                self.take(1, config).await?;
                return self.emit(emission, request.map(Arc::from)).await;
            }
            ApiRoute::Disconnect => {
                let disconnect = json::disconnect(body)?;
                let connections = disconnect.clone().perform(&self.hub).await?;
                info!(whom = ?disconnect.whom, code = disconnect.code, connections, "disconnected by the API");
                json!({ "connections": connections })
            }
            ApiRoute::Purge => {
                let purged = json::purge(body)?.perform(&self.cache).await;
                info!(paths = purged.paths, tags = purged.tags, all = purged.all, "purged by the API");
                json!({ "paths": purged.paths, "tags": purged.tags, "all": purged.all })
            }
            ApiRoute::PatchTree => {
                let patch = json::tree_patch(body)?;
                self.take_from(head, config).await?;
                match self.answer_elsewhere(&patch.channel, head, Some(body)).await? {
                    Answerer::Other(done) => return Ok(done),
                    Answerer::This(_held) => patch.perform(&self.hub).await?,
                }
                json!({})
            }
            ApiRoute::UpdateYjs => {
                let update = json::yjs_update(body)?;
                self.take_from(head, config).await?;
                match self.answer_elsewhere(&update.channel, head, Some(body)).await? {
                    Answerer::Other(done) => return Ok(done),
                    Answerer::This(_held) => update.perform(&self.hub).await?,
                }
                json!({})
            }
            _ => return Err(ApiProblem::not_found("there is no such operation")),
        };
        Ok(Completed::new(json.to_string() + "\n"))
    }

    async fn emit(
        &self,
        Emission { publish, timeout: limit }: Emission,
        request: Option<Arc<str>>,
    ) -> Result<Completed, ApiProblem> {
        let Some(limit) = limit else {
            return match self.hub.publish_once(publish, request, Moment::now()).await {
                // Whoever is not there hears nothing, as with any room.
                Ok(_) | Err(Refusal::Unknown) => Ok(Completed::new("{}\n")),
                Err(refusal) => Err(refusal.into()),
            };
        };
        let full = "as many questions are open as realtime.max_questions allows, or channels as realtime.max_channels";
        let asked = self.hub.ask_everywhere(publish, limit, Moment::now()).map_err(|refusal| match refusal {
            Refusal::Unavailable => ApiProblem::unavailable(full),
            refusal => refusal.into(),
        })?;
        let answers = asked.answers().await;
        let missing_doors = answers.missing_doors;
        let answers = json::acknowledged(answers);
        let Some(missing) = &answers.missing else { return Ok(Completed::new(text(&answers) + "\n")) };
        let problem = ApiProblem::unanswered(missing.len(), missing_doors).value();
        let body = text(&Both { problem, answers }) + "\n";
        Ok(Completed::of(StoredResponse { status: StatusCode::GATEWAY_TIMEOUT, body: body.into() }))
    }

    /// One change of a document. The door that forwards one has counted it.
    async fn take_from(&self, head: &Parts, config: &Config) -> Result<(), ApiProblem> {
        if is_from_peer(head) { Ok(()) } else { self.take(1, config).await }
    }

    async fn take(&self, messages: usize, config: &Config) -> Result<(), ApiProblem> {
        let taken = match self.hub.take_of_all("api", messages, config.rate).await {
            Some(taken) => taken,
            None => self.rate.lock().take(messages as f64, f64::from(config.rate), Instant::now()),
        };
        taken.map_err(ApiProblem::too_many)?;
        self.metrics.messages.inc_by(messages as u64);
        Ok(())
    }

    async fn one_of_many(&self, read: Result<operation::Publication, ApiProblem>, request: Option<Arc<str>>) -> Value {
        let said = match read {
            Ok(publication) => publication.perform(&self.hub, request, Moment::now()).await.map_err(ApiProblem::from),
            Err(problem) => Err(problem),
        };
        match said {
            Ok(published) => {
                let mut object = json::published(published);
                object.insert("status".into(), 200.into());
                Value::Object(object)
            }
            Err(problem) => json!({ "status": problem.status.as_u16(), "problem": problem.value() }),
        }
    }

    /// What changes nothing.
    async fn look(&self, route: ApiRoute, query: Option<&str>, config: &Config) -> Result<String, ApiProblem> {
        let parameter = |key| parameter(query, key);
        let number = |text: String| text.parse().map_err(|_| ApiProblem::bad("limit is a number"));
        let limit = parameter("limit").map(number).transpose()?.unwrap_or(MOST_BY_DEFAULT).clamp(1, MAX_LISTED);
        let json = match route {
            ApiRoute::Channels => {
                let prefix = parameter("prefix").unwrap_or_default();
                json::page(&operation::channels(&self.hub, prefix, parameter("after"), limit).await)
            }
            ApiRoute::Channel(name) => json::standing(&operation::channel(&self.hub, &name)),
            ApiRoute::Members(name) => return Ok(json::members(&operation::members(&self.hub, &name)) + "\n"),
            ApiRoute::History(name) => {
                let since = match parameter("since").as_deref() {
                    None => Since::Last(limit),
                    Some("start") => Since::Start,
                    Some(text) => {
                        Since::After(text.parse().map_err(|error| ApiProblem::bad(format!("since: {error}")))?)
                    }
                };
                let before = parameter("before").map(|text| text.parse());
                let before = before.transpose().map_err(|error| ApiProblem::bad(format!("before: {error}")))?;
                self.hub.catch_up(&name, before.or(since.position())).await?;
                let now = Moment::now();
                let past = match before {
                    Some(_) if parameter("since").is_some() => {
                        return Err(ApiProblem::bad("history is read since one position or before one, not both"));
                    }
                    Some(before) => operation::history_before(&self.hub, &name, before, limit, now).map(Some),
                    None => operation::history(&self.hub, &name, since, limit, now),
                };
                let gone =
                    |_: Refusal| ApiProblem::gone("what came after this position, or before it, is no longer kept");
                return Ok(json::past(past.map_err(gone)?.as_ref()) + "\n");
            }
            ApiRoute::Connections => json::connections(self.hub.census_everywhere().await),
            ApiRoute::Connection(id) => {
                let user = operation::connection(&self.hub, id).await?;
                json!({ "connection": id.to_string(), "user": user })
            }
            ApiRoute::User(user) => json::user(&user, &self.hub.connections_everywhere(&user).await),
            ApiRoute::Description => {
                let mut description: Value = serde_json::from_str(DESCRIPTION).expect("it is JSON: a test reads it");
                description["servers"][0]["url"] = config.path.as_str().into();
                description["info"]["version"] = env!("CARGO_PKG_VERSION").into();
                description
            }
            // What is read elsewhere, and what changes something.
            _ => return Err(ApiProblem::method("POST")),
        };
        Ok(json.to_string() + "\n")
    }
}

/// A problem, and what was achieved all the same.
#[derive(Serialize)]
struct Both {
    #[serde(flatten)]
    problem: Value,
    #[serde(flatten)]
    answers: json::Acknowledged,
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and JSON become JSON")
}

/// The address for the app's environment, of an API at `authority`.
pub fn url(authority: &str, config: &Config) -> String {
    format!("http://{authority}{}", config.path)
}

/// What is left of `path` below `base`.
fn below<'a>(base: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}
