//! What is counted of answers from disk.

use std::fmt;
use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::store::Store;
use crate::http::Response;
use crate::telemetry::Registry;

/// Metrics of answers from disk: `doorway_files_…`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub answers: Counter,
    pub bytes: Counter,
    pub memory_hits: Counter,
    pub not_modified: Counter,
    pub previous: Counter,
    pub compressed: Counter,
}

#[derive(Debug)]
struct Memory(Arc<Store>);

impl Collector for Memory {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let held = ConstGauge::new(i64::try_from(self.0.weight()).unwrap_or(i64::MAX));
        held.encode(encoder.encode_descriptor(
            "files_memory_bytes",
            "Memory held for files",
            None,
            MetricType::Gauge,
        )?)
    }
}

impl Metrics {
    /// Counts an answer to `method`.
    pub fn answered(&self, method: &Method, response: &Response, from_memory: bool) {
        self.answers.inc();
        if from_memory {
            self.memory_hits.inc();
        }
        if response.status() == StatusCode::NOT_MODIFIED {
            self.not_modified.inc();
        } else if method != Method::HEAD {
            let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
            self.bytes.inc_by(length.unwrap_or(0));
        }
    }

    pub fn new(registry: &mut Registry, store: Arc<Store>) -> Metrics {
        let metrics = Metrics::default();
        registry.register_collector(Box::new(Memory(store)));
        let registry = registry.sub_registry_with_prefix("files");
        registry.register("answers", "Answers from disk, 304 too", metrics.answers.clone());
        registry.register("bytes", "Bytes of files in these answers", metrics.bytes.clone());
        registry.register("memory_hits", "Of these answers, those that asked no disk", metrics.memory_hits.clone());
        registry.register("not_modified", "Of these answers, those that were 304", metrics.not_modified.clone());
        registry.register("previous_build", "Of these answers, those from an earlier build", metrics.previous.clone());
        registry.register("compressed", "Compressed forms made of files", metrics.compressed.clone());
        metrics
    }
}
