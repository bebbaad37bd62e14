//! Post that is carried to clients while their sessions sleep: what fan-out costs a client is a write, not a task's turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::Hub;
use super::lane::Lane;
use super::outbox::{Entry, Item};
use crate::realtime::vocabulary::{ConnectionId, Parcel};

/// The way to a client past its session. It belongs to the mailbox for as long as the session lives.
pub trait Carrier: Send + Sync {
    /// Takes what waits and writes it. `None` where the session has to: it is at work, or what waits is for its machine.
    fn carry(&self, waiting: Waiting<'_>) -> Option<Carried>;
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    pub messages: u64,
    /// Bytes, with headers.
    pub bytes: u64,
    /// Not all went out: the session writes the rest.
    pub is_stuck: bool,
}

/// What waits in a mailbox, until it is taken.
pub struct Waiting<'a> {
    lane: &'a Lane,
    id: ConnectionId,
    entries: &'a mut VecDeque<Entry>,
}

impl<'a> Waiting<'a> {
    /// All of it, in order, where it is nothing but parcels. What comes from now on is for the next round.
    pub fn take(self) -> Option<impl Iterator<Item = Parcel> + 'a> {
        let Waiting { lane, id, entries } = self;
        let is_taken = lane.lock().take_parcels(id, entries);
        is_taken.then(|| {
            entries.drain(..).filter_map(|entry| match entry.item {
                Item::Parcel(parcel) => Some(parcel),
                _ => None,
            })
        })
    }
}

/// Memory for rounds, used again and again.
#[derive(Default)]
pub struct Round {
    due: Vec<(ConnectionId, Arc<dyn Carrier>)>,
    entries: VecDeque<Entry>,
}

/// How many clients get theirs before other tasks have a turn.
const ROUND: usize = 64;

impl Hub {
    /// How many lanes there are to be carried, each by one courier.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// From now on every lane has a courier, who calls [`Hub::poll_carry`] until the hub is gone.
    pub fn has_couriers(&self) {
        self.is_carried.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_carried(&self) -> bool {
        self.is_carried.load(Ordering::Relaxed)
    }

    /// Carries what waits in a lane, for some clients at a time. Pending when nothing waits; then its courier is woken
    /// when something comes.
    pub fn poll_carry(&self, lane: usize, round: &mut Round, context: &Context<'_>) -> Poll<Carried> {
        let lane = &self.lanes[lane];
        if !lane.due(&mut round.due, ROUND, context) {
            return Poll::Pending;
        }
        let mut sum = Carried::default();
        for (id, carrier) in round.due.drain(..) {
            round.entries.clear();
            let carried = carrier.carry(Waiting { lane, id, entries: &mut round.entries });
            if carried.is_none_or(|carried| carried.is_stuck) {
                lane.lock().rouse(id);
            }
            let carried = carried.unwrap_or_default();
            sum.messages += carried.messages;
            sum.bytes += carried.bytes;
        }
        Poll::Ready(sum)
    }
}
