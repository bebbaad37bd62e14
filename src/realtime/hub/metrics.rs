//! What the hub counts.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::outbox::Slow;
use crate::telemetry::Registry;

/// Metrics of the hub: `doorway_hub_…`.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub connections: Gauge,
    pub channels: Gauge,
    pub subscriptions: Gauge,
    pub members: Gauge,
    pub history_bytes: Gauge,
    pub published: Counter,
    pub delivered: Counter,
    pub replayed: Counter,
    pub lost: Counter,
    pub slow_disconnects: Counter,
    pub dropped_oldest: Counter,
    pub kept_latest: Counter,
    pub volatile_dropped: Counter,
    pub fell_behind: Counter,
    pub questions: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabel {
    policy: PolicyWord,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "labels are written as they stand here")]
enum PolicyWord {
    disconnect,
    drop_oldest,
    keep_latest,
    volatile,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let dropped = Family::<PolicyLabel, Counter>::default();
        let counter = |policy: PolicyWord| dropped.get_or_create(&PolicyLabel { policy }).clone();
        let metrics = Metrics {
            connections: Gauge::default(),
            channels: Gauge::default(),
            subscriptions: Gauge::default(),
            members: Gauge::default(),
            history_bytes: Gauge::default(),
            published: Counter::default(),
            delivered: Counter::default(),
            replayed: Counter::default(),
            lost: Counter::default(),
            fell_behind: Counter::default(),
            questions: Gauge::default(),
            slow_disconnects: counter(PolicyWord::disconnect),
            dropped_oldest: counter(PolicyWord::drop_oldest),
            kept_latest: counter(PolicyWord::keep_latest),
            volatile_dropped: counter(PolicyWord::volatile),
        };
        let registry = registry.sub_registry_with_prefix("hub");
        registry.register("connections", "Clients the hub knows", metrics.connections.clone());
        registry.register("channels", "Channels there are", metrics.channels.clone());
        registry.register("subscriptions", "Subscriptions to channels", metrics.subscriptions.clone());
        registry.register("members", "Members present in channels", metrics.members.clone());
        registry.register("history_bytes", "Memory held by histories", metrics.history_bytes.clone());
        registry.register("published", "Messages accepted by channels", metrics.published.clone());
        registry.register("delivered", "Messages put into outboxes, one for each client", metrics.delivered.clone());
        registry.register("replayed", "Messages delivered from histories", metrics.replayed.clone());
        registry.register("lost", "Messages a client was told it has lost", metrics.lost.clone());
        registry.register("fell_behind", "Times a slow client was sent to the history", metrics.fell_behind.clone());
        registry.register("questions", "Questions to clients that are open", metrics.questions.clone());
        registry.register("slow", "Messages not queued for slow clients, and clients closed for it", dropped);
        metrics
    }

    pub fn dropped(&self, slow: Slow, messages: u64) {
        match slow {
            Slow::Disconnect => &self.slow_disconnects,
            Slow::DropOldest => &self.dropped_oldest,
            Slow::KeepLatest => &self.kept_latest,
        }
        .inc_by(messages);
    }
}
