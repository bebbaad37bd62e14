//! The numbers of requests. Every handle is kept: looking one up by its labels would be a lock.

use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::route::RouteClass;
use crate::telemetry::Registry;

/// Methods that are counted by name; all others are "other", so that clients cannot make labels.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Whether `method` is counted by name.
pub fn is_known(method: &Method) -> bool {
    METHODS.contains(method)
}

/// By first digit; "none" where the client left before there was an answer.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// In seconds: a static file takes less than the first, a time-out more than the last.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
    status: &'static str,
}

/// Metrics of requests: `doorway_http_…`.
pub struct Metrics {
    routes: [([Counter; CLASSES.len()], Histogram); RouteClass::ALL.len()],
    requests: [[Counter; CLASSES.len()]; METHODS.len() + 1],
    pub in_flight: Gauge,
    received: Counter,
    sent: Counter,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let family: Family<Labels, Counter> = Family::default();
        let requests = std::array::from_fn(|method| {
            let method = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"][method];
            std::array::from_fn(|class| family.get_or_create_owned(&Labels { method, status: CLASSES[class] }))
        });
        let by_route: Family<RouteLabels, Counter> = Family::default();
        let durations: Family<[(&'static str, &'static str); 1], Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let routes = RouteClass::ALL.map(|class| {
            let route = class.label();
            let counter = |status| by_route.get_or_create_owned(&RouteLabels { route, status });
            (CLASSES.map(counter), durations.get_or_create(&[("route", route)]).clone())
        });
        let metrics = Metrics {
            routes,
            requests,
            in_flight: Gauge::default(),
            received: Counter::default(),
            sent: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("http");
        registry.register("requests", "Requests that have ended, by method and class of status", family);
        registry.register("requests_in_flight", "Requests under way", metrics.in_flight.clone());
        registry.register("request_seconds", "From a request's head to its answer's end, by kind", durations);
        let help = "The same requests by kind: asset, image, data, action, api, socket or page";
        registry.register("route_requests", help, by_route);
        registry.register("request_bytes", "Bytes of requests' bodies", metrics.received.clone());
        registry.register("response_bytes", "Bytes of answers' bodies", metrics.sent.clone());
        metrics
    }

    pub fn ended(
        &self,
        (method, route): (&Method, RouteClass),
        status: Option<StatusCode>,
        total: Duration,
        received: u64,
        sent: u64,
    ) {
        let method = METHODS.iter().position(|known| known == method).unwrap_or(METHODS.len());
        let class = status.map_or(0, |status| usize::from(status.as_u16() / 100)).min(CLASSES.len() - 1);
        self.requests[method][class].inc();
        let (statuses, duration) = &self.routes[route as usize];
        statuses[class].inc();
        duration.observe(total.as_secs_f64());
        self.received.inc_by(received);
        self.sent.inc_by(sent);
    }
}
