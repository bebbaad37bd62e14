//! Where conversations lie that may go on over another link: a client that lost its own shows the key and is let back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Context;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::Record;
use crate::realtime::gate::{Gate, Visitor};
use crate::realtime::link::{Beats, Link};
use crate::realtime::vocabulary::{ConnectionId, Frame, Rights};
use crate::telemetry::Registry;

/// All berths of this process. One for each connection that can be recovered, until it is over.
#[derive(Debug)]
pub struct Berths {
    places: Mutex<HashMap<u128, Arc<Berth>>>,
    /// Those whose connections have no link.
    away: AtomicUsize,
    numbers: Numbers,
}

#[derive(Debug, Clone, Default)]
struct Numbers {
    away: Gauge,
    kept: Counter,
    returned: Counter,
    full: Counter,
}

impl Berths {
    pub fn new(registry: &mut Registry) -> Berths {
        let numbers = Numbers::default();
        let registry = registry.sub_registry_with_prefix("realtime");
        registry.register("recovery_away", "Clients without a link that may come back", numbers.away.clone());
        registry.register("recovery_kept", "Clients that lost their link and were kept", numbers.kept.clone());
        registry.register("recovery_returned", "Clients that came back by another link", numbers.returned.clone());
        registry.register("recovery_full", "Clients that were not kept: too many are", numbers.full.clone());
        Berths { places: Mutex::default(), away: AtomicUsize::new(0), numbers }
    }

    /// A berth for `connection`, that whoever knows `key` finds at the same `place`; `most` may be away at a time.
    pub fn moor(self: &Arc<Self>, key: u128, place: &Arc<str>, connection: ConnectionId, most: usize) -> Mooring {
        let berth = Arc::new(Berth {
            key,
            place: Arc::clone(place),
            connection,
            is_handed: AtomicBool::new(false),
            handed: Mutex::new(Handed::Waits),
            waker: AtomicWaker::new(),
        });
        self.places.lock().insert(key, Arc::clone(&berth));
        Mooring { berths: Arc::clone(self), berth, most, is_away: false, beats: Beats::default(), closing: None }
    }
}

/// One connection's berth.
#[derive(Debug)]
pub struct Berth {
    key: u128,
    place: Arc<str>,
    connection: ConnectionId,
    is_handed: AtomicBool,
    handed: Mutex<Handed>,
    waker: AtomicWaker,
}

enum Handed {
    Waits,
    /// At most one: a second takes its place, as the latest link is the client's.
    Over(Box<Return>),
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

/// A client that comes back: its new link, and what is known of it.
pub struct Return {
    pub link: Box<dyn Link>,
    pub record: Option<Record>,
    pub gate: Option<(Arc<dyn Gate>, Arc<Visitor>)>,
    pub rights: Option<Rights>,
    /// What it said.
    pub frame: Frame,
}

impl Berth {
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Gives it to the session of this berth.
    ///
    /// # Errors
    /// It back, where that session is over.
    pub fn hand_over(&self, back: Box<Return>) -> Result<(), Box<Return>> {
        let mut handed = self.handed.lock();
        if matches!(*handed, Handed::Closed) {
            return Err(back);
        }
        *handed = Handed::Over(back);
        drop(handed);
        self.is_handed.store(true, Ordering::Release);
        self.waker.wake();
        Ok(())
    }
}

/// A session's side of its berth. Dropped, nobody finds it any more.
pub struct Mooring {
    berths: Arc<Berths>,
    berth: Arc<Berth>,
    most: usize,
    is_away: bool,
    pub beats: Beats,
    /// The lost link, while it says its last words.
    pub closing: Option<super::ending::Closing>,
}

impl Mooring {
    /// The berth of another connection, at the same place, with this key.
    pub fn find(&self, key: u128) -> Option<Arc<Berth>> {
        let berth = self.berths.places.lock().get(&key).map(Arc::clone)?;
        (berth.place == self.berth.place && !Arc::ptr_eq(&berth, &self.berth)).then_some(berth)
    }

    /// Its client has no link from now on. False where too many have none.
    pub fn leave(&mut self) -> bool {
        if self.is_away {
            return true;
        }
        let (berths, most) = (&self.berths, self.most);
        let more = |away: usize| (away < most).then_some(away + 1);
        if berths.away.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            berths.numbers.full.inc();
            return false;
        }
        berths.numbers.away.inc();
        self.is_away = true;
        true
    }

    /// What it leaves is worth coming back to.
    pub fn kept(&self) {
        self.berths.numbers.kept.inc();
    }

    /// It has come back, and its new link has asked and answered so often.
    pub fn arrive(&mut self, beats: Beats) {
        self.stay();
        self.closing = None;
        self.beats = beats;
        self.berths.numbers.returned.inc();
    }

    /// It counts as away no more.
    pub fn stay(&mut self) {
        if std::mem::take(&mut self.is_away) {
            self.berths.away.fetch_sub(1, Ordering::Relaxed);
            self.berths.numbers.away.dec();
        }
    }

    /// What was handed over; else its session is woken when something is.
    pub fn poll(&self, context: &Context<'_>) -> Option<Box<Return>> {
        self.berth.waker.register(context.waker());
        if !self.berth.is_handed.swap(false, Ordering::Acquire) {
            return None;
        }
        let mut handed = self.berth.handed.lock();
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
        self.berths.places.lock().remove(&self.berth.key);
        *self.berth.handed.lock() = Handed::Closed;
    }
}

impl Drop for Mooring {
    fn drop(&mut self) {
        self.close();
        let mut places = self.berths.places.lock();
        // After a storm of them, its memory goes back.
        if places.len() < places.capacity() / 4 {
            let keep = places.len() * 2;
            places.shrink_to(keep);
        }
        drop(places);
        self.stay();
    }
}
