//! Who hears what: channels and their subscribers, fan-out, presence, history, slow clients.
//!
//! Locks, in the order in which they may be taken: a shard of the directory, a channel, a shard of mailboxes. The
//! board of questions is taken alone, the order of empty channels last. None is held across an await, and none is a
//! client's own; what a [`DirectWriter`]
//! locks it locks before a shard. The hub has no clock and no task: whoever calls says what time it
//! is, and calls [`Hub::sweep`] now and then.

pub mod outbox;
pub mod parts;
pub mod policy;

mod direct_writer;
mod flusher;
mod channel;
mod client;
mod cluster;
mod config;
mod directory;
mod document_limits;
pub mod documents;
mod fanout;
mod mailboxes;
mod events;
mod everywhere;
mod headcount;
mod metrics;
mod mirror;
mod presence;
mod presence_log;
mod publish;
mod questions;
mod reading;
mod remedy;
mod resting;
mod retention;
mod sync;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use sync::{Mutex, MutexGuard};

pub use client::{Authority, Client, Held, PublishRates};
pub use cluster::{Claimed, DOORS_PATIENCE, DoorClaim, DoorQuestion, DoorReplies, Teller, Told};
pub use config::Config;
pub use direct_writer::{DirectWriter, Queued, Written};
pub use events::{HubEvent, Observer};
pub use everywhere::{AskedEverywhere, ChannelQuery, ConnectionFound, ListedChannel};
pub use flusher::FlushBatch;
pub use mailboxes::Delivery;
pub use metrics::Metrics;
pub use outbox::Backlog;
pub use presence_log::PresenceChange;
pub use questions::{AckReply, Answers};
pub use reading::{ChannelOverview, Past};

use channel::{ChannelEntry, ChannelState};
use cluster::Cluster;
use directory::Directory;
use documents::Documents;
use fanout::{DeliveryKind, FanOut, Recipients};
use mailboxes::{MailboxAddress, MailboxShard};
use outbox::{Item, OutboxEntry, Pushed, Slow};
use policy::Allowed;
use questions::Questions;
use remedy::{Remedy, Verb};

use crate::shares::{Holder, Owners};

use super::vocabulary::{
    Channel, Command, ConnectionId, DisconnectReason, Event, Identity, Member, Moment, Presence, Subscribe,
};

/// Pauses of one message for clients that have to write first, at most; and the length of each, once others
/// than this thread must be at it.
const WAYS_GIVEN: usize = 100;
const WRITER_PAUSE: Duration = Duration::from_millis(1);

/// The hub. Shared by every session and by the doors of the app and the operator.
pub struct Hub {
    config: RwLock<Arc<Config>>,
    directory: Directory,
    shards: Vec<MailboxShard>,
    next_lane: AtomicUsize,
    crowded: Arc<AtomicUsize>,
    has_direct_writes: AtomicBool,
    known: Known,
    observers: RwLock<Vec<Arc<dyn Observer>>>,
    history: AtomicUsize,
    /// Of what the histories keep.
    owners: Owners,
    questions: Questions,
    remedy: Remedy,
    metrics: Metrics,
    added: Added,
}

/// What not every hub has.
#[derive(Default)]
struct Added {
    documents: OnceLock<Arc<Documents>>,
    /// The other doors.
    cluster: OnceLock<Cluster>,
}

/// Who is known by more than the number of its connection.
#[derive(Default)]
struct Known {
    /// The connections of each user.
    users: Mutex<HashMap<Arc<str>, Vec<ConnectionId>>>,
    /// The identities of connections that have one.
    identities: Mutex<HashMap<ConnectionId, Arc<Identity>>>,
}

