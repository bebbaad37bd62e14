//! What is counted of tokens.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::TokenError;
use crate::telemetry::{Registry, labelled};

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
        let registry = registry.sub_registry_with_prefix("tokens");
        let help = "Key files that have changed, by what came of them";
        let [keys_taken, keys_refused] = labelled(registry, "key_loads", help, "outcome", ["taken", "refused"]);
        let metrics = Metrics { keys_taken, keys_refused, ..Metrics::default() };
        registry.register("checked", "Tokens of clients, by what came of them", metrics.checked.clone());
        registry.register("renewed", "Tokens that took the place of one before", metrics.renewed.clone());
        metrics
    }

    pub fn checked<T>(&self, outcome: &Result<T, TokenError>) {
        let outcome = outcome.as_ref().map_or_else(|error| error.label(), |_| "good");
        self.checked.get_or_create(&Outcome { outcome }).inc();
    }
}
