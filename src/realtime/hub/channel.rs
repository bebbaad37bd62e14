//! One channel: its subscribers, its log and its members, under one lock that gives all of them one order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sync::Mutex;
use slab::Slab;

use super::headcount::{Headcount, Wants};
use super::mailboxes::MailboxAddress;
use super::mirror::Mirror;
use super::policy::Policy;
use super::presence::Members;
use super::presence_log::PresenceLog;
use super::retention::{Named, Retention};
use crate::realtime::broker::memory::{Keep, Keeps, Log};
use crate::realtime::vocabulary::{Channel, Encoding, Epoch, Occupancy, Receipt};
use crate::shares::{Count, Holder, Share};

/// A channel, shared by the directory and its subscribers.
pub struct ChannelEntry {
    pub name: Channel,
    /// Its name among the channels of this run, for entries in outboxes; never 0.
    pub number: u32,
    pub state: Mutex<ChannelState>,
}

/// The state of a channel: its policy, history, members and subscribers. Guarded by the channel's lock.
pub struct ChannelState {
    pub policy: Arc<Policy>,
    pub log: Log,
    pub members: Members,
    /// What became of its members lately.
    pub presence_log: PresenceLog,
    /// Messages whose senders gave them a name.
    named: Option<Box<Named>>,
    /// What clients want kept that may come back.
    retention: Option<Box<Retention>>,
    groups: Vec<EncodingGroup>,
    pub count: Headcount,
    /// Since when nobody has subscribed, published or been a member.
    pub quiet_since: Instant,
    /// Taken out of the directory: whoever still holds it looks the name up again.
    pub is_gone: bool,
    /// Its share of whoever opened it, held until it is gone.
    pub share: Option<Share>,
    /// And against the app whose it is, where several share the hub.
    pub part: Option<Count<Arc<str>>>,
    /// What is known of it on other doors, where there are any.
    pub mirror: Option<Box<Mirror>>,
    /// Its number among those that are empty and give way to others ([`super::resting`]), while it is one.
    pub rests: Option<u64>,
}

/// The subscribers of one encoding, a slab a shard.
pub struct EncodingGroup {
    pub encoding: Encoding,
    pub shards: Vec<Slab<Subscriber>>,
    len: usize,
}

/// One subscriber.
#[derive(Debug, Clone, Copy)]
pub struct Subscriber {
    pub slot: u32,
    pub wants: Wants,
    /// May come back for what it misses.
    pub retains: bool,
    /// Reads the history, and hears nothing new until it is at its end.
    pub behind: bool,
}

/// The shares that a channel takes from: its opener's, and its part's.
pub type ChannelShare = (Share, Option<Count<Arc<str>>>);

impl ChannelEntry {
    pub fn new(
        name: Channel,
        number: u32,
        epoch: Epoch,
        policy: Arc<Policy>,
        share: ChannelShare,
        now: Instant,
    ) -> ChannelEntry {
        let state = ChannelState {
            policy,
            log: Log::new(epoch),
            members: Members::default(),
            presence_log: PresenceLog::default(),
            named: None,
            retention: None,
            groups: Vec::new(),
            count: Headcount::default(),
            quiet_since: now,
            is_gone: false,
            share: Some(share.0),
            part: share.1,
            mirror: None,
            rests: None,
        };
        ChannelEntry { name, number, state: Mutex::new(state) }
    }
}

impl ChannelState {
    pub fn subscribers(&self) -> usize {
        self.count.connections()
    }

    /// How many subscribe on all doors.
    pub fn subscribers_everywhere(&self) -> usize {
        self.subscribers() + self.elsewhere().connections
    }

    fn elsewhere(&self) -> Occupancy {
        self.mirror.as_ref().map_or_else(Occupancy::default, |mirror| mirror.elsewhere)
    }

    /// How many are there, by kind.
    pub fn occupancy(&self) -> Occupancy {
        self.count.occupancy(self.members.len()).with(self.elsewhere())
    }

    /// The same, for one that wants to know and is not told yet.
    pub fn first_occupancy(&mut self) -> Occupancy {
        let now = self.occupancy();
        self.count.first(now)
    }

    /// The same, where those who want to know do not know it.
    pub fn changed_occupancy(&mut self) -> Option<Occupancy> {
        let now = self.occupancy();
        self.count.news(now)
    }

    /// Nobody is here and nothing is kept.
    pub fn is_empty(&self) -> bool {
        if let Some(mirror) = &self.mirror {
            // What is kept of it is the broker's.
            return self.subscribers() == 0 && mirror.is_idle();
        }
        self.subscribers() == 0
            && self.members.is_empty()
            && self.log.is_empty()
            && self.presence_log.is_empty()
            && self.retention.is_none()
    }

    /// What it keeps now, by its policy and by the wish of clients.
    pub fn keeps(&mut self, now: Instant) -> Keeps {
        let own = self.own_wish(now);
        let elsewhere = self.mirror.as_ref().and_then(|mirror| mirror.retained);
        let wish = own.max(elsewhere).map(|age| Keep { messages: usize::MAX, age });
        Keeps { policy: self.policy.keep(), wish }
    }

