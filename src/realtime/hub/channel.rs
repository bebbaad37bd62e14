//! One channel: its subscribers, its log and its members, under one lock that gives all of them one order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::sync::Mutex;
use slab::Slab;

use super::mailboxes::MailboxAddress;
use super::policy::Policy;
use super::presence::Members;
use crate::realtime::broker::memory::Log;
use crate::realtime::vocabulary::{Channel, Encoding, Epoch, Position};
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
    /// Messages whose senders gave them a name, the latest last: at most [`MAX_NAMED`], the oldest go first.
    named: VecDeque<(Arc<str>, Position)>,
    groups: Vec<EncodingGroup>,
    subscribers: usize,
    /// Since when nobody has subscribed, published or been a member.
    pub quiet_since: Instant,
    /// Taken out of the directory: whoever still holds it looks the name up again.
    pub is_gone: bool,
    /// Its share of whoever opened it, held until it is gone.
    pub share: Option<Share>,
    /// And against the app whose it is, where several share the hub.
    pub part: Option<Count<Arc<str>>>,
    /// Its number among those that are empty and give way to others ([`super::resting`]), while it is one.
    pub rests: Option<u64>,
}

/// Named messages that a channel remembers, so that one that is sent again is not said again.
const MAX_NAMED: usize = 256;

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
    /// Wants to hear who comes and goes.
    pub notices: bool,
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
            named: VecDeque::new(),
            groups: Vec::new(),
            subscribers: 0,
            quiet_since: now,
            is_gone: false,
            share: Some(share.0),
            part: share.1,
            rests: None,
        };
        ChannelEntry { name, number, state: Mutex::new(state) }
    }
}

impl ChannelState {
    pub fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// Nobody is here and nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.subscribers == 0 && self.members.is_empty() && self.log.is_empty()
    }

    /// Whoever opened it; nobody once it is gone.
    pub fn holder(&self) -> Option<Holder> {
        self.share.as_ref().map(Share::holder)
    }

    pub fn groups(&mut self) -> &mut [EncodingGroup] {
        &mut self.groups
    }

    /// The position of a recent message of this name, if there is one.
    pub fn said(&self, id: &str) -> Option<Position> {
        self.named.iter().rev().find(|(known, _)| **known == *id).map(|(_, position)| *position)
    }

    /// Remembers a message by its sender's name for it.
    pub fn remember(&mut self, id: Arc<str>, position: Position) {
        if self.named.len() == MAX_NAMED {
            self.named.pop_front();
        }
        self.named.push_back((id, position));
    }

    /// Adds a subscriber; says where it sits.
    pub fn add_subscriber(
        &mut self,
        address: MailboxAddress,
        encoding: &Encoding,
        notices: bool,
        behind: bool,
    ) -> usize {
        let index = self.groups.iter().position(|group| group.encoding == *encoding);
        let group = match index {
            Some(index) => &mut self.groups[index],
            None => {
                self.groups.push(EncodingGroup { encoding: encoding.clone(), shards: Vec::new(), len: 0 });
                self.groups.last_mut().expect("just pushed")
            }
        };
        let shard = usize::from(address.shard);
        if group.shards.len() <= shard {
            group.shards.resize_with(shard + 1, Slab::new);
        }
        group.len += 1;
        self.subscribers += 1;
        group.shards[shard].insert(Subscriber { slot: address.slot, notices, behind })
    }

    pub fn subscriber_mut(&mut self, shard: u8, encoding: &Encoding, subscriber: usize) -> Option<&mut Subscriber> {
        let group = self.groups.iter_mut().find(|group| group.encoding == *encoding)?;
        group.shards.get_mut(usize::from(shard))?.get_mut(subscriber)
    }

    /// Takes a subscriber out.
    pub fn remove_subscriber(&mut self, shard: u8, encoding: &Encoding, subscriber: usize, now: Instant) {
        let Some(index) = self.groups.iter().position(|group| group.encoding == *encoding) else { return };
        let group = &mut self.groups[index];
        let Some(slab) = group.shards.get_mut(usize::from(shard)) else { return };
        if slab.try_remove(subscriber).is_none() {
            return;
        }
        if slab.is_empty() {
            // A slab keeps its memory; a crowd that has left must not.
            *slab = Slab::new();
        }
        group.len -= 1;
        self.subscribers -= 1;
        if group.len == 0 {
            self.groups.swap_remove(index);
        }
        self.quiet_since = now;
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
