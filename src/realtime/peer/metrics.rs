//! The metrics of this room.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::telemetry::Registry;

/// Metrics of what doors do for each other: `doorway_peer_…`. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub forwarded: Counter,
    pub answered: Counter,
    pub unreachable: Counter,
    pub refused: Counter,
    pub tunnels: Gauge,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let registry = registry.sub_registry_with_prefix("peer");
        let metrics = Metrics::default();
        registry.register(
            "forwarded",
            "Requests that were forwarded to the door they belong to",
            metrics.forwarded.clone(),
        );
        registry.register("answered", "Requests that other doors forwarded to this one", metrics.answered.clone());
        registry.register("unreachable", "Times that a living door was not reached", metrics.unreachable.clone());
        registry.register("refused", "Connections of whoever is no living door", metrics.refused.clone());
        registry.register("tunnels", "Sockets and clients whose session is on another door", metrics.tunnels.clone());
        metrics
    }
}
