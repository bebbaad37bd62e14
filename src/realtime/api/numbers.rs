//! What the API counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::telemetry::Registry;

/// Metrics of the API: `doorway_api_…`.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
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

impl Numbers {
    pub fn new(registry: &mut Registry) -> Numbers {
        let numbers = Numbers::default();
        let registry = registry.sub_registry_with_prefix("api");
        registry.register("requests", "Requests to the API, by what came of them", numbers.requests.clone());
        registry.register("messages", "Messages published by the API", numbers.messages.clone());
        registry.register(
            "replays",
            "Requests answered from what their key was answered before",
            numbers.replays.clone(),
        );
        registry.register("idempotency_keys", "Keys remembered", numbers.keys.clone());
        numbers
    }

    pub fn answered(&self, operation: &'static str, status: u16) {
        self.requests.get_or_create(&Request { operation, status }).inc();
    }
}
