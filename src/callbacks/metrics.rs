//! The metrics of this room.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{Answer, CallbackError, EventKind};
use crate::telemetry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    kind: &'static str,
    outcome: OutcomeWord,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum OutcomeWord {
    Allowed,
    Refused,
    Unavailable,
    Nonsense,
    TooMany,
}

/// Metrics of callbacks: `doorway_callbacks_…`.
pub struct Metrics {
    answers: Family<Outcome, Counter>,
    pub retries: Counter,
    pub breaker_opened: Counter,
    pub reports_waiting: Gauge,
    pub reports_lost: Counter,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let registry = registry.sub_registry_with_prefix("callbacks");
        let metrics = Metrics {
            answers: Family::default(),
            retries: Counter::default(),
            breaker_opened: Counter::default(),
            reports_waiting: Gauge::default(),
            reports_lost: Counter::default(),
        };
        registry.register("answers", "Callbacks put to the app, by what came of them", metrics.answers.clone());
        registry.register("retries", "Attempts that failed", metrics.retries.clone());
        registry.register("breaker_opened", "Times the app was left alone", metrics.breaker_opened.clone());
        registry.register("reports_waiting", "Reports under way", metrics.reports_waiting.clone());
        registry.register("reports_lost", "Reports that never reached the app", metrics.reports_lost.clone());
        metrics
    }

    pub fn answered(&self, kind: EventKind, outcome: &Result<Answer, CallbackError>) {
        let outcome = match outcome {
            Ok(answer) if answer.allows() => OutcomeWord::Allowed,
            Ok(_) => OutcomeWord::Refused,
            Err(CallbackError::Unavailable(_)) => OutcomeWord::Unavailable,
            Err(CallbackError::Nonsense(_)) => OutcomeWord::Nonsense,
            Err(CallbackError::TooMany) => OutcomeWord::TooMany,
        };
        self.answers.get_or_create(&Outcome { kind: kind.label(), outcome }).inc();
    }
}
