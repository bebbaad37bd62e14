//! Spans that ended, on their way to the collector.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

use super::{SpanId, TraceId};
use crate::telemetry::Registry;

/// Spans that wait for the collector. Full: the span is dropped and counted, never waited for.
const MAX_WAITING: usize = 4096;

/// One piece of work, as OpenTelemetry has it.
#[derive(Debug)]
pub struct Span {
    pub trace: TraceId,
    pub id: SpanId,
    pub parent: Option<SpanId>,
    pub kind: SpanKind,
    pub name: String,
    pub begun: Instant,
    pub attributes: Vec<(&'static str, Attribute)>,
    /// It failed, and whose fault it was is ours to know.
    pub is_error: bool,
}

/// Whether the door was asked or asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    Server,
    Client,
}

/// What is said of a span.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    Text(String),
    Number(i64),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Attribute::Text(text.to_owned())
    }
}

impl From<u16> for Attribute {
    fn from(number: u16) -> Self {
        Attribute::Number(number.into())
    }
}

/// A span and when it ended.
pub type Ended = (Span, SystemTime);

/// Those that wait, for whoever sends them.
pub type Waiting = mpsc::Receiver<Ended>;

/// Metrics of spans: `doorway_telemetry_…`.
#[derive(Debug)]
pub struct SpanMetrics {
    pub sent: Counter,
    pub lost: Counter,
}

impl SpanMetrics {
    pub fn new(registry: &mut Registry) -> Arc<SpanMetrics> {
        let registry = registry.sub_registry_with_prefix("telemetry");
        let metrics = SpanMetrics { sent: Counter::default(), lost: Counter::default() };
        registry.register("spans_sent", "Spans that the collector has taken", metrics.sent.clone());
        registry.register(
            "spans_lost",
            "Spans dropped: too many waited, or no collector took them",
            metrics.lost.clone(),
        );
        Arc::new(metrics)
    }
}

/// Takes spans that have ended. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Collector {
    queue: mpsc::Sender<Ended>,
    metrics: Arc<SpanMetrics>,
}

impl PartialEq for Collector {
    fn eq(&self, other: &Self) -> bool {
        self.queue.same_channel(&other.queue)
    }
}

impl Collector {
    /// One, and what it has taken.
    pub fn new(metrics: Arc<SpanMetrics>) -> (Collector, Waiting) {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        (Collector { queue, metrics }, waiting)
    }

    /// Takes a span that ends now.
    pub fn take(&self, span: Span) {
        if self.queue.try_send((span, SystemTime::now())).is_err() {
            self.metrics.lost.inc();
        }
    }
}
