//! How well an app answers: counted since requests go to it, for whoever watches it after a deploy.

use std::sync::atomic::{AtomicU64, Ordering};

/// Answers, and those of them that were failures: a status of 500 and above, or none at all. Counting is an addition.
#[derive(Debug, Default)]
pub struct Tally {
    answers: AtomicU64,
    failures: AtomicU64,
}

impl Tally {
    pub fn count(&self, is_failure: bool) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        if is_failure {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many answers, and how many of them were failures.
    pub fn read(&self) -> (u64, u64) {
        // In this order there are never more failures than answers.
        let failures = self.failures.load(Ordering::Relaxed);
        (self.answers.load(Ordering::Relaxed).max(failures), failures)
    }
}