impl Hub {
    /// A hub whose mailboxes lie in `shards` shards: about as many as there are threads.
    pub fn new(config: Config, shards: usize, metrics: Metrics) -> Hub {
        let crowded = Arc::new(AtomicUsize::new(0));
        // Another in each run, so that neither positions nor ids of an earlier run mean anything in this one.
        let run = u32::try_from(RandomState::new().hash_one("run") >> 32).unwrap_or_default();
        let shards = (0..shards.clamp(1, 64)).map(|number| {
            let number = u8::try_from(number).unwrap_or(u8::MAX);
            MailboxShard::new(number, run, Arc::clone(&crowded))
        });
        Hub {
            directory: Directory::new(run, config.max_channels),
            config: RwLock::new(Arc::new(config)),
            shards: shards.collect(),
            next_lane: AtomicUsize::new(0),
            crowded,
            has_direct_writes: AtomicBool::new(false),
            known: Known::default(),
            observers: RwLock::default(),
            history: AtomicUsize::new(0),
            owners: Owners::default(),
            questions: Questions::default(),
            remedy: Remedy::default(),
            metrics,
            added: Added::default(),
        }
    }

    /// Channels may own documents from now on. Only the first call counts.
    pub fn keep_documents(&self, documents: Arc<Documents>) {
        let _ = self.added.documents.set(documents);
    }

    /// The documents of its channels, if they may own any.
    pub fn documents(&self) -> Option<&Arc<Documents>> {
        self.added.documents.get()
    }

