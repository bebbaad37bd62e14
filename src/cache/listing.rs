//! What is kept, for people.

use serde_json::{Value, json};

use super::Cache;
use super::freshness::Standing;
use super::heard;
use super::key::told;
use super::store::Stored;

/// Answers that are listed at most: those that were given out most often.
const MAX_LISTED: usize = 1000;

impl Cache {
    /// What is kept, in JSON: how much, and the answers in most demand.
    pub fn listing(&self) -> Value {
        let now = self.now();
        let mut answers: Vec<_> = self.store.answers().collect();
        let kept = answers.len();
        answers.sort_by_key(|(_, stored)| std::cmp::Reverse(stored.hits()));
        answers.truncate(MAX_LISTED);
        let entries: Vec<Value> = answers.iter().map(|(key, stored)| self.entry(key, stored, now)).collect();
        let paths: Vec<String> = self.config.get().paths.iter().map(ToString::to_string).collect();
        let pages = self.pages_kept();
        json!({ "pages": pages, "paths": paths, "answers": kept, "bytes": self.store.weight(), "entries": entries })
    }

    pub(super) fn entry(&self, key: &[u8], stored: &std::sync::Arc<Stored>, now: u64) -> Value {
        let (host, target) = told(key);
        let left = stored.freshness.left(now).div_euclid(1000);
        let is_spared = self.purges.spares(&stored.origin) && stored.origin.generation == self.upstream.generation();
        let state = match stored.freshness.standing(now) {
            _ if !is_spared => "purged",
            Standing::Fresh => "fresh",
            Standing::WhileRevalidate | Standing::IfError => "stale",
            Standing::Expired => "expired",
        };
        json!({
            "host": host,
            "target": target,
            "status": stored.status.as_u16(),
            "state": state,
            "age": stored.freshness.age(now) / 1000,
            "left": left,
            "bytes": stored.length,
            "hits": stored.hits(),
            "tags": stored.tags.iter().filter(|tag| &***tag != heard::ANY).collect::<Vec<_>>(),
        })
    }
}
