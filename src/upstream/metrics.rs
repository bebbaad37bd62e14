//! The metrics of this room.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::telemetry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunningBuild {
    build: String,
}

/// Handles, looked up once: counting costs an atomic addition.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub open: Gauge,
    pub idle: Gauge,
    pub dials: Counter,
    pub reuses: Counter,
    pub retries: Counter,
    pub waits: Counter,
    pub waiting: Gauge,
    pub starts: Counter,
    pub ready: Gauge,
    pub tunnels: Gauge,
    app: Family<RunningBuild, Gauge>,
    latency: Histogram,
    pub failures: Failures,
    pub reloads: Reloads,
    pub skew: Skew,
}

/// Pages that are open of the build before the last deploy.
#[derive(Debug, Clone, Default)]
pub struct Skew {
    /// 1 while the app of that build is kept.
    pub kept: Gauge,
    /// What it was asked.
    pub requests: Counter,
    /// Those that were told to load themselves anew.
    pub reloaded: Counter,
}

/// What became of a supervised app when the door was asked to reload.
#[derive(Debug, Clone)]
pub struct Reloads {
    pub replaced: Counter,
    pub unchanged: Counter,
    /// There was no whole build to take over.
    pub unfinished: Counter,
    pub failed: Counter,
}

/// Requests that got no proper answer, by kind.
#[derive(Debug, Clone)]
pub struct Failures {
    pub connect: Counter,
    pub closed: Counter,
    pub timeout: Counter,
    pub misbehaved: Counter,
    pub overload: Counter,
    pub unavailable: Counter,
    pub cut_short: Counter,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let registry = registry.sub_registry_with_prefix("upstream");
        let failures = Family::<FailureKind, Counter>::default();
        let failure = |kind| failures.get_or_create(&FailureKind { kind }).clone();
        let reloads = Family::<Outcome, Counter>::default();
        let reload = |outcome| reloads.get_or_create(&Outcome { outcome }).clone();
        let metrics = Metrics {
            open: Gauge::default(),
            idle: Gauge::default(),
            dials: Counter::default(),
            reuses: Counter::default(),
            retries: Counter::default(),
            waits: Counter::default(),
            waiting: Gauge::default(),
            starts: Counter::default(),
            ready: Gauge::default(),
            tunnels: Gauge::default(),
            app: Family::default(),
            latency: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            failures: Failures {
                connect: failure("connect"),
                closed: failure("closed"),
                timeout: failure("timeout"),
                misbehaved: failure("misbehaved"),
                overload: failure("overload"),
                unavailable: failure("unavailable"),
                cut_short: failure("cut_short"),
            },
            reloads: Reloads {
                replaced: reload("replaced"),
                unchanged: reload("unchanged"),
                unfinished: reload("unfinished"),
                failed: reload("failed"),
            },
            skew: Skew::default(),
        };
        registry.register("connections", "Connections to the app", metrics.open.clone());
        registry.register("idle_connections", "Connections to the app that wait for a request", metrics.idle.clone());
        registry.register("dials", "Connections opened", metrics.dials.clone());
        registry.register("reuses", "Requests sent on a connection that was there", metrics.reuses.clone());
        registry.register("retries", "Requests sent again after a kept connection closed", metrics.retries.clone());
        registry.register("waits", "Requests that waited for the app or for a connection", metrics.waits.clone());
        registry.register("waiting", "Requests that wait now", metrics.waiting.clone());
        registry.register("starts", "Starts of the app's process", metrics.starts.clone());
        registry.register("ready", "1 while the app answers", metrics.ready.clone());
        registry.register("tunnels", "Upgraded connections to the app", metrics.tunnels.clone());
        registry.register(
            "build_running",
            "1 for the build of the app that answers; unknown where the door does not run it",
            metrics.app.clone(),
        );
        let help = "From a request's last byte written, or the answer's due time, to the answer's head, in seconds";
        registry.register("answer_seconds", help, metrics.latency.clone());
        registry.register("reloads", "Reloads by what became of a supervised app", reloads);
        let Skew { kept, requests, reloaded } = metrics.skew.clone();
        registry.register("previous", "1 while the app of before the last deploy is kept for open pages", kept);
        registry.register("previous_requests", "Requests that the app of before the last deploy answered", requests);
        registry.register(
            "stale_actions",
            "Server Actions of a build that is gone: the page loads itself anew",
            reloaded,
        );
        registry.register("failures", "Requests without a proper answer", failures);
        metrics
    }

    /// From now on it is this build that answers; one at a time.
    pub fn runs(&self, build: String) {
        self.app.clear();
        self.app.get_or_create(&RunningBuild { build }).set(1);
    }

    pub fn answered(&self, after: Duration) {
        self.latency.observe(after.as_secs_f64());
    }
}

/// Counts a request that waits for as long as it lives.
pub struct Waiting(Gauge);

impl Waiting {
    pub fn new(metrics: &Metrics) -> Waiting {
        metrics.waits.inc();
        metrics.waiting.inc();
        Waiting(metrics.waiting.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}