    /// The other doors, if there are any.
    fn cluster(&self) -> Option<&Cluster> {
        self.added.cluster.get()
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read())
    }

    /// A client of the hub, until it is dropped; `None` when no more fit. What it opens counts against `holder`.
    pub fn join(self: &Arc<Self>, holder: Holder) -> Option<Client> {
        let first = self.next_lane.fetch_add(1, Ordering::Relaxed);
        let shards = self.shards.len();
        let opened = (0..shards).find_map(|further| self.shards[(first + further) % shards].open());
        let (id, _) = opened?;
        self.metrics.connections.inc();
        Some(Client::new(Arc::clone(self), id, holder))
    }

    /// Takes over another config: channels keep their subscribers, members and positions under their new policies.
    pub fn reload(&self, config: Config, now: Instant) {
        self.directory.limit(config.max_channels);
        if let Some(documents) = self.documents() {
            documents.reload(config.documents.clone());
        }
        *self.config.write() = Arc::new(config);
        let config = self.config();
        for entry in self.directory.all() {
            let mut state = entry.state.lock();
            state.policy = Arc::new(config.policy(&entry.name));
            self.trim(&mut state, now);
        }
    }

    /// Does what time brings: members leave when their grace is over, histories age, empty channels are forgotten.
    /// `part` of so many [`Hub::parts`]; call each about once a second.
    pub fn sweep(&self, part: usize, now: Moment) {
        let config = self.config();
        for entry in self.directory.shard_cells(part) {
            let mut state = entry.state.lock();
            self.trim(&mut state, now.instant);
            self.sweep_shared(&entry, &mut state, now.instant);
            let left = state.members.sweep(now.instant);
            if !left.is_empty() {
                state.quiet_since = now.instant;
            }
            for member in left {
                self.metrics.members.dec();
                self.notify_presence(&entry, &mut state, Presence::Left, &member, now);
            }
            self.tell_occupancy(&entry, &mut state);
            let is_empty = state.is_empty();
            self.directory.settle(&entry, &mut state);
            drop(state);
            if is_empty {
                self.directory.forget(&entry, config.forget_after, now.instant);
            }
        }
        self.metrics.channels.set(i64::try_from(self.directory.len()).unwrap_or(i64::MAX));
        self.metrics.history_bytes.set(i64::try_from(self.history.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
    }

    pub fn parts(&self) -> usize {
        self.directory.shards()
    }

    /// True while mailboxes fill up whose sessions were woken and have not had their turn: whoever is about to publish
    /// should give them one first.
    pub fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed) > 0
    }

    /// Lets clients write whose mailboxes fill up, for a while: before each of many messages that are published at once.
    pub async fn yield_to_writers(&self) {
        for given in 0..2 * WAYS_GIVEN {
            if !self.is_crowded() {
                return;
            }
            if given < WAYS_GIVEN {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(WRITER_PAUSE).await;
            }
        }
    }

    /// Ends a connection. Says whether there was such a one.
    pub fn disconnect(&self, id: ConnectionId, why: DisconnectReason) -> bool {
        self.with_mailbox(id, |mailboxes, slot| mailboxes.end(slot, why)).is_some()
    }

    /// Has a connection's session carry out a command, in order with what it is sent. For the app: nothing is asked.
    pub fn send_command(&self, id: ConnectionId, command: Command) -> bool {
        self.push_to(id, Item::Command(Box::new(command)), 64)
    }

    /// The connections of a user.
    pub fn connections_of(&self, user: &str) -> Vec<ConnectionId> {
        self.known.users.lock().get(user).cloned().unwrap_or_default()
    }

    /// The identity of a connection, if it has one.
    pub fn identity_of(&self, id: ConnectionId) -> Option<Arc<Identity>> {
        self.known.identities.lock().get(&id).map(Arc::clone)
    }

    /// Every connection.
    pub fn connections(&self) -> Vec<ConnectionId> {
        self.shards.iter().flat_map(|shard| shard.lock().all().map(|(_, id)| id).collect::<Vec<_>>()).collect()
    }

    /// The channels there are, but for reserved ones, and how many subscribe to each.
    pub fn channels(&self) -> Vec<(Channel, usize)> {
        let entries = self.directory.all().into_iter().filter(|entry| !entry.name.is_reserved());
        entries.map(|entry| (entry.name.clone(), entry.state.lock().subscribers())).collect()
    }

    /// True if clients hear `channel` only by the app's own doing, whatever they ask for.
    pub fn is_for_app_alone(&self, channel: &Channel) -> bool {
        self.config().policy(channel).subscribe == Allowed::App
    }

    /// True if the app has to admit connections to `channel` by name that are not in it: no section names it, and who the
    /// connection is says nothing of this channel.
    pub fn is_kept_from_strangers(&self, channel: &Channel) -> bool {
        let is_kept = self.config().is_left_to_app(channel);
        if is_kept {
            self.remedy.warn(Verb::Hear, channel);
        }
        is_kept
    }

    /// Puts `item` into one connection's mailbox. One that reads too slowly for it is closed.
    fn push_to(&self, id: ConnectionId, item: Item, bytes: u32) -> bool {
        let limits = self.config().outbox;
        let pushed = self.with_mailbox(id, |mailboxes, slot| {
            let entry = OutboxEntry { item, channel: 0, bytes, offset: 0 };
            let pushed = mailboxes.push(slot, entry, Slow::Disconnect, &limits);
            if pushed == Pushed::Full {
                self.metrics.dropped(Slow::Disconnect, 1);
                mailboxes.end_slow(slot, None);
            }
            pushed
        });
        pushed == Some(Pushed::Queued)
    }

    fn with_mailbox<T>(&self, id: ConnectionId, act: impl FnOnce(&mut mailboxes::Mailboxes, u32) -> T) -> Option<T> {
        let address = MailboxAddress::of(id);
        let mut mailboxes = self.shards.get(usize::from(address.shard))?.lock();
        mailboxes.is_at(address.slot, id).then(|| act(&mut mailboxes, address.slot))
    }

    fn shard(&self, address: MailboxAddress) -> &MailboxShard {
        &self.shards[usize::from(address.shard)]
    }

    /// The channel `name` as it is, locked, if there is one.
    fn with_channel<T>(
        &self,
        name: &Channel,
        act: impl FnOnce(&Arc<ChannelEntry>, MutexGuard<ChannelState>) -> T,
    ) -> Option<T> {
        let entry = self.directory.find(name)?;
        let state = entry.state.lock();
        (!state.is_gone).then(|| act(&entry, state))
    }

    /// The channel `name`, made for `holder` if need be, locked. Empty ones give way to it; `None` when there are too
    /// many that do not, or the holder has its share.
    fn channel<T>(
        &self,
        name: &Channel,
        holder: Holder,
        now: Instant,
        act: impl FnOnce(&Arc<ChannelEntry>, &mut ChannelState) -> T,
    ) -> Option<T> {
        let config = self.config();
        let terms = || (Arc::new(config.policy(name)), parts::part_of(&config.parts, name));
        loop {
            let entry = self.directory.find_or_make(name, holder, now, terms)?;
            let mut state = entry.state.lock();
            if state.is_gone {
                continue;
            }
            let done = act(&entry, &mut state);
            // A new one that nobody came into after all is empty as any other.
            self.directory.settle(&entry, &mut state);
            return Some(done);
        }
    }

    /// Takes `connections` out of the presence of a channel, before they have left by themselves.
    fn take_out(&self, channel: &Channel, connections: &[ConnectionId], now: Moment) {
        self.with_channel(channel, |entry, mut state| {
            for member in state.members.take_out(connections) {
                self.metrics.members.dec();
                self.notify_presence(entry, &mut state, Presence::Left, &member, now);
            }
            state.quiet_since = now.instant;
            self.directory.settle(entry, &mut state);
        });
    }

    fn trim(&self, state: &mut ChannelState, now: Instant) {
        let before = state.log.bytes() + state.presence_log.bytes();
        let keeps = state.keeps(now);
        state.log.trim(keeps, now);
        state.presence_log.trim(keeps.wish, now);
        self.account(before, state.log.bytes() + state.presence_log.bytes());
    }

    /// Keeps the books of what all histories hold.
    fn account(&self, before: usize, after: usize) {
        if after >= before {
            self.history.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.history.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Tells those who want to know what became of a member.
    fn notify_presence(
        &self,
        entry: &ChannelEntry,
        state: &mut ChannelState,
        change: Presence,
        member: &Arc<Member>,
        now: Moment,
    ) {
        let user_stays = state.members.has_other(member);
        match change {
            Presence::Joined => self.emit(&HubEvent::Came { channel: &entry.name, member, user_stays }),
            Presence::Left => {
                self.emit(&HubEvent::Went { channel: &entry.name, member, user_stays, elsewhere: false });
            }
            Presence::Updated => {}
        }
        self.tell_presence(entry, state, (change, member), user_stays, now);
    }

    /// The same for what has happened on another door, whose observers know.
    fn tell_presence(
        &self,
        entry: &ChannelEntry,
        state: &mut ChannelState,
        (change, member): (Presence, &Arc<Member>),
        user_stays: bool,
        now: Moment,
    ) {
        if state.keeps(now.instant).wish.is_some() {
            let before = state.presence_log.bytes();
            let others = self.history.load(Ordering::Relaxed).saturating_sub(before);
            let room = self.config().max_history.bytes().saturating_sub(others);
            let change = PresenceChange { change, member: Arc::clone(member), unix_ms: now.unix_ms };
            state.presence_log.push(change, room, now.instant);
            self.account(before, state.presence_log.bytes());
        }
        if !state.policy.notices {
            return;
        }
        let (channel, member) = (entry.name.clone(), Arc::clone(member));
        let event = Event::Presence { channel, change, member, user_stays, unix_ms: now.unix_ms };
        let limits = self.config().outbox;
        let hearing = Recipients { notices: true, ..Recipients::default() };
        self.fan_out_with(&limits).fan_out(entry, state, &event, DeliveryKind::Notice, hearing);
    }

    /// Tells one that comes into a channel how many are in it, where it wants to know.
    fn tell_newcomer(&self, id: ConnectionId, wish: &Subscribe, state: &mut ChannelState) {
        if wish.occupancy {
            let (channel, occupancy) = (wish.channel.clone(), state.first_occupancy());
            self.push_to(id, Item::Event(Arc::new(Event::Occupancy { channel, occupancy })), 64);
        }
    }

    /// Tells those who want to know how many are in a channel, where it is no longer what they know.
    fn tell_occupancy(&self, entry: &ChannelEntry, state: &mut ChannelState) {
        let Some(occupancy) = state.changed_occupancy() else { return };
        let event = Event::Occupancy { channel: entry.name.clone(), occupancy };
        let hearing = Recipients { occupancy: true, ..Recipients::default() };
        let limits = self.config().outbox;
        self.fan_out_with(&limits).fan_out(entry, state, &event, DeliveryKind::Notice, hearing);
    }

    fn fan_out_with<'a>(&'a self, limits: &'a outbox::OutboxLimits) -> FanOut<'a> {
        FanOut { shards: &self.shards, limits, metrics: &self.metrics }
    }
}