    /// For how long clients of this door want messages kept.
    pub fn own_wish(&mut self, now: Instant) -> Option<Duration> {
        let wish = self.retention.as_ref().and_then(|retention| retention.keep(now));
        if wish.is_none() {
            self.retention = None;
        }
        wish
    }

    /// Whether what is said is kept for a while.
    pub fn has_history(&self) -> bool {
        self.policy.history > 0
            || self.retention.is_some()
            || self.mirror.as_ref().is_some_and(|mirror| mirror.retained.is_some())
    }

    /// Keeps what is said for at least `age` from now on; nothing more of zero.
    pub fn retain(&mut self, age: Duration, now: Instant) {
        if !age.is_zero() {
            Retention::ask(&mut self.retention, age, now);
        }
    }

    /// Whoever opened it; nobody once it is gone.
    pub fn holder(&self) -> Option<Holder> {
        self.share.as_ref().map(Share::holder)
    }

    pub fn groups(&mut self) -> &mut [EncodingGroup] {
        &mut self.groups
    }

    /// Where a recent message of this name is, if there is one.
    pub fn said(&self, id: &str) -> Option<Receipt> {
        self.named.as_ref()?.get(id)
    }

    /// Remembers a message by its sender's name for it.
    pub fn remember(&mut self, id: Arc<str>, receipt: Receipt, now: Instant) {
        let age = self.keeps(now).wish.map_or(Duration::ZERO, |keep| keep.age);
        self.named.get_or_insert_default().remember(id, receipt, age, now);
    }

    /// Adds a subscriber; says where it sits.
    pub fn add_subscriber(&mut self, shard: u8, encoding: &Encoding, subscriber: Subscriber) -> usize {
        let index = self.groups.iter().position(|group| group.encoding == *encoding);
        let group = match index {
            Some(index) => &mut self.groups[index],
            None => {
                self.groups.push(EncodingGroup { encoding: encoding.clone(), shards: Vec::new(), len: 0 });
                self.groups.last_mut().expect("just pushed")
            }
        };
        let shard = usize::from(shard);
        if group.shards.len() <= shard {
            group.shards.resize_with(shard + 1, Slab::new);
        }
        group.len += 1;
        self.count.add(subscriber.wants);
        if let Some(retention) = self.retention.as_mut().filter(|_| subscriber.retains) {
            retention.enter();
        }
        group.shards[shard].insert(subscriber)
    }

    pub fn subscriber_mut(&mut self, shard: u8, encoding: &Encoding, subscriber: usize) -> Option<&mut Subscriber> {
        let group = self.groups.iter_mut().find(|group| group.encoding == *encoding)?;
        group.shards.get_mut(usize::from(shard))?.get_mut(subscriber)
    }

    /// A subscriber wants something else from now on.
    pub fn change_subscriber(&mut self, shard: u8, encoding: &Encoding, subscriber: usize, wants: Wants) {
        let Some(known) = self.subscriber_mut(shard, encoding, subscriber) else { return };
        let before = std::mem::replace(&mut known.wants, wants);
        self.count.add(wants);
        self.count.remove(before);
    }

    /// Takes a subscriber out.
    pub fn remove_subscriber(&mut self, shard: u8, encoding: &Encoding, subscriber: usize, now: Instant) {
        let Some(index) = self.groups.iter().position(|group| group.encoding == *encoding) else { return };
        let group = &mut self.groups[index];
        let Some(slab) = group.shards.get_mut(usize::from(shard)) else { return };
        let Some(subscriber) = slab.try_remove(subscriber) else { return };
        if let Some(retention) = self.retention.as_mut().filter(|_| subscriber.retains) {
            retention.leave(now);
        }
        if slab.is_empty() {
            // A slab keeps its memory; a crowd that has left must not.
            *slab = Slab::new();
        }
        group.len -= 1;
        self.count.remove(subscriber.wants);
        if group.len == 0 {
            self.groups.swap_remove(index);
        }
        self.quiet_since = now;
    }

    /// Has a subscriber hear by another encoding; says where it sits.
    pub fn move_subscriber(
        &mut self,
        shard: u8,
        (before, subscriber): (&Encoding, usize),
        after: &Encoding,
        now: Instant,
    ) -> usize {
        let Some(known) = self.subscriber_mut(shard, before, subscriber).copied() else { return subscriber };
        // In before it is out: what its channel keeps for it goes on.
        let place = self.add_subscriber(shard, after, known);
        self.remove_subscriber(shard, before, subscriber, now);
        place
    }

    /// The addresses of all subscribers.
    pub fn addresses(&self) -> impl Iterator<Item = MailboxAddress> + '_ {
        self.groups.iter().flat_map(|group| {
            group.shards.iter().enumerate().flat_map(|(shard, slab)| {
                let shard = u8::try_from(shard).unwrap_or(u8::MAX);
                slab.iter().map(move |(_, subscriber)| MailboxAddress { shard, slot: subscriber.slot })
            })
        })
    }
}
