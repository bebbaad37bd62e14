//! The metrics of this room.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::telemetry::Registry;

/// Metrics of the link to Redis: `doorway_redis_…`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub publishes: Counter,
    pub script_seconds: Histogram,
    pub refused: Counter,
    pub repeats: Counter,
    pub lag_seconds: Histogram,
    pub beats_missed: Counter,
    pub connects: Counter,
    pub resubscriptions: Counter,
    pub behind: Counter,
    pub swept: Counter,
    pub expelled: Counter,
    pub doors: Gauge,
    pub connected: Gauge,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let registry = registry.sub_registry_with_prefix("redis");
        let times = || Histogram::new(exponential_buckets(0.000_1, 2.0, 16));
        let metrics = Metrics {
            publishes: Counter::default(),
            script_seconds: times(),
            refused: Counter::default(),
            repeats: Counter::default(),
            lag_seconds: times(),
            beats_missed: Counter::default(),
            connects: Counter::default(),
            resubscriptions: Counter::default(),
            behind: Counter::default(),
            swept: Counter::default(),
            expelled: Counter::default(),
            doors: Gauge::default(),
            connected: Gauge::default(),
        };
        registry.register("publishes", "Messages said to other doors by Redis", metrics.publishes.clone());
        let help = "Seconds from asking Redis to its answer, with waiting for a connection";
        registry.register("script_seconds", help, metrics.script_seconds.clone());
        registry.register("refused", "What Redis did not do for the door, or not in time", metrics.refused.clone());
        registry.register("repeats", "What was asked again after an answer was lost", metrics.repeats.clone());
        let help = "Seconds from publishing a beat until the door hears it";
        registry.register("lag_seconds", help, metrics.lag_seconds.clone());
        registry.register("beats_missed", "Times the door did not hear its own beat", metrics.beats_missed.clone());
        registry.register("connects", "Connections made to Redis", metrics.connects.clone());
        let help = "Channels subscribed again on a new connection";
        registry.register("resubscriptions", help, metrics.resubscriptions.clone());
        let help = "Channels of which events may have been missing";
        registry.register("behind", help, metrics.behind.clone());
        registry.register("swept", "Dead doors whose entries this door took out", metrics.swept.clone());
        registry.register("expelled", "Times the others took this door for dead", metrics.expelled.clone());
        registry.register("doors", "Doors alive", metrics.doors.clone());
        registry.register("connected", "1 while the door hears itself by Redis", metrics.connected.clone());
        metrics
    }
}
