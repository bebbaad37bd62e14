//! What may happen often, and is worth a line in the log once a minute at most.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// When one cause was last said, in seconds since the first question, from 1; 0: never.
#[derive(Debug, Default)]
pub struct LogThrottle(AtomicU64);

impl LogThrottle {
    /// One that has said nothing yet.
    pub const fn new() -> LogThrottle {
        LogThrottle(AtomicU64::new(0))
    }

    /// True for one asker a minute.
    pub fn may(&self) -> bool {
        static BEGINNING: OnceLock<Instant> = OnceLock::new();
        let now = BEGINNING.get_or_init(Instant::now).elapsed().as_secs() + 1;
        let last = self.0.load(Ordering::Relaxed);
        let may = last == 0 || now >= last + 60;
        may && self.0.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
