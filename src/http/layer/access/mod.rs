//! The access log: one line a request when its answer has ended, and the metrics of all of them.
//!
//! Outermost of the layers, so that what is logged is what the client got, the door's own refusals too. The query is
//! left out: tokens travel in it.

mod ending;
mod metrics;
mod record;
mod route;
mod secret;
mod span;

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::{After, Answer, Middleware};
use crate::http::connection::Connected;
use crate::http::{Body, Facts, Request, Response};
use crate::telemetry::Registry;
use ending::Ending;
use http::HeaderValue;
use http_body::Body as _;
use metrics::Metrics;
use record::{Asked, Logged, Record, Uploaded};
use route::RouteClass;
use span::RequestTrace;

/// In an answer's extensions: from the request's way to the app until the head of its answer.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamTime(pub Duration);

/// In an answer's extensions: the name of the earlier build of the app that gave it.
#[derive(Debug, Clone)]
pub struct EarlierBuild(pub Arc<str>);
/// In an answer's extensions: by a door of the hub, whose paths the config says.
#[derive(Debug, Clone, Copy)]
pub struct OfTheHub;

/// The layer; clones share its metrics.
#[derive(Clone)]
pub struct Access {
    metrics: Arc<Metrics>,
}

impl Access {
    pub fn new(registry: &mut Registry) -> Access {
        Access { metrics: Arc::new(Metrics::new(registry)) }
    }

    /// How many requests are under way.
    pub fn in_flight(&self) -> i64 {
        self.metrics.in_flight.get()
    }
}

impl Middleware for Access {
    type After = Opened;

    fn before(&self, request: &mut Request) -> ControlFlow<Answer<Opened>, Opened> {
        let facts = request.extensions().get::<Facts>();
        let started = facts.map_or_else(Instant::now, |facts| facts.received);
        let request_id = facts.map(|facts| facts.request_id.clone());
        // Whose text begins with the client's own.
        let client = facts.map(|facts| facts.forwarded_for.clone()).or_else(|| peer(request));
        let mut record =
            Record::new(request.method().clone(), request.uri(), request.version(), started, &self.metrics);
        record.asked = Asked { client, request_id, route: RouteClass::of(request) };
        record.trace = facts.and_then(|facts| RequestTrace::of(facts, request));
        if !request.body().is_end_stream() {
            let uploaded = Arc::new(AtomicU64::new(0));
            record.uploaded = Some(Arc::clone(&uploaded));
            let body = std::mem::take(request.body_mut());
            *request.body_mut() = Body::Carried(Box::pin(Uploaded { body, uploaded }));
        }
        ControlFlow::Continue(Opened(record))
    }
}

/// The record of a request that is under way.
pub struct Opened(Record);

impl After for Opened {
    type InnerError = Infallible;
    type Error = Infallible;

    fn after(self, answer: Result<Response, Infallible>) -> Result<Response, Infallible> {
        let Ok(mut response) = answer;
        let Opened(mut record) = self;
        // Where the facts are found out further in, they come back with the answer.
        let facts = response.extensions().get::<Facts>();
        if record.asked.request_id.is_none() {
            record.asked.request_id = facts.map(|facts| facts.request_id.clone());
        }
        if record.asked.client.is_none() {
            record.asked.client = facts.map(|facts| facts.forwarded_for.clone());
        }
        if response.extensions().get::<OfTheHub>().is_some() {
            record.asked.route = RouteClass::Socket;
        }
        record.upstream = response.extensions().get::<UpstreamTime>().map(|time| time.0);
        record.earlier_build = response.extensions().get::<EarlierBuild>().map(|build| Arc::clone(&build.0));
        record.answered(response.status());
        let body = std::mem::take(response.body_mut());
        if body.is_end_stream() {
            record.end(Ending::Whole);
        } else {
            *response.body_mut() = Body::Carried(Box::pin(Logged::new(body, record)));
        }
        Ok(response)
    }
}

fn peer(request: &Request) -> Option<HeaderValue> {
    request.extensions().get::<Arc<Connected>>().map(|connected| connected.forwarded_for.clone())
}
