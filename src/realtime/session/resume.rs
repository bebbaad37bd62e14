//! Where conversations lie that may go on over another link: a client that lost its own shows the key and is let back.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;

use super::returning::Resumption;
use crate::realtime::link::PingCount;
use crate::realtime::vocabulary::{ConnectionId, Frame};
use crate::shares::{Holder, HolderQueue, Owners, may_take, most_of_one};
use crate::telemetry::Registry;

/// The resumable connections of this process. One for each connection that can be recovered, until it is over.
#[derive(Debug)]
pub struct ResumeRegistry {
    places: Mutex<HashMap<u128, Arc<ResumeSlot>>>,
    /// Those whose connections have no link, in the order in which they lost it. Bounded by [`ResumeLimits`]: with more,
    /// the first gives way; and of one client address, who has no more of them than it leaves free, its own first.
    away: Mutex<HolderQueue<Arc<ResumeSlot>>>,
    /// Those that were told to give way and have not yet done so.
    leaving: AtomicUsize,
    /// Bytes kept for all of them, and for each address.
    held: Gauge,
    owners: Arc<Owners>,
    metrics: Metrics,
}

/// Limits of resumption: clients that may be away, and bytes kept for all of them.
#[derive(Debug, Clone, Copy)]
pub struct ResumeLimits {
    pub clients: usize,
    /// In bytes.
    pub held: usize,
}

#[derive(Debug, Clone, Default)]
struct Metrics {
    away: Gauge,
    kept: Counter,
    returned: Counter,
    full: Counter,
}

impl ResumeRegistry {
    /// `held` says how much is kept for all of them, in bytes, and `owners` how much for each address.
    pub fn new(held: Gauge, owners: Arc<Owners>, registry: &mut Registry) -> ResumeRegistry {
        let metrics = Metrics::default();
        let registry = registry.sub_registry_with_prefix("realtime");
        registry.register("recovery_away", "Clients without a link that may come back", metrics.away.clone());
        registry.register("recovery_kept", "Clients that lost their link and were kept", metrics.kept.clone());
        registry.register("recovery_returned", "Clients that came back by another link", metrics.returned.clone());
        let full = "Clients that were forgotten before their time: too many are away, or too much is kept";
        registry.register("recovery_full", full, metrics.full.clone());
        ResumeRegistry {
            places: Mutex::default(),
            away: Mutex::default(),
            leaving: AtomicUsize::new(0),
            held,
            owners,
            metrics,
        }
    }

    /// Whether somebody may come back to `place` with `key`.
    pub fn knows(&self, key: u128, place: &str) -> bool {
        self.places.lock().get(&key).is_some_and(|slot| *slot.place == *place)
    }

    /// A slot for a connection of `client`, that whoever knows `key` finds at the same `place`.
    pub fn register(
        self: &Arc<Self>,
        key: u128,
        place: &Arc<str>,
        client: (ConnectionId, Holder),
        limits: ResumeLimits,
    ) -> ResumeHandle {
        let slot = Arc::new(ResumeSlot {
            key,
            place: Arc::clone(place),
            connection: client.0,
            holder: client.1,
            is_handed: AtomicBool::new(false),
            handed: Mutex::new(Handed::Waits),
            is_evicted: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        self.places.lock().insert(key, Arc::clone(&slot));
        let owned = self.owners.held(client.1);
        ResumeHandle {
            registry: Arc::clone(self),
            slot,
            limits,
            owned,
            away: None,
            pings: PingCount::default(),
            handed: None,
            closing: None,
            abroad: None,
        }
    }

    /// The client at `place` is forgotten.
    fn forget(&self, away: &mut HolderQueue<Arc<ResumeSlot>>, place: Option<u64>) {
        let Some(slot) = place.and_then(|place| away.remove(place)) else { return };
        self.metrics.away.dec();
        self.metrics.full.inc();
        self.leaving.fetch_add(1, Ordering::Relaxed);
        slot.is_evicted.store(true, Ordering::Release);
        slot.waker.wake();
    }
}

/// One connection's slot.
#[derive(Debug)]
pub struct ResumeSlot {
    key: u128,
    place: Arc<str>,
    connection: ConnectionId,
    /// Whose connection it is.
    holder: Holder,
    is_handed: AtomicBool,
    handed: Mutex<Handed>,
    /// Its client is not waited for any more.
    is_evicted: AtomicBool,
    waker: AtomicWaker,
}

enum Handed {
    Waits,
    /// At most one: a second takes its place, as the latest link is the client's.
    Over(HandOver),
    Closed,
}

impl std::fmt::Debug for Handed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Handed::Waits => "Waits",
            Handed::Over(_) => "Over",
            Handed::Closed => "Closed",
        })
    }
}

