//! How many answers one address may have by the headers that clients choose: the state of a router, a language, a browser.
//! Anybody can make up as many as he likes, and each would push out another page.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters; a power of two. Two addresses may share one.
const PLACES: usize = 1 << 12;
/// New ones of an address within a window. Further ones are answered by the app.
const MAX_VARIANTS: u64 = 64;
/// In milliseconds.
const WINDOW: u64 = 10 * 60 * 1000;

/// Counts new variants, address by address.
#[derive(Debug)]
pub struct Variants {
    /// The window's number above, how many there were below.
    counters: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Default for Variants {
    fn default() -> Self {
        Variants { counters: (0..PLACES).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::new() }
    }
}

impl Variants {
    /// Whether there may be one more at `address` (its key without those headers).
    pub fn admits(&self, address: &[u8], now: u64) -> bool {
        let counter = &self.counters[self.hasher.hash_one(address) as usize % PLACES];
        let window = (now / WINDOW) << 16;
        let next = |is: u64| {
            let count = if is & !0xffff == window { is & 0xffff } else { 0 };
            (count < MAX_VARIANTS).then_some(window | (count + 1))
        };
        counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_so_many_a_window() {
        let variants = Variants::default();
        let admitted = |now: u64| (0..1000).filter(|_| variants.admits(b"/page", now)).count() as u64;
        assert_eq!(admitted(WINDOW - 1), MAX_VARIANTS);
        assert_eq!(admitted(WINDOW), MAX_VARIANTS);
        assert_eq!(admitted(2 * WINDOW - 1), 0);
    }
}
