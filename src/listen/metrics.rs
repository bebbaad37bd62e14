//! What the room counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::telemetry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DropKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DropReason {
    reason: &'static str,
}

/// Why a connection was closed before it was served. Failed handshakes are counted by `tls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// One client has all that one may have.
    AddressFull,
    /// Not a trusted proxy, where only those may come.
    Untrusted,
    HeaderMissing,
    HeaderMalformed,
    HeaderTimeout,
    /// It left, or the connection broke, within the PROXY header.
    HeaderBroken,
}

impl Refusal {
    const ALL: [Refusal; 6] = [
        Refusal::AddressFull,
        Refusal::Untrusted,
        Refusal::HeaderMissing,
        Refusal::HeaderMalformed,
        Refusal::HeaderTimeout,
        Refusal::HeaderBroken,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Refusal::AddressFull => "address_full",
            Refusal::Untrusted => "untrusted",
            Refusal::HeaderMissing => "proxy_header_missing",
            Refusal::HeaderMalformed => "proxy_header_malformed",
            Refusal::HeaderTimeout => "proxy_header_timeout",
            Refusal::HeaderBroken => "proxy_header_broken",
        }
    }
}

/// Handles into the registry; a look-up in a `Family` is a lock.
#[derive(Debug)]
pub struct Metrics {
    pub accepted_http: Counter,
    pub accepted_https: Counter,
    pub open: Gauge,
    pub most: Gauge,
    pub paused_full: Counter,
    pub paused_error: Counter,
    refused: [Counter; Refusal::ALL.len()],
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let (accepted, refused) = (Family::<DropKind, Counter>::default(), Family::<DropReason, Counter>::default());
        let paused = Family::<DropReason, Counter>::default();
        // In closures: a guard that lives on beside the next look-up would lock it out for good.
        let accepting = |kind| accepted.get_or_create(&DropKind { kind }).clone();
        let pausing = |reason| paused.get_or_create(&DropReason { reason }).clone();
        let metrics = Metrics {
            accepted_http: accepting("http"),
            accepted_https: accepting("https"),
            open: Gauge::default(),
            most: Gauge::default(),
            paused_full: pausing("full"),
            paused_error: pausing("error"),
            refused: Refusal::ALL.map(|why| refused.get_or_create(&DropReason { reason: why.label() }).clone()),
        };
        registry.register("connections_accepted", "Connections accepted", accepted);
        registry.register("connections_open", "Connections open, upgraded ones too", metrics.open.clone());
        registry.register("connections_limit", "Connections that may be open", metrics.most.clone());
        registry.register("connections_refused", "Connections closed before they were served", refused);
        registry.register("accept_pauses", "Times that accepting had to pause", paused);
        metrics
    }

    pub fn refused(&self, why: Refusal) {
        self.refused[why as usize].inc();
    }
}
