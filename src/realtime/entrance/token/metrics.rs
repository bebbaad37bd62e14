//! What is counted of tokens.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::TokenError;
use crate::telemetry::Registry;

/// Metrics of tokens: `doorway_tokens_…`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    checked: Family<Outcome, Counter>,
    pub renewed: Counter,
    pub keys_taken: Counter,
    pub keys_refused: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let registry = registry.sub_registry_with_prefix("tokens");
        registry.register("checked", "Tokens of clients, by what came of them", metrics.checked.clone());
        registry.register("renewed", "Tokens that took the place of one before", metrics.renewed.clone());
        registry.register("keys_taken", "Times that changed key files were taken over", metrics.keys_taken.clone());
        registry.register("keys_refused", "Times that they were refused", metrics.keys_refused.clone());
        metrics
    }

    pub fn checked<T>(&self, outcome: &Result<T, TokenError>) {
        let outcome = outcome.as_ref().map_or_else(|error| error.label(), |_| "good");
        self.checked.get_or_create(&Outcome { outcome }).inc();
    }
}
