//! The app of before a deploy, while it is kept: it is asked for what a page of its own build asks, and for nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, Uri};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::deployment::named;
use super::pool::Pool;

/// One app at most, and when it was last asked.
pub struct Previous {
    /// Saves the lock where there is none, which is nearly always.
    is_there: AtomicBool,
    pool: Mutex<Option<Arc<Pool>>>,
    epoch: Instant,
    /// In ms since `epoch`.
    asked: AtomicU64,
}

impl Previous {
    pub fn new() -> Previous {
        Previous {
            is_there: AtomicBool::new(false),
            pool: Mutex::new(None),
            epoch: Instant::now(),
            asked: AtomicU64::new(0),
        }
    }

    /// The one to be asked what a request asks, if that names its build.
    pub fn find(&self, uri: &Uri, headers: &HeaderMap) -> Option<Arc<Pool>> {
        if !self.is_there.load(Ordering::Relaxed) {
            return None;
        }
        let named = named(uri, headers)?;
        let pool = self.pool.lock().clone()?;
        if pool.deployment.as_deref() != Some(named) {
            return None;
        }
        self.asked.store(self.now(), Ordering::Relaxed);
        Some(pool)
    }

    pub fn is(&self, pool: &Arc<Pool>) -> bool {
        self.is_there.load(Ordering::Relaxed) && self.pool.lock().as_ref().is_some_and(|kept| Arc::ptr_eq(kept, pool))
    }

    /// Keeps `pool` from now on, in place of any other.
    pub fn keep(&self, pool: &Arc<Pool>) {
        pool.becomes_earlier();
        self.asked.store(self.now(), Ordering::Relaxed);
        *self.pool.lock() = Some(Arc::clone(pool));
        self.is_there.store(true, Ordering::Relaxed);
    }

    /// Nobody is sent to `pool` any more; says whether it was the one.
    pub fn forget(&self, pool: &Arc<Pool>) -> bool {
        let mut kept = self.pool.lock();
        let was_it = kept.take_if(|kept| Arc::ptr_eq(kept, pool)).is_some();
        if was_it {
            self.is_there.store(false, Ordering::Relaxed);
        }
        was_it
    }

    /// How long nobody has asked it.
    pub fn silence(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.asked.load(Ordering::Relaxed)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
