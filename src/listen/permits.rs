//! How many may be in the house at once, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

use crate::shares::Holder;

/// Locks for addresses; a connection takes one for a moment when it comes and when it goes.
const SHARDS: usize = 16;

/// The count of connections. Full: nobody is accepted until somebody leaves.
#[derive(Debug)]
pub struct Permits {
    held: AtomicUsize,
    most: AtomicUsize,
    freed: Notify,
    /// Only addresses that are here have an entry, so it cannot outgrow the connections.
    by_holder: [Mutex<HashMap<Holder, usize>>; SHARDS],
    open: Gauge,
}

/// Held by a connection for as long as its socket is open, upgrades included.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
    holder: Option<Holder>,
}

impl Permits {
    pub fn new(most: usize, open: Gauge) -> Arc<Permits> {
        Arc::new(Permits {
            held: AtomicUsize::new(0),
            most: AtomicUsize::new(most),
            freed: Notify::new(),
            by_holder: Default::default(),
            open,
        })
    }

    /// Changes how many there may be; those who are here may stay.
    pub fn limit(&self, most: usize) {
        self.most.store(most, Ordering::SeqCst);
        self.freed.notify_waiters();
    }

    pub fn are_all_taken(&self) -> bool {
        self.free() == 0
    }

    fn free(&self) -> usize {
        self.most.load(Ordering::SeqCst).saturating_sub(self.held.load(Ordering::SeqCst))
    }

    /// Resolves once one is free. Cancel-safe. It is not kept for the caller: with several listeners waiting there may
    /// be one connection too many for each of them.
    pub async fn one_free(&self) {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if !self.are_all_taken() {
                return;
            }
            freed.await;
        }
    }

    /// Resolves when somebody leaves. Cancel-safe.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    pub fn take(self: &Arc<Self>) -> Permit {
        self.held.fetch_add(1, Ordering::SeqCst);
        self.open.inc();
        Permit { permits: Arc::clone(self), holder: None }
    }

    fn shard(&self, holder: Holder) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.by_holder[holder.shard(SHARDS)].lock()
    }
}

impl Permit {
    /// Counts the connection against `address`; false when that has `most` already, or, where no number is given, three
    /// times as many as are free: three quarters while it is alone, and less beside others who have many. One is
    /// anyone's.
    pub fn charge(&mut self, address: IpAddr, most: Option<usize>) -> bool {
        let holder = Holder::of(address);
        let mut shard = self.permits.shard(holder);
        let has = shard.get(&holder).copied().unwrap_or(0);
        let is_too_many = match most {
            Some(most) => has >= most,
            // Itself it is counted already.
            None => has > 0 && has + 1 > self.permits.free().saturating_mul(3),
        };
        if is_too_many {
            return false;
        }
        shard.insert(holder, has + 1);
        drop(shard);
        debug_assert!(self.holder.is_none(), "a connection has one holder");
        self.holder = Some(holder);
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(holder) = self.holder {
            let mut shard = self.permits.shard(holder);
            if let Some(count) = shard.get_mut(&holder) {
                *count -= 1;
                if *count == 0 {
                    shard.remove(&holder);
                }
            }
        }
        self.permits.open.dec();
        self.permits.held.fetch_sub(1, Ordering::SeqCst);
        self.permits.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(most: usize) -> Arc<Permits> {
        Permits::new(most, Gauge::default())
    }

    #[test]
    fn an_address_has_its_own_limit_and_gets_it_back() {
        let permits = permits(100);
        let (mut first, mut second, mut third) = (permits.take(), permits.take(), permits.take());
        let address = "192.0.2.1".parse().unwrap();
        assert!(first.charge(address, Some(2)) && second.charge("::ffff:192.0.2.1".parse().unwrap(), Some(2)));
        assert!(!third.charge(address, Some(2)));
        assert!(third.charge("192.0.2.2".parse().unwrap(), Some(2)), "another address is another client");
        drop(first);
        assert!(permits.take().charge(address, Some(2)));
        drop((second, third));
        assert!(permits.by_holder.iter().all(|shard| shard.lock().is_empty()), "nothing is left behind");
    }

    #[test]
    fn one_ipv6_network_is_one_client() {
        let permits = permits(100);
        let (mut first, mut second) = (permits.take(), permits.take());
        assert!(first.charge("2001:db8::1".parse().unwrap(), Some(1)));
        assert!(!second.charge("2001:db8::ffff:1".parse().unwrap(), Some(1)));
        assert!(second.charge("2001:db8:0:1::1".parse().unwrap(), Some(1)));
    }

    #[test]
    fn without_a_number_an_address_has_a_part_of_what_is_there() {
        let permits = permits(100);
        let all = |address: &str| {
            let address = address.parse().unwrap();
            let charged = |mut permit: Permit| permit.charge(address, None).then_some(permit);
            std::iter::from_fn(|| charged(permits.take())).collect::<Vec<_>>()
        };
        let first = all("192.0.2.1");
        let second = all("192.0.2.2");
        let third = all("192.0.2.3");
        assert_eq!((first.len(), second.len(), third.len()), (75, 18, 5));
        drop(first);
        assert!(all("192.0.2.3").len() > 50);
    }

    #[tokio::test]
    async fn whoever_leaves_makes_room() {
        let permits = permits(1);
        permits.one_free().await;
        let held = permits.take();
        let waiting = tokio::spawn({
            let permits = Arc::clone(&permits);
            async move { permits.one_free().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_higher_limit_makes_room_at_once() {
        let permits = permits(1);
        let _held = permits.take();
        assert!(permits.are_all_taken());
        permits.limit(2);
        permits.one_free().await;
    }
}
