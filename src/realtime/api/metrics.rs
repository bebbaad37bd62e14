//! What the API counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::telemetry::Registry;

/// Metrics of the API: `doorway_api_…`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    requests: Family<Request, Counter>,
    pub messages: Counter,
    pub replays: Counter,
    pub keys: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    operation: &'static str,
    status: u16,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let registry = registry.sub_registry_with_prefix("api");
        registry.register("requests", "Requests to the API, by what came of them", metrics.requests.clone());
        registry.register("messages", "Messages published by the API", metrics.messages.clone());
        registry.register(
            "replays",
            "Requests answered from what their key was answered before",
            metrics.replays.clone(),
        );
        registry.register("idempotency_keys", "Keys remembered", metrics.keys.clone());
        metrics
    }

    pub fn answered(&self, operation: &'static str, status: u16) {
        self.requests.get_or_create(&Request { operation, status }).inc();
    }
}
