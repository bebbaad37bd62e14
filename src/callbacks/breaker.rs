//! A circuit breaker: an app that fails again and again is left alone for a while, then tried with one callback.

use std::collections::HashSet;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::shares::Holder;

/// Closed while the app answers; open after `failures` in a row, for `pause`; then half open: one callback at a time
/// until one succeeds.
pub struct Breaker {
    failures: u32,
    pause: Duration,
    known: Mutex<Known>,
}

struct Known {
    state: BreakerState,
    /// Whose callbacks went unanswered since the app last answered. At most `failures`.
    hung: HashSet<Holder>,
}

#[derive(Debug, Clone, Copy)]
enum BreakerState {
    Closed {
        failed: u32,
    },
    Open {
        until: Instant,
    },
    /// One callback is out to try it; if it never reports back, the next is let through at `until`.
    Trying {
        until: Instant,
    },
}

/// Leave to ask.
pub struct Chance;

impl Breaker {
    pub fn new(failures: u32, pause: Duration) -> Breaker {
        Breaker {
            failures,
            pause,
            known: Mutex::new(Known { state: BreakerState::Closed { failed: 0 }, hung: HashSet::new() }),
        }
    }

    /// When asking is worth trying: now, or when the pause is over.
    pub fn next_chance(&self, now: Instant) -> Instant {
        match self.lock().state {
            BreakerState::Closed { .. } => now,
            BreakerState::Open { until } | BreakerState::Trying { until } => until.max(now),
        }
    }

    /// `None` while it is open, or while another callback tries it.
    pub fn admit(&self, now: Instant) -> Option<Chance> {
        let mut known = self.lock();
        match known.state {
            BreakerState::Closed { .. } => Some(Chance),
            BreakerState::Open { until } | BreakerState::Trying { until } if now >= until => {
                known.state = BreakerState::Trying { until: now + self.pause };
                Some(Chance)
            }
            _ => None,
        }
    }

    pub fn succeeded(&self) {
        let mut known = self.lock();
        known.state = BreakerState::Closed { failed: 0 };
        known.hung.clear();
    }

    /// As [`failed`](Breaker::failed), for a callback of `client` that the app has and does not answer. However many
    /// one address has of those, they count once: what it asks for may take long, and others ask for other things.
    pub fn hung(&self, client: Holder, now: Instant) -> bool {
        let mut known = self.lock();
        let is_trying = matches!(known.state, BreakerState::Trying { .. });
        let is_first = known.hung.len() < self.failures as usize && known.hung.insert(client);
        (is_first || is_trying) && self.fail(&mut known.state, now)
    }

    /// Says whether this failure has just opened it.
    pub fn failed(&self, now: Instant) -> bool {
        self.fail(&mut self.lock().state, now)
    }

    fn fail(&self, state: &mut BreakerState, now: Instant) -> bool {
        let failed = match *state {
            BreakerState::Closed { failed } => failed + 1,
            BreakerState::Trying { .. } => self.failures,
            // Callbacks that were under way when it opened say nothing new.
            BreakerState::Open { .. } => return false,
        };
        let opens = failed >= self.failures;
        *state = if opens { BreakerState::Open { until: now + self.pause } } else { BreakerState::Closed { failed } };
        opens
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_and_lets_one_try() {
        let breaker = Breaker::new(3, PAUSE);
        let now = Instant::now();
        assert!(!breaker.failed(now) && !breaker.failed(now));
        breaker.succeeded();
        assert!(!breaker.failed(now) && !breaker.failed(now));
        assert!(breaker.admit(now).is_some());
        assert!(breaker.failed(now), "the third in a row opens it");
        assert!(breaker.admit(now).is_none());
        assert_eq!(breaker.next_chance(now), now + PAUSE);

        let later = now + PAUSE;
        assert!(breaker.admit(later).is_some(), "one tries");
        assert!(breaker.admit(later).is_none(), "the others wait");
        assert!(breaker.failed(later), "a failed try opens it again");
        let later = later + PAUSE;
        assert!(breaker.admit(later).is_some());
        breaker.succeeded();
        assert!(breaker.admit(later).is_some() && breaker.admit(later).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_opens_it_only_where_nobody_can_be_asked() {
        let breaker = Breaker::new(3, PAUSE);
        let now = Instant::now();
        let origin = |last| Holder::of([10, 0, 0, last].into());
        for _ in 0..100 {
            assert!(!breaker.hung(origin(1), now));
        }
        assert!(breaker.admit(now).is_some() && breaker.admit(now).is_some());
        assert!(!breaker.hung(origin(2), now));
        assert!(breaker.hung(origin(3), now), "three addresses wait in vain");
        assert!(breaker.admit(now + PAUSE).is_some());
        assert!(breaker.hung(origin(1), now + PAUSE), "nor is the try answered");
        breaker.succeeded();
        assert!(!breaker.hung(origin(1), now) && !breaker.hung(origin(2), now), "an answer begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn it_keeps_no_more_addresses_than_open_it() {
        let breaker = Breaker::new(3, PAUSE);
        for last in 1..=100 {
            breaker.hung(Holder::of([10, 0, 0, last].into()), Instant::now());
        }
        assert_eq!(breaker.lock().hung.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_never_comes_back_does_not_hold_it_shut() {
        let breaker = Breaker::new(1, PAUSE);
        let now = Instant::now();
        assert!(breaker.failed(now));
        assert!(breaker.admit(now + PAUSE).is_some());
        assert!(breaker.admit(now + PAUSE + PAUSE).is_some());
    }
}
