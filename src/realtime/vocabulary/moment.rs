//! Now, on both clocks, so that nothing below the session reads one.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One moment: monotonic for waiting, wall clock for saying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub instant: Instant,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// How long the wall clock is taken to go as the other one does: it is set now and then, and reading both costs twice.
const MAX_AGE: Duration = Duration::from_secs(1);

thread_local! {
    /// When both clocks were last read.
    static KNOWN: Cell<Option<Moment>> = const { Cell::new(None) };
}

impl Moment {
    pub fn now() -> Moment {
        // tokio's clock stands still and jumps where a test says so.
        let instant = tokio::time::Instant::now().into_std();
        if let Some(known) = KNOWN.get()
            && let Some(since) = instant.checked_duration_since(known.instant)
            && since < MAX_AGE
        {
            return known + since;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let moment = Moment { instant, unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) };
        KNOWN.set(Some(moment));
        moment
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, later: Duration) -> Moment {
        let ms = u64::try_from(later.as_millis()).unwrap_or(u64::MAX);
        Moment { instant: self.instant + later, unix_ms: self.unix_ms.saturating_add(ms) }
    }
}
