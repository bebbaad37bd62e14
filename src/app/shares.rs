//! What is bounded is shared: nobody holds more of it than his part, so that something is left for everyone else.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// One client, as far as addresses tell: an IPv4 address, or the /64 that one IPv6 customer has at the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    pub fn of(address: IpAddr) -> Origin {
        Origin(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
            address => address,
        })
    }
}

/// How much each holds. One entry for each that holds something.
#[derive(Debug)]
pub struct Shares<K: Hash + Eq + Clone>(Arc<Mutex<HashMap<K, usize>>>);

impl<K: Hash + Eq + Clone> Default for Shares<K> {
    fn default() -> Self {
        Shares(Arc::default())
    }
}

/// One of what is shared; given back when dropped.
#[derive(Debug)]
pub struct Share<K: Hash + Eq + Clone> {
    key: K,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

fn lock<K>(held: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    // Nothing under this lock can panic.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Hash + Eq + Clone> Shares<K> {
    /// One more for `key`, unless that would be more than `most`.
    pub fn take(&self, key: K, most: usize) -> Option<Share<K>> {
        let mut held = lock(&self.0);
        let count = held.entry(key.clone()).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Share { key, held: Arc::clone(&self.0) })
    }
}

impl<K: Hash + Eq + Clone> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

/// Half of `whole`, and one at the least: what one address may hold of it.
pub fn half(whole: usize) -> usize {
    whole.div_ceil(2)
}

/// Those who ask the app: so many at once, the others in order; and of one address never more than half of them.
pub struct Queue {
    permits: Semaphore,
    share: usize,
    origins: Mutex<HashMap<Origin, Arc<Semaphore>>>,
}

/// A place in it. Kept for as long as there is something to ask.
pub struct Place<'a> {
    queue: &'a Queue,
    origin: Origin,
    turns: Arc<Semaphore>,
}

/// Leave to ask: the address's and everybody's.
pub struct Permit<'a> {
    _own: SemaphorePermit<'a>,
    _shared: SemaphorePermit<'a>,
}

impl Queue {
    pub fn new(concurrency: usize) -> Queue {
        Queue { permits: Semaphore::new(concurrency), share: half(concurrency), origins: Mutex::default() }
    }

    pub fn enter(&self, origin: Origin) -> Place<'_> {
        let mut origins = self.origins();
        let turns = origins.entry(origin).or_insert_with(|| Arc::new(Semaphore::new(self.share)));
        Place { queue: self, origin, turns: Arc::clone(turns) }
    }

    fn origins(&self) -> MutexGuard<'_, HashMap<Origin, Arc<Semaphore>>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// The address's turn comes first: what waits for that holds nobody else up.
    pub async fn permit(&self) -> Result<Permit<'_>, AcquireError> {
        let own = self.turns.acquire().await?;
        Ok(Permit { _own: own, _shared: self.queue.permits.acquire().await? })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut origins = self.queue.origins();
        // This place and the map's own.
        if Arc::strong_count(&self.turns) == 2 {
            origins.remove(&self.origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[test]
    fn one_takes_its_part_and_another_has_its_own() {
        let shares = Shares::default();
        let first = shares.take("a", 2).unwrap();
        let _second = shares.take("a", 2).unwrap();
        assert!(shares.take("a", 2).is_none());
        let other = shares.take("b", 1).unwrap();
        assert!(shares.take("b", 1).is_none());
        drop((first, other));
        assert!(shares.take("a", 2).is_some());
        assert!(!lock(&shares.0).contains_key("b"), "who holds nothing is forgotten");
        let of = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.2"), of("10.0.0.1"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_never_has_all_turns() {
        let queue = Queue::new(4);
        let (one, other) = (Origin::of([10, 0, 0, 1].into()), Origin::of([10, 0, 0, 2].into()));
        let places: Vec<_> = (0..3).map(|_| queue.enter(one)).collect();
        let held = (places[0].permit().await.unwrap(), places[1].permit().await.unwrap());
        assert!(timeout(Duration::from_secs(1), places[2].permit()).await.is_err());
        {
            let place = queue.enter(other);
            assert!(timeout(Duration::from_secs(1), place.permit()).await.is_ok());
        }
        drop(held);
        assert!(timeout(Duration::from_secs(1), places[2].permit()).await.is_ok());
        drop(places);
        assert!(queue.origins().is_empty());
    }
}
