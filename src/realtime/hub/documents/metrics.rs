//! What documents count.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::telemetry::Registry;

/// The metrics of documents.
#[derive(Debug, Clone, Default)]
pub struct DocumentMetrics {
    pub rooms: Gauge,
    pub edits: Counter,
    pub failures: Counter,
}

impl DocumentMetrics {
    pub fn new(registry: &mut Registry) -> DocumentMetrics {
        let metrics = DocumentMetrics::default();
        let registry = registry.sub_registry_with_prefix("documents");
        registry.register("rooms", "Channels whose documents are in memory", metrics.rooms.clone());
        registry.register("edits", "Changes of documents that were kept", metrics.edits.clone());
        registry.register("write_failures", "Changes that could not be kept", metrics.failures.clone());
        metrics
    }
}
