//! Webhooks: events for receivers that the app's owner has named, in order, each until it is taken or too old.
//!
//! A protocol says what there is to tell, and how it is written ([`WebhookEnvelope`]); this delivers it.

mod changes;
mod delivery;
pub mod documents;
mod queues;
mod signed;

use prometheus_client::metrics::counter::Counter;

pub use changes::Changes;
pub use delivery::{DeliveryQueue, WebhookEnvelope};
pub use queues::HookQueues;
pub use signed::SignedReceiver;

use crate::telemetry::{Registry, labelled};

/// What all webhooks of a protocol count.
#[derive(Debug, Clone, Default)]
pub struct WebhookMetrics {
    pub delivered: Counter,
    pub failed: Counter,
    pub dropped: Counter,
}

impl WebhookMetrics {
    /// Registers them under `prefix`.
    pub fn new(registry: &mut Registry, prefix: &str) -> WebhookMetrics {
        let registry = registry.sub_registry_with_prefix(prefix);
        let help = "Events for receivers: accepted by them, or never delivered";
        let [delivered, dropped] = labelled(registry, "events", help, "outcome", ["delivered", "dropped"]);
        let metrics = WebhookMetrics { delivered, dropped, ..WebhookMetrics::default() };
        registry.register("attempts_failed", "Deliveries that will be tried again", metrics.failed.clone());
        metrics
    }
}
