//! Mailboxes, a shard of them under one lock: fan-out takes the lock once a shard, not once a client.

mod lingering;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use super::sync::{Mutex, MutexGuard};
use slab::Slab;

use super::direct_writer::DirectWriter;
use super::outbox::{Backlog, Outbox, OutboxEntry, OutboxLimits, Pushed, Slow};
use crate::realtime::vocabulary::{Channel, ConnectionId, DisconnectReason};

/// The address of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MailboxAddress {
    pub shard: u8,
    pub slot: u32,
}

/// A connection's id says where its mailbox is, so that no directory is needed: 8 bits shard, 24 bits slot, and a
/// generation that tells one use of a slot from the next.
impl MailboxAddress {
    pub const MOST_SLOTS: usize = 1 << 24;

    fn id(self, generation: u32) -> ConnectionId {
        ConnectionId(u64::from(generation) << 32 | u64::from(self.slot) << 8 | u64::from(self.shard))
    }

    pub fn of(id: ConnectionId) -> MailboxAddress {
        let bytes = id.0.to_le_bytes();
        MailboxAddress { shard: bytes[0], slot: u32::from_le_bytes([bytes[1], bytes[2], bytes[3], 0]) }
    }
}

/// Bytes taken from a mailbox at a time: what is taken can no longer be dropped.
pub const BATCH_BYTES: usize = 64 * 1024;

/// Mailboxes for which a shard may keep its due list allocated while none is due.
const MAX_SPARE: usize = 4096;

/// A shard of the mailboxes, under one lock; there are about as many shards as threads.
pub struct MailboxShard {
    number: u8,
    inner: Mutex<Mailboxes>,
    /// Mailboxes that fill up while their sessions have not yet had their turn: who publishes should let them.
    crowded: Arc<AtomicUsize>,
}

/// The mailboxes of a shard, locked.
pub struct Mailboxes {
    slots: Slab<Mailbox>,
    generation: u32,
    crowded: Arc<AtomicUsize>,
    /// Whose delivery is to be written, each once: bounded by the mailboxes.
    due: VecDeque<u32>,
    /// In whose outbox something lingers until the flusher has had its pause, each once: bounded as `due` is.
    lingering: VecDeque<u32>,
    flusher: Option<Waker>,
}

struct Mailbox {
    id: ConnectionId,
    outbox: Outbox,
    /// Whom it is known as.
    user: Option<Arc<str>>,
    waker: Option<Waker>,
    /// The direct writer that is told, in place of the session, that something came.
    writer: Option<Arc<dyn DirectWriter>>,
    turn: SessionTurn,
    is_due: bool,
    lingers: bool,
    crowded: bool,
    closing: Option<Box<Ordered>>,
    /// A close was ordered: after what waits already, nothing more is taken.
    is_ended: bool,
    /// An order among what waits ends the connection, or a part of it.
    has_end: bool,
    /// Channels that go on in the history, from which offset. Bounded by the client's subscriptions.
    behind: Vec<(u32, u64)>,
}

/// The order to close, and what had waited where that is the reason.
#[derive(Debug)]
pub struct Ordered {
    pub why: DisconnectReason,
    pub backlog: Option<Backlog>,
}

/// Whose move it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SessionTurn {
    /// The session sleeps until something comes.
    Asleep,
    /// Something came, and the session was woken or the flusher was told.
    Woken,
    /// The session is writing, and looks again when it is done.
    Busy,
}

/// The content of a mailbox, as its session takes it.
#[derive(Debug, Default)]
pub struct Delivery {
    pub entries: VecDeque<OutboxEntry>,
    pub behind: Vec<(u32, u64)>,
    pub closing: Option<Box<Ordered>>,
    /// Nothing was left behind.
    pub is_all: bool,
}

impl Delivery {
    /// Drops what was taken of a channel that the client has left.
    pub fn forget(&mut self, channel: u32) {
        self.entries.retain(|entry| entry.channel != channel);
        self.behind.retain(|(behind, _)| *behind != channel);
    }
}

impl MailboxShard {
    pub fn new(number: u8, generation: u32, crowded: Arc<AtomicUsize>) -> MailboxShard {
        let inner = Mutex::new(Mailboxes {
            slots: Slab::new(),
            generation,
            crowded: Arc::clone(&crowded),
            due: VecDeque::new(),
            lingering: VecDeque::new(),
            flusher: None,
        });
        MailboxShard { number, inner, crowded }
    }

