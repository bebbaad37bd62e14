//! What a polling session shares with the requests that name it.

use std::sync::Arc;

use parking_lot::Mutex;

use super::config::Config;
use crate::realtime::link::Link;
use crate::realtime::link::polling::Exchange;

/// The part of a polling session that requests reach by its id.
pub struct PollingSession {
    pub exchange: Arc<Exchange>,
    pub config: Arc<Config>,
    second: Mutex<UpgradeSlot>,
}

/// A second transport, which the session may go over to.
enum UpgradeSlot {
    Nothing,
    /// A request for it is under way, or the session tries it.
    Claimed,
    Open(Box<dyn Link>),
    /// The session has gone over to it.
    Taken,
}

impl PollingSession {
    pub fn new(config: Arc<Config>) -> PollingSession {
        PollingSession { exchange: Arc::default(), config, second: Mutex::new(UpgradeSlot::Nothing) }
    }

    /// Whether this may be the second transport: there is one at a time.
    pub fn claim(&self) -> bool {
        let mut second = self.second.lock();
        let is_free = matches!(*second, UpgradeSlot::Nothing);
        if is_free {
            *second = UpgradeSlot::Claimed;
        }
        is_free
    }

    /// It is open, and the session's to try.
    pub fn hand_over(&self, link: Box<dyn Link>) {
        *self.second.lock() = UpgradeSlot::Open(link);
        self.exchange.wake();
    }

    /// It came to nothing: another may be tried.
    pub fn release(&self) {
        *self.second.lock() = UpgradeSlot::Nothing;
    }

    /// For the session: it has gone over.
    pub(super) fn gone_over(&self) {
        *self.second.lock() = UpgradeSlot::Taken;
    }

    /// Whether requests come too late, because the session has gone over to its WebSocket.
    pub fn has_gone_over(&self) -> bool {
        matches!(*self.second.lock(), UpgradeSlot::Taken)
    }

    /// For the session.
    pub(super) fn take(&self) -> Option<Box<dyn Link>> {
        let mut second = self.second.lock();
        match std::mem::replace(&mut *second, UpgradeSlot::Claimed) {
            UpgradeSlot::Open(link) => Some(link),
            other => {
                *second = other;
                None
            }
        }
    }
}

impl std::fmt::Debug for PollingSession {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PollingSession").finish_non_exhaustive()
    }
}
