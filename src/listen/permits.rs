//! How many may be in the house at once, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

/// Locks for addresses; a connection takes one for a moment when it comes and when it goes.
const SHARDS: usize = 16;

/// The count of connections. Full: nobody is accepted until somebody leaves.
#[derive(Debug)]
pub struct Permits {
    held: AtomicUsize,
    most: AtomicUsize,
    freed: Notify,
    /// Only addresses that are here have an entry, so it cannot outgrow the connections.
    by_origin: [Mutex<HashMap<Origin, usize>>; SHARDS],
    open: Gauge,
}

/// Held by a connection for as long as its socket is open, upgrades included.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
    origin: Option<Origin>,
}

/// One client, as far as addresses tell: an IPv4 address, or the /64 that one IPv6 customer has at the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    V4(u32),
    V6(u64),
}

impl Origin {
    fn of(address: IpAddr) -> Origin {
        match address.to_canonical() {
            IpAddr::V4(address) => Origin::V4(address.to_bits()),
            IpAddr::V6(address) => Origin::V6(u64::try_from(address.to_bits() >> 64).unwrap_or(u64::MAX)),
        }
    }

    fn shard(self) -> usize {
        let bits = match self {
            Origin::V4(bits) => u64::from(bits),
            Origin::V6(bits) => bits,
        };
        let mixed = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        usize::try_from(mixed % SHARDS as u64).unwrap_or(0)
    }
}

impl Permits {
    pub fn new(most: usize, open: Gauge) -> Arc<Permits> {
        Arc::new(Permits {
            held: AtomicUsize::new(0),
            most: AtomicUsize::new(most),
            freed: Notify::new(),
            by_origin: Default::default(),
            open,
        })
    }

    /// Changes how many there may be; those who are here may stay.
    pub fn limit(&self, most: usize) {
        self.most.store(most, Ordering::SeqCst);
        self.freed.notify_waiters();
    }

    pub fn are_all_taken(&self) -> bool {
        self.held.load(Ordering::SeqCst) >= self.most.load(Ordering::SeqCst)
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
        Permit { permits: Arc::clone(self), origin: None }
    }

    fn shard(&self, origin: Origin) -> MutexGuard<'_, HashMap<Origin, usize>> {
        self.by_origin[origin.shard()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Counts the connection against `address`; false when that has `most` already.
    pub fn charge(&mut self, address: IpAddr, most: usize) -> bool {
        let origin = Origin::of(address);
        let mut shard = self.permits.shard(origin);
        let count = shard.entry(origin).or_default();
        if *count >= most {
            return false;
        }
        *count += 1;
        drop(shard);
        debug_assert!(self.origin.is_none(), "a connection has one origin");
        self.origin = Some(origin);
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(origin) = self.origin {
            let mut shard = self.permits.shard(origin);
            if let Some(count) = shard.get_mut(&origin) {
                *count -= 1;
                if *count == 0 {
                    shard.remove(&origin);
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
        assert!(first.charge(address, 2) && second.charge("::ffff:192.0.2.1".parse().unwrap(), 2));
        assert!(!third.charge(address, 2));
        assert!(third.charge("192.0.2.2".parse().unwrap(), 2), "another address is another client");
        drop(first);
        assert!(permits.take().charge(address, 2));
        drop((second, third));
        assert!(permits.by_origin.iter().all(|shard| shard.lock().unwrap().is_empty()), "nothing is left behind");
    }

    #[test]
    fn one_ipv6_network_is_one_client() {
        let permits = permits(100);
        let (mut first, mut second) = (permits.take(), permits.take());
        assert!(first.charge("2001:db8::1".parse().unwrap(), 1));
        assert!(!second.charge("2001:db8::ffff:1".parse().unwrap(), 1));
        assert!(second.charge("2001:db8:0:1::1".parse().unwrap(), 1));
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
