//! What the cache counts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use super::bypass::Bypass;
use super::store::Store;
use crate::telemetry::{Registry, labelled};

/// What became of a request that the cache concerns itself with.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    Hit,
    Stale,
    Collapsed,
    Miss,
    Bypass(Bypass),
}

impl Outcome {
    const LABELS: [&str; 5] = ["hit", "stale", "collapsed", "miss", "bypass"];

    fn place(self) -> usize {
        match self {
            Outcome::Hit => 0,
            Outcome::Stale => 1,
            Outcome::Collapsed => 2,
            Outcome::Miss => 3,
            Outcome::Bypass(_) => 4,
        }
    }
}

/// What became of an answer that was fetched for keeping.
#[derive(Debug, Clone, Copy)]
pub enum FetchOutcome {
    Kept,
    Refused,
    Failed,
}

/// Metrics of the cache: `doorway_cache_…`.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: [Counter; Outcome::LABELS.len()],
    bypasses: [Counter; Bypass::LABELS.len()],
    fetches: [Counter; 3],
    pub bytes: Counter,
    pub purges: Counter,
    pub warmed: Counter,
    lag: Histogram,
}

#[derive(Debug)]
struct Memory(Arc<Store>);

impl Collector for Memory {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let gauge = |count: u64| ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
        let (held, entries) = (gauge(self.0.weight()), gauge(self.0.len() as u64));
        held.encode(encoder.encode_descriptor(
            "cache_memory_bytes",
            "Memory held for answers of the app",
            None,
            MetricType::Gauge,
        )?)?;
        entries.encode(encoder.encode_descriptor(
            "cache_entries",
            "Keys under which something is known",
            None,
            MetricType::Gauge,
        )?)
    }
}

impl Metrics {
    pub fn new(registry: &mut Registry, store: Arc<Store>) -> Metrics {
        registry.register_collector(Box::new(Memory(store)));
        let registry = registry.sub_registry_with_prefix("cache");
        let help = "Requests that the cache concerns itself with, by what became of them";
        let requests = labelled(registry, "requests", help, "outcome", Outcome::LABELS);
        let help = "Requests that went past the cache, by why";
        let bypasses = labelled(registry, "bypasses", help, "reason", Bypass::LABELS);
        let help = "Answers fetched for keeping, by what became of them";
        let fetches = labelled(registry, "fetches", help, "outcome", ["kept", "refused", "failed"]);
        let (bytes, purges, warmed) = (Counter::default(), Counter::default(), Counter::default());
        registry.register("hit_bytes", "Bytes of bodies that were answered from memory", bytes.clone());
        registry.register("purges", "Paths, tags and wholes that were declared old", purges.clone());
        registry.register(
            "warmed",
            "Pages in demand that were fetched from an app that had just taken over",
            warmed.clone(),
        );
        // 1 ms to 16 s.
        let lag = Histogram::new(exponential_buckets(0.001, 2.0, 15));
        registry.register(
            "purge_lag_seconds",
            "From when the app's process declared something old until what is kept of it was dropped",
            lag.clone(),
        );
        Metrics { requests, bypasses, fetches, bytes, purges, warmed, lag }
    }

    pub fn request(&self, outcome: Outcome) {
        self.requests[outcome.place()].inc();
        if let Outcome::Bypass(reason) = outcome {
            self.bypasses[reason as usize].inc();
        }
    }

    /// The app itself has declared something old, so long ago.
    pub fn heard(&self, lag: Option<Duration>) {
        self.purges.inc();
        if let Some(lag) = lag {
            self.lag.observe(lag.as_secs_f64());
        }
    }

    pub fn fetched(&self, outcome: FetchOutcome) {
        self.fetches[outcome as usize].inc();
    }
}