    pub fn lock(&self) -> MutexGuard<'_, Mailboxes> {
        self.inner.lock()
    }

    /// The address of its first slot.
    pub fn address(&self) -> MailboxAddress {
        MailboxAddress { shard: self.number, slot: 0 }
    }

    /// A new mailbox; `None` when the shard is full.
    pub fn open(&self) -> Option<(ConnectionId, MailboxAddress)> {
        let mut inner = self.lock();
        if inner.slots.len() >= MailboxAddress::MOST_SLOTS {
            return None;
        }
        inner.generation = inner.generation.wrapping_add(1);
        let generation = inner.generation;
        let entry = inner.slots.vacant_entry();
        let address = MailboxAddress { shard: self.number, slot: u32::try_from(entry.key()).ok()? };
        let id = address.id(generation);
        entry.insert(Mailbox {
            id,
            outbox: Outbox::default(),
            user: None,
            waker: None,
            writer: None,
            turn: SessionTurn::Busy,
            is_due: false,
            lingers: false,
            crowded: false,
            closing: None,
            is_ended: false,
            has_end: false,
            behind: Vec::new(),
        });
        Some((id, address))
    }

    /// Takes the mailbox away, with what still waits in it. Nothing may be addressed to it any more.
    pub fn close(&self, address: MailboxAddress) {
        let mut inner = self.lock();
        let mailbox = inner.slots.remove(address.slot as usize);
        if mailbox.crowded {
            self.crowded.fetch_sub(1, Ordering::Relaxed);
        }
        drop(inner);
    }

    /// Up to `most` of those whose delivery is to be written; where there are none, the flusher is woken when there are.
    pub fn due(
        &self,
        due: &mut Vec<(ConnectionId, Arc<dyn DirectWriter>)>,
        most: usize,
        context: &Context<'_>,
    ) -> bool {
        let mut inner = self.lock();
        let Mailboxes { slots, due: waiting, flusher, .. } = &mut *inner;
        while due.len() < most
            && let Some(slot) = waiting.pop_front()
        {
            let Some(mailbox) = slots.get_mut(slot as usize) else { continue };
            mailbox.is_due = false;
            due.extend(mailbox.writer.as_ref().map(|writer| (mailbox.id, Arc::clone(writer))));
        }
        if waiting.is_empty() && waiting.capacity() > MAX_SPARE {
            *waiting = VecDeque::new();
        }
        if due.is_empty() && !flusher.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *flusher = Some(context.waker().clone());
        }
        !due.is_empty()
    }

    /// The session writes, and takes no more before that is done: it need not be waited for, and is woken only for its
    /// end. True where that has been ordered.
    pub fn busy(&self, address: MailboxAddress, context: &Context<'_>) -> bool {
        let mut inner = self.lock();
        let Some(mailbox) = inner.slots.get_mut(address.slot as usize) else { return false };
        mailbox.turn = SessionTurn::Busy;
        if std::mem::take(&mut mailbox.crowded) {
            self.crowded.fetch_sub(1, Ordering::Relaxed);
        }
        if !mailbox.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            mailbox.waker = Some(context.waker().clone());
        }
        mailbox.closing.is_some() || mailbox.has_end
    }

    /// The session takes no more, ever.
    pub fn retire(&self, address: MailboxAddress) {
        if let Some(mailbox) = self.lock().slots.get_mut(address.slot as usize) {
            mailbox.turn = SessionTurn::Busy;
            if std::mem::take(&mut mailbox.crowded) {
                self.crowded.fetch_sub(1, Ordering::Relaxed);
            }
            mailbox.is_ended = true;
            mailbox.outbox = Outbox::default();
        }
    }

    /// Takes what waits, about `most` bytes of it, into `delivery`; sleeps when there is nothing.
    pub fn take(
        &self,
        address: MailboxAddress,
        delivery: &mut Delivery,
        most: usize,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let mut inner = self.lock();
        let Some(mailbox) = inner.slots.get_mut(address.slot as usize) else { return Poll::Pending };
        if std::mem::take(&mut mailbox.crowded) {
            self.crowded.fetch_sub(1, Ordering::Relaxed);
        }
        let is_empty = mailbox.outbox.is_empty() && mailbox.behind.is_empty() && mailbox.closing.is_none();
        mailbox.outbox.take(&mut delivery.entries, most);
        delivery.behind.append(&mut mailbox.behind);
        delivery.is_all = mailbox.outbox.is_empty();
        mailbox.has_end &= !delivery.is_all;
        // Last words come before the end, but for who reads too slowly: it may come back for them.
        let is_slow = mailbox.closing.as_deref().is_some_and(|ordered| ordered.why == DisconnectReason::Slow);
        delivery.closing = if delivery.is_all || is_slow { mailbox.closing.take() } else { None };
        // What comes from now on wakes it: it need not look again before that.
        mailbox.turn = if delivery.is_all { SessionTurn::Asleep } else { SessionTurn::Busy };
        if delivery.is_all && !mailbox.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            mailbox.waker = Some(context.waker().clone());
        }
        if is_empty { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Mailboxes {
    /// Puts an entry into a mailbox, and wakes its session if it sleeps.
    pub fn push(&mut self, slot: u32, entry: OutboxEntry, slow: Slow, limits: &OutboxLimits) -> Pushed {
        let Some(mailbox) = self.slots.get_mut(slot as usize).filter(|mailbox| !mailbox.is_ended) else {
            return Pushed::Gone;
        };
        let ends = entry.ends();
        let pushed = mailbox.outbox.push(entry, slow, limits);
        if ends && pushed == Pushed::Queued {
            mailbox.has_end = true;
            mailbox.wake_writing();
        }
        if mailbox.turn == SessionTurn::Woken && !mailbox.crowded && mailbox.outbox.len() * 2 > limits.messages {
            mailbox.crowded = true;
            self.crowded.fetch_add(1, Ordering::Relaxed);
        }
        if mailbox.turn == SessionTurn::Asleep && mailbox.writer.is_some() {
            mailbox.turn = SessionTurn::Woken;
            self.make_due(slot);
        } else {
            mailbox.wake();
        }
        pushed
    }

    fn make_due(&mut self, slot: u32) {
        let Some(mailbox) = self.slots.get_mut(slot as usize) else { return };
        if !std::mem::replace(&mut mailbox.is_due, true) {
            self.due.push_back(slot);
            if self.due.len() == 1
                && let Some(flusher) = &self.flusher
            {
                flusher.wake_by_ref();
            }
        }
    }

    /// Has its session look into the mailbox, whoever was told before.
    pub fn wake_session(&mut self, id: ConnectionId) {
        if let Some(mailbox) = self.slots.get_mut(MailboxAddress::of(id).slot as usize)
            && mailbox.id == id
            && mailbox.turn != SessionTurn::Busy
        {
            mailbox.turn = SessionTurn::Asleep;
            mailbox.wake();
        }
    }

    pub fn write_directly_by(&mut self, slot: u32, writer: Arc<dyn DirectWriter>) {
        if let Some(mailbox) = self.slots.get_mut(slot as usize) {
            mailbox.writer = Some(writer);
        }
    }

    /// Takes what waits where it is encoded and nothing else, and no more than one batch; the session sleeps on.
    pub fn take_encoded(&mut self, id: ConnectionId, entries: &mut VecDeque<OutboxEntry>) -> bool {
        let mailbox = self.slots.get_mut(MailboxAddress::of(id).slot as usize).filter(|mailbox| mailbox.id == id);
        let Some(mailbox) = mailbox else { return false };
        let is_open = mailbox.behind.is_empty() && mailbox.closing.is_none() && mailbox.turn != SessionTurn::Busy;
        if !is_open || !mailbox.outbox.take_encoded(entries, BATCH_BYTES) {
            return false;
        }
        mailbox.turn = SessionTurn::Asleep;
        if std::mem::take(&mut mailbox.crowded) {
            self.crowded.fetch_sub(1, Ordering::Relaxed);
        }
        true
    }

    /// Like [`Mailboxes::push`], but only where nothing waits but what lingers.
    pub fn push_volatile(&mut self, slot: u32, entry: OutboxEntry, limits: &OutboxLimits) -> Pushed {
        match self.slots.get(slot as usize) {
            Some(mailbox) if mailbox.outbox.is_empty() || mailbox.lingers && mailbox.turn == SessionTurn::Asleep => {
                self.push(slot, entry, Slow::Disconnect, limits)
            }
            _ => Pushed::Dropped(1),
        }
    }

    /// The channel goes on in the history from `next` on.
    pub fn fall_behind(&mut self, slot: u32, channel: u32, next: u64) {
        if let Some(mailbox) = self.slots.get_mut(slot as usize) {
            mailbox.behind.push((channel, next));
            mailbox.wake();
        }
    }

    /// Messages of a channel are gone, after one offset up to another: said in its place among what waits.
    pub fn lose(&mut self, slot: u32, channel: u32, (after, upto): (u64, u64)) {
        if let Some(mailbox) = self.slots.get_mut(slot as usize).filter(|mailbox| !mailbox.is_ended) {
            mailbox.outbox.mark(channel, after, upto);
            mailbox.wake();
        }
    }

    /// The connection is to end. The first reason stands.
    pub fn end(&mut self, slot: u32, why: DisconnectReason) {
        self.order(slot, |_| Ordered { why, backlog: None });
    }

    /// The same for a client that reads too slowly: something of `channel` did not fit beside what waits.
    pub fn end_slow(&mut self, slot: u32, channel: Option<&Channel>) {
        self.order(slot, |outbox| Ordered {
            why: DisconnectReason::Slow,
            backlog: Some(outbox.backlog(channel.cloned())),
        });
    }

    fn order(&mut self, slot: u32, ordered: impl FnOnce(&Outbox) -> Ordered) {
        if let Some(mailbox) = self.slots.get_mut(slot as usize) {
            if !mailbox.is_ended {
                mailbox.is_ended = true;
                mailbox.closing = Some(Box::new(ordered(&mailbox.outbox)));
                mailbox.wake_writing();
            }
            mailbox.wake();
        }
    }

    /// The backlog of a mailbox in which something of `channel` did not fit.
    pub fn backlog(&self, slot: u32, channel: Channel) -> Option<Backlog> {
        Some(self.slots.get(slot as usize)?.outbox.backlog(Some(channel)))
    }

    /// Drops what waits of a channel that the client has left.
    pub fn forget(&mut self, slot: u32, channel: u32) {
        if let Some(mailbox) = self.slots.get_mut(slot as usize) {
            mailbox.outbox.forget(channel);
            mailbox.behind.retain(|(behind, _)| *behind != channel);
        }
    }

    /// The connection is known as `user` from now on.
    pub fn identify(&mut self, slot: u32, user: &Arc<str>) {
        if let Some(mailbox) = self.slots.get_mut(slot as usize) {
            mailbox.user = Some(Arc::clone(user));
        }
    }

    pub fn is_half_full(&self, slot: u32, limits: &OutboxLimits) -> bool {
        self.slots.get(slot as usize).is_some_and(|mailbox| mailbox.outbox.is_half_full(limits))
    }

    /// Whose mailbox is at `slot`.
    pub fn id(&self, slot: u32) -> Option<ConnectionId> {
        self.slots.get(slot as usize).map(|mailbox| mailbox.id)
    }

    pub fn user(&self, slot: u32) -> Option<Arc<str>> {
        self.slots.get(slot as usize)?.user.clone()
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True when `id` is the connection whose mailbox is at `slot`, and not an earlier one's.
    pub fn is_at(&self, slot: u32, id: ConnectionId) -> bool {
        self.slots.get(slot as usize).is_some_and(|mailbox| mailbox.id == id)
    }

    pub fn all(&self) -> impl Iterator<Item = (u32, ConnectionId)> + '_ {
        self.slots.iter().map(|(slot, mailbox)| (u32::try_from(slot).unwrap_or(u32::MAX), mailbox.id))
    }
}

impl Mailbox {
    /// Wakes a session that is busy writing: the link may take nothing, and its end must not wait for that.
    fn wake_writing(&self) {
        if self.turn == SessionTurn::Busy
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }

    fn wake(&mut self) {
        if self.turn == SessionTurn::Asleep {
            self.turn = SessionTurn::Woken;
            if let Some(waker) = &self.waker {
                waker.wake_by_ref();
            }
        }
    }
}