/// A client on its way to the session that it asks for. Dropped before it is taken, it goes back to the one it is from.
pub struct HandOver(Option<(Box<Resumption>, oneshot::Sender<Box<Resumption>>)>);

impl HandOver {
    /// What it asks with.
    pub fn frame(&self) -> Option<&Frame> {
        self.0.as_ref().map(|(back, _)| &back.frame)
    }

    /// It does not go back any more.
    pub fn take(mut self) -> Option<Box<Resumption>> {
        self.0.take().map(|(back, _)| back)
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        if let Some((back, home)) = self.0.take() {
            // Its session may have ended meanwhile; then so does its link.
            let _ = home.send(back);
        }
    }
}

/// What came of a hand-over.
pub enum HandedOver {
    /// The other session has the client.
    Taken,
    /// It has nothing for it.
    Back(Box<Resumption>),
}

impl ResumeSlot {
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Hands the new link to the session of this slot, which takes it or gives it back.
    pub fn hand_over(&self, back: Box<Resumption>) -> oneshot::Receiver<Box<Resumption>> {
        let (home, outcome) = oneshot::channel();
        let over = HandOver(Some((back, home)));
        let mut handed = self.handed.lock();
        if matches!(*handed, Handed::Closed) {
            return outcome;
        }
        let before = std::mem::replace(&mut *handed, Handed::Over(over));
        drop(handed);
        if let Handed::Over(before) = before {
            drop(before.take());
        }
        self.is_handed.store(true, Ordering::Release);
        self.waker.wake();
        outcome
    }
}

/// A session's side of its slot. Dropped, nobody finds it any more.
pub struct ResumeHandle {
    registry: Arc<ResumeRegistry>,
    slot: Arc<ResumeSlot>,
    limits: ResumeLimits,
    /// Bytes kept for all clients of its address.
    owned: Arc<AtomicUsize>,
    /// Its place among those that are away.
    away: Option<u64>,
    pub pings: PingCount,
    /// Its client was given to another session, which has not answered yet.
    handed: Option<oneshot::Receiver<Box<Resumption>>>,
    /// The lost link, while it says its last words.
    pub closing: Option<super::ending::LastWords>,
    /// The other doors, until the client has said its first words: it may come back to a session of theirs.
    pub abroad: Option<Box<super::abroad::Abroad>>,
}

impl ResumeHandle {
    /// The slot of another connection, at the same place, with this key.
    pub fn find(&self, key: u128) -> Option<Arc<ResumeSlot>> {
        let slot = self.registry.places.lock().get(&key).map(Arc::clone)?;
        (slot.place == self.slot.place && !Arc::ptr_eq(&slot, &self.slot)).then_some(slot)
    }

    /// Gives its client to the session of `slot`; [`ResumeHandle::poll_handed`] says what came of it.
    pub fn hand_over(&mut self, slot: &ResumeSlot, back: Box<Resumption>) {
        self.handed = Some(slot.hand_over(back));
    }

    /// The same for a session of another door.
    pub fn handed_abroad(&mut self, outcome: oneshot::Receiver<Box<Resumption>>) {
        self.handed = Some(outcome);
    }

    /// What came of a hand-over, once it is known.
    pub fn poll_handed(&mut self, context: &mut Context<'_>) -> Poll<HandedOver> {
        let Some(handed) = &mut self.handed else { return Poll::Pending };
        let outcome = ready!(Pin::new(handed).poll(context));
        self.handed = None;
        Poll::Ready(outcome.map_or(HandedOver::Taken, HandedOver::Back))
    }

