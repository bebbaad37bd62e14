//! What the room counts.

use std::time::{Duration, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use rustls::{HandshakeKind, ProtocolVersion};

use super::handshake::Failed;
use super::identity::Identity;
use crate::telemetry::{Registry, labelled};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    version: &'static str,
    resumed: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeReason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NamedCertificate {
    certificate: String,
}

/// Handles into the registry.
#[derive(Debug)]
pub struct Metrics {
    /// By version and by resumption; a look-up in a `Family` is a lock, so these are kept.
    done: [[Counter; 2]; 2],
    failed: Family<HandshakeReason, Counter>,
    pub under_way: Gauge,
    duration: Histogram,
    not_after: Family<NamedCertificate, Gauge>,
    pub loads: Counter,
    pub refusals: Counter,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let help = "Certificates on disk that have changed, by what came of them";
        let [loads, refusals] = labelled(registry, "tls_certificate_loads", help, "outcome", ["taken", "refused"]);
        let done = Family::<HandshakeLabels, Counter>::default();
        let counter = |version, resumed| done.get_or_create(&HandshakeLabels { version, resumed }).clone();
        let metrics = Metrics {
            done: ["1.2", "1.3"].map(|version| ["no", "yes"].map(|resumed| counter(version, resumed))),
            failed: Family::default(),
            under_way: Gauge::default(),
            duration: Histogram::new(exponential_buckets(0.0005, 2.0, 15)),
            not_after: Family::default(),
            loads,
            refusals,
        };
        for reason in Failed::REASONS {
            metrics.failed.get_or_create(&HandshakeReason { reason }).get();
        }
        registry.register("tls_handshakes", "TLS handshakes that succeeded", done);
        registry.register("tls_handshake_failures", "TLS handshakes that failed", metrics.failed.clone());
        registry.register("tls_handshakes_under_way", "TLS handshakes under way", metrics.under_way.clone());
        let help = "From a connection to the end of its handshake, the client's time included";
        registry.register("tls_handshake_duration_seconds", help, metrics.duration.clone());
        let help = "When a certificate expires";
        registry.register("tls_certificate_not_after_timestamp_seconds", help, metrics.not_after.clone());
        metrics
    }

    pub fn done(&self, version: Option<ProtocolVersion>, kind: Option<HandshakeKind>, took: Duration) {
        let version = usize::from(version != Some(ProtocolVersion::TLSv1_2));
        let resumed = usize::from(kind == Some(HandshakeKind::Resumed));
        self.done[version][resumed].inc();
        self.duration.observe(took.as_secs_f64());
    }

    pub fn failed(&self, why: &Failed) {
        self.failed.get_or_create(&HandshakeReason { reason: why.label() }).inc();
    }

    /// Says when each certificate expires, and forgets those that are gone.
    pub fn certificates(&self, identities: &[Identity]) {
        self.not_after.clear();
        for identity in identities {
            let seconds = identity.not_after.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let gauge = self.not_after.get_or_create(&NamedCertificate { certificate: identity.label.clone() }).clone();
            gauge.set(i64::try_from(seconds).unwrap_or(i64::MAX));
        }
    }
}
