//! What became of orders, by name: as many as the config has names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::telemetry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OrderedName {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OrderOutcome {
    name: String,
    outcome: &'static str,
}

/// Handles into the registry.
#[derive(Debug, Clone)]
pub struct AcmeMetrics {
    orders: Family<OrderOutcome, Counter>,
    last: Family<OrderedName, Gauge>,
}

impl AcmeMetrics {
    pub fn new(registry: &mut Registry) -> AcmeMetrics {
        let metrics = AcmeMetrics { orders: Family::default(), last: Family::default() };
        registry.register("acme_orders", "Orders of certificates by name and outcome", metrics.orders.clone());
        registry.register(
            "acme_last_result",
            "1 where the last order of a name succeeded, 0 where it failed",
            metrics.last.clone(),
        );
        metrics
    }

    /// Counts an order that is over.
    pub fn ended(&self, name: &str, is_issued: bool) {
        let outcome = if is_issued { "issued" } else { "failed" };
        self.orders.get_or_create(&OrderOutcome { name: name.to_owned(), outcome }).inc();
        self.last.get_or_create(&OrderedName { name: name.to_owned() }).set(i64::from(is_issued));
    }

    /// Nothing is said any more of a name that is gone from the config.
    pub fn forget(&self, name: &str) {
        self.last.remove(&OrderedName { name: name.to_owned() });
        for outcome in ["issued", "failed"] {
            self.orders.remove(&OrderOutcome { name: name.to_owned(), outcome });
        }
    }
}