    /// Its client has no link from now on. With too many of those, the oldest is forgotten; with
    /// too many of one address, its own oldest.
    pub fn leave(&mut self) {
        self.registry.metrics.kept.inc();
        if self.away.is_some() {
            return;
        }
        let mut away = self.registry.away.lock();
        let holder = self.slot.holder;
        let held = away.held(holder);
        let free = self.limits.clients.saturating_sub(away.len());
        if held > 0 && !may_take(held, free) {
            let first = away.first_of(holder);
            self.registry.forget(&mut away, first);
        }
        self.away = Some(away.push(holder, Arc::clone(&self.slot)));
        self.registry.metrics.away.inc();
        while away.len() > self.limits.clients {
            let first = away.first_of_most();
            self.registry.forget(&mut away, first);
        }
    }

    /// Its client is about to be told something that may have to be kept. Near the most that is kept for its address, the
    /// oldest of that is forgotten, and near the most for all the oldest of the address with the most of them; one at a
    /// time: only when it is gone can be known what that gave back.
    pub fn make_room(&self) {
        let registry = &self.registry;
        let kept = usize::try_from(registry.held.get()).unwrap_or_default();
        let owned = self.owned.load(Ordering::Relaxed);
        let is_near = |held: usize, most: usize| held > most / 8 * 7;
        let of_all = is_near(kept, self.limits.held);
        let of_own = is_near(owned, most_of_one(self.limits.held, kept, owned));
        if (of_all || of_own) && registry.leaving.load(Ordering::Relaxed) == 0 {
            let mut away = registry.away.lock();
            let own = if of_own { away.first_of(self.slot.holder) } else { None };
            let first = own.or_else(|| if of_all { away.first_of_most() } else { None });
            registry.forget(&mut away, first);
        }
    }

    /// The client is back, over a link with this ping count.
    pub fn arrive(&mut self, pings: PingCount) {
        self.stay();
        self.closing = None;
        self.pings = pings;
        self.registry.metrics.returned.inc();
    }

