//! Work done and how long each piece of it took.

use std::time::Duration;

use hdrhistogram::Histogram;

#[derive(Debug)]
pub struct Tally {
    /// Requests, bytes, deliveries: the case says which.
    pub work: u64,
    latency: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Tally { work: 0, latency: Histogram::new_with_bounds(1, 60_000_000, 3).expect("fixed bounds") }
    }
}

impl Tally {
    /// Work that was not timed piece by piece.
    pub fn of(work: u64) -> Tally {
        Tally { work, ..Tally::default() }
    }

    pub fn add(&mut self, took: Duration, work: u64) {
        self.work += work;
        self.latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// In milliseconds; `None` when nothing was timed.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        (!self.latency.is_empty()).then(|| self.latency.value_at_quantile(quantile) as f64 / 1000.0)
    }
}
