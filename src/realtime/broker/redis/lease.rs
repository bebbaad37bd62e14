//! A door's own lease: since when it is held without a break, and what lies in it.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

/// A door's own lease.
#[derive(Default)]
pub(super) struct Lease {
    held: Mutex<Held>,
    /// What the door says of itself. Whoever renews the lease has its turn: no older card goes over a newer one.
    pub(super) card: Turn<String>,
}

#[derive(Default, Clone, Copy)]
struct Held {
    /// Without a break since then.
    since: Option<Instant>,
    renewed: Option<Instant>,
}

impl Lease {
    /// True where it was held without a break for so long. After Redis was away all leases are over, and the first door to
    /// come back would take all others for dead.
    pub(super) fn is_held_for(&self, time: Duration) -> bool {
        let held = *self.held.lock();
        let is_fresh = held.renewed.is_some_and(|renewed| renewed.elapsed() < time);
        is_fresh && held.since.is_some_and(|since| since.elapsed() >= time)
    }

    /// It was renewed, and `was_there` still.
    pub(super) fn renewed(&self, was_there: bool, time: Duration) {
        let (now, mut held) = (Instant::now(), self.held.lock());
        let is_late = held.renewed.is_none_or(|renewed| now - renewed >= time);
        let since = if is_late || !was_there { Some(now) } else { held.since.or(Some(now)) };
        *held = Held { since, renewed: Some(now) };
    }

    /// It could not be renewed.
    pub(super) fn lost(&self) {
        *self.held.lock() = Held::default();
    }
}