    /// The client no longer counts as away.
    fn stay(&mut self) {
        if let Some(place) = self.away.take()
            && self.registry.away.lock().remove(place).is_some()
        {
            self.registry.metrics.away.dec();
        }
        if self.slot.is_evicted.swap(false, Ordering::AcqRel) {
            self.registry.leaving.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// True once the session must be dropped before its time.
    pub fn is_evicted(&self) -> bool {
        self.slot.is_evicted.load(Ordering::Acquire)
    }

    /// The link handed over, if there is one; otherwise the session is woken when there is.
    pub fn poll(&self, context: &Context<'_>) -> Option<HandOver> {
        self.slot.waker.register(context.waker());
        if !self.slot.is_handed.swap(false, Ordering::Acquire) {
            return None;
        }
        let mut handed = self.slot.handed.lock();
        match std::mem::replace(&mut *handed, Handed::Waits) {
            Handed::Over(back) => Some(back),
            other => {
                *handed = other;
                None
            }
        }
    }

    /// Its session ends: nobody comes back to it.
    pub fn close(&mut self) {
        self.registry.places.lock().remove(&self.slot.key);
        *self.slot.handed.lock() = Handed::Closed;
    }
}

impl Drop for ResumeHandle {
    fn drop(&mut self) {
        self.close();
        let mut places = self.registry.places.lock();
        // After a storm of them, its memory goes back.
        if places.len() < places.capacity() / 4 {
            let keep = places.len() * 2;
            places.shrink_to(keep);
        }
        drop(places);
        self.stay();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ResumeLimits = ResumeLimits { clients: 2, held: 800 };

    /// A registry, and the connections that it was asked for, each numbered by its key.
    struct World {
        registry: Arc<ResumeRegistry>,
        held: Gauge,
        place: Arc<str>,
    }

    impl World {
        fn new() -> World {
            let held = Gauge::default();
            let registry = ResumeRegistry::new(held.clone(), Arc::default(), &mut Registry::default());
            World { registry: Arc::new(registry), held, place: "/socket.io".into() }
        }

        /// One of the address that ends with `address`.
        fn one(&self, key: u128, address: u8) -> ResumeHandle {
            let holder = Holder::of([10, 0, 0, address].into());
            self.registry.register(key, &self.place, (ConnectionId(1), holder), LIMITS)
        }

        fn away(&self, key: u128, address: u8) -> ResumeHandle {
            let mut handle = self.one(key, address);
            handle.leave();
            handle
        }
    }

    fn evicted(handles: &[&ResumeHandle]) -> Vec<bool> {
        handles.iter().map(|handle| handle.is_evicted()).collect()
    }

    #[test]
    fn only_others_of_the_same_place_are_found() {
        let world = World::new();
        let (one, other) = (world.one(1, 1), world.one(2, 2));
        let elsewhere: Arc<str> = "/elsewhere".into();
        let third = world.registry.register(3, &elsewhere, (ConnectionId(3), Holder::Trusted), LIMITS);
        let finds = |handle: &ResumeHandle, key: u128| handle.find(key).is_some();
        assert!(finds(&one, 2) && finds(&other, 1));
        assert!(!finds(&one, 1) && !finds(&one, 3) && !finds(&third, 1) && !finds(&one, 4));
        drop(other);
        assert!(!finds(&one, 2), "it is over");
    }

    #[test]
    fn with_too_many_away_the_first_gives_way_and_each_counts_once() {
        let world = World::new();
        let (mut first, second) = (world.away(1, 1), world.away(2, 2));
        first.leave();
        assert_eq!((world.registry.away.lock().len(), world.registry.metrics.away.get()), (2, 2));
        let third = world.away(3, 3);
        assert_eq!(evicted(&[&first, &second, &third]), [true, false, false]);
        assert_eq!((world.registry.metrics.away.get(), world.registry.metrics.full.get()), (2, 1));
        drop(first);
        let fourth = world.away(4, 4);
        assert_eq!(evicted(&[&second, &third, &fourth]), [true, false, false]);
        let pings = PingCount::default();
        let mut third = third;
        third.arrive(pings);
        assert_eq!((world.registry.metrics.away.get(), world.registry.metrics.returned.get()), (1, 1));
        drop((second, third, fourth));
        assert_eq!(world.registry.metrics.away.get(), 0);
        assert_eq!(world.registry.leaving.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn near_the_most_that_is_kept_one_at_a_time_gives_way() {
        let world = World::new();
        let (first, second, here) = (world.away(1, 1), world.away(2, 2), world.one(3, 3));
        world.held.set(600);
        here.make_room();
        assert_eq!(evicted(&[&first, &second]), [false, false], "there is room");
        world.held.set(750);
        here.make_room();
        here.make_room();
        let which = evicted(&[&first, &second]);
        assert!(which[0] != which[1], "one, and its bytes are waited for: {which:?}");
        drop(if which[0] { first } else { second });
        here.make_room();
        assert_eq!(world.registry.metrics.full.get(), 2, "the next");
    }

    #[test]
    fn whose_own_share_is_used_up_gives_way_itself() {
        let world = World::new();
        let (other, own, here) = (world.away(1, 1), world.away(2, 2), world.one(3, 2));
        // Half of what it leaves free.
        world.held.set(390);
        here.owned.store(390, Ordering::Relaxed);
        here.make_room();
        assert_eq!(evicted(&[&other, &own]), [false, true]);
        drop(own);
        here.make_room();
        assert!(!other.is_evicted(), "another's is not taken for it");
    }

    #[test]
    fn after_a_storm_the_memory_goes_back() {
        let world = World::new();
        let storm: Vec<_> = (0..1000).map(|key| world.one(key, 1)).collect();
        assert!(world.registry.places.lock().capacity() >= 1000);
        drop(storm);
        assert!(world.registry.places.lock().capacity() < 100);
        let few: Vec<_> = (0..3).map(|key| world.one(key, 1)).collect();
        assert_eq!(world.registry.places.lock().len(), few.len());
    }
}
