//! Which trace a request belongs to, as W3C Trace Context says it to the app, and whether spans of it are kept.

mod config;
mod parent;
mod span;

pub mod otlp;

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

pub use config::TraceConfig;
pub use parent::{TRACEPARENT, TRACESTATE, is_proper_state};
pub use span::{Attribute, Collector, Span, SpanKind, SpanMetrics, Waiting};

/// The name of a trace: 16 bytes, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(NonZeroU128);

/// The name of a span within a trace: 8 bytes, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(NonZeroU64);

impl SpanId {
    fn random() -> SpanId {
        // No secret: whoever knows it can name a span and nothing more.
        SpanId(NonZeroU64::new(fastrand::u64(..)).unwrap_or(NonZeroU64::MIN))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// The place of one request in its trace.
#[derive(Debug, Clone)]
pub struct Trace {
    pub id: TraceId,
    /// What a trusted proxy named as the span that asks; `None` where the trace begins here.
    pub parent: Option<SpanId>,
    /// The door's span of the request.
    pub server: SpanId,
    /// The span of asking the app, and what the app hears as its parent.
    pub client: SpanId,
    /// Whether whoever records keeps this trace (`sampled`); what else the flags mean is passed on (`random`).
    flags: u8,
    /// Where its spans go; `None` where they are not kept.
    collector: Option<Collector>,
}

/// Flags of `traceparent` that are known, and so passed on: `sampled`, and of level 2 `random`.
const SAMPLED: u8 = 1;
const KNOWN_FLAGS: u8 = 0b11;

impl Trace {
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Where its spans go, if they are kept.
    pub fn collector(&self) -> Option<&Collector> {
        self.collector.as_ref()
    }

    /// The same place, for another question to the app because of the same request: a callback.
    pub fn again(&self) -> Trace {
        Trace { client: SpanId::random(), ..self.clone() }
    }

    /// The same for whoever is only to name it: its spans are recorded by who asks.
    pub fn named(&self) -> Trace {
        Trace { collector: None, ..self.clone() }
    }

    /// The value of `traceparent` for the app.
    pub fn header(&self) -> [u8; parent::LENGTH] {
        parent::write(self.id, self.client, self.flags)
    }
}

/// Begins traces, or carries on those of trusted proxies. Clones have the same collector.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tracer {
    is_on: bool,
    /// Traces begun here are sampled whose last 63 bits are below this, as the SDKs' `TraceIdRatioBased` does it: so others
    /// with the same ratio choose the same.
    threshold: u64,
    collector: Option<Collector>,
}

impl Tracer {
    pub fn new(config: &TraceConfig, collector: Option<Collector>) -> Tracer {
        // 1.0 comes to 2^63, above every 63 bits.
        let threshold = (config.sample * (1_u64 << 63) as f64) as u64;
        Tracer { is_on: config.is_on(), threshold, collector }
    }

    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// The place of a request: below `said`, the `traceparent` of a trusted proxy, or at the beginning of a trace. What is
    /// malformed is as if it were not there. `None` where nothing is traced.
    pub fn place(&self, said: Option<&[u8]>) -> Option<Trace> {
        if !self.is_on {
            return None;
        }
        let (id, parent, flags) = match said.and_then(parent::read) {
            Some(said) => (said.id, Some(said.span), said.flags & KNOWN_FLAGS),
            None => {
                let id = NonZeroU128::new(fastrand::u128(..)).unwrap_or(NonZeroU128::MIN);
                let is_sampled = (id.get() as u64) >> 1 < self.threshold;
                (TraceId(id), None, u8::from(is_sampled))
            }
        };
        let collector = self.collector.as_ref().filter(|_| flags & SAMPLED != 0).cloned();
        Some(Trace { id, parent, server: SpanId::random(), client: SpanId::random(), flags, collector })
    }

    /// The beginning of a trace that no request is the cause of.
    pub fn begin(&self) -> Option<Trace> {
        self.place(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn tracer(sample: f64) -> Tracer {
        Tracer::new(&TraceConfig { trace: true, sample, ..TraceConfig::default() }, None)
    }

    #[test]
    fn a_trace_is_carried_on_or_begun() {
        let carried = tracer(0.0).place(Some(SAID)).unwrap();
        assert_eq!(carried.id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(carried.parent.map(|parent| parent.to_string()).as_deref(), Some("b7ad6b7169203331"));
        assert!(carried.is_sampled(), "the parent says so, whatever the ratio");
        let header = String::from_utf8(carried.header().to_vec()).unwrap();
        assert_eq!(header, format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", carried.client));
        assert_ne!(carried.again().client, carried.client);
        let begun = tracer(0.0).begin().unwrap();
        assert!(begun.parent.is_none() && !begun.is_sampled() && begun.id != tracer(0.0).begin().unwrap().id);
        assert!(Tracer::default().place(Some(SAID)).is_none());
    }

    #[test]
    fn so_many_are_sampled_as_the_ratio_says() {
        let share = |sample| (0..4000).filter(|_| tracer(sample).begin().unwrap().is_sampled()).count();
        assert_eq!((share(0.0), share(1.0)), (0, 4000));
        assert!((1600..2400).contains(&share(0.5)));
    }
}
