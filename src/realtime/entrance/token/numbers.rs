//! What is counted of tokens.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::TokenError;
use crate::telemetry::Registry;

/// Metrics of tokens: `doorway_tokens_…`.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    checked: Family<Outcome, Counter>,
    pub renewed: Counter,
    pub keys_taken: Counter,
    pub keys_refused: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Numbers {
    pub fn new(registry: &mut Registry) -> Numbers {
        let numbers = Numbers::default();
        let registry = registry.sub_registry_with_prefix("tokens");
        registry.register("checked", "Tokens of clients, by what came of them", numbers.checked.clone());
        registry.register("renewed", "Tokens that took the place of one before", numbers.renewed.clone());
        registry.register("keys_taken", "Times that changed key files were taken over", numbers.keys_taken.clone());
        registry.register("keys_refused", "Times that they were refused", numbers.keys_refused.clone());
        numbers
    }

    pub fn checked<T>(&self, outcome: &Result<T, TokenError>) {
        let outcome = outcome.as_ref().map_or_else(|error| error.label(), |_| "good");
        self.checked.get_or_create(&Outcome { outcome }).inc();
    }
}
