//! One connection as the hub knows it: what it is in, what it may do. When it is dropped, however that happens, it has
//! left everything it was in.

mod editing;
mod inbox;
mod membership;
mod publishing;
mod sharing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Hub;
use super::channel::{ChannelEntry, Subscriber};
use super::documents::RoomLease;
use super::mailboxes::{Delivery, MailboxAddress};
use super::outbox::Backlog;
use super::policy::{Allowed, Policy};
use crate::realtime::broker::memory::Replay;
use crate::realtime::hub::remedy::Verb;
use crate::realtime::vocabulary::{
    Channel, ConnectionId, DisconnectReason, Encoding, Identity, Member, Moment, Recovery, Refusal, Rights, Since,
    Subscribe, Subscribed, Word,
};
use crate::shares::Holder;
use publishing::PublishRate;

pub use publishing::PublishRates;

/// On whose word a command is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The client's own: policies hold.
    Client,
    /// The client's own, and the app has agreed to this very command: policies hold beside, but where no section names
    /// the channel it is the app that lets in.
    Consent,
    /// The client's own, on a signature of the app's that names it: what is only for the app stays so.
    Signature,
    /// The app's: only limits hold.
    App,
}

/// A connection's handle on the hub. Its session owns it.
pub struct Client {
    hub: Arc<Hub>,
    id: ConnectionId,
    /// Against whom counts what it opens.
    holder: Packed,
    identity: Option<Arc<Identity>>,
    /// The rights of a token, if there is one. Most clients are bound by policies alone.
    rights: Option<Box<Rights>>,
    /// In the order of their channels' names.
    subscriptions: Vec<Subscription>,
    standing: Memberships,
    /// State that few clients need. Boxed, for the size of the rest.
    rare: Option<Box<Rare>>,
    /// Its dialect has namespaces, and names only those that it was let into.
    has_namespaces: bool,
    /// See [`Client::set_grace`]: in milliseconds, or [`NO_GRACE`].
    grace: u32,
    /// Entries taken from the mailbox and not yet written.
    delivery: Delivery,
}

/// What the channels' policies say.
const NO_GRACE: u32 = u32::MAX;

#[derive(Default)]
struct Rare {
    rates: Vec<PublishRate>,
    /// The channel that the app let it into before it was there to subscribe.
    admitted: Option<Channel>,
    /// The backlog at the moment the client was found to read too slowly.
    backlog: Option<Backlog>,
    /// Its end was ordered while its link took nothing: it waits for that no longer than until then.
    ends_by: Option<Instant>,
    /// See [`Client::hold`].
    held: Option<Held>,
    /// The documents that it edits.
    rooms: Vec<RoomLease>,
}

/// What is given back when it is dropped.
pub type Held = Box<dyn Send + Sync>;

/// The members that a client stands behind, and where. Bounded like subscriptions.
enum Memberships {
    Here(Vec<(Arc<ChannelEntry>, Arc<str>)>),
    /// While there is no link: the memberships to restore. Boxed, as it is rare.
    Away(Box<Absent>),
}

type Absent = Vec<(Arc<ChannelEntry>, Member)>;

struct Subscription {
    entry: Arc<ChannelEntry>,
    encoding: Encoding,
    subscriber: usize,
}

/// A [`Holder`] in eight bytes, as each client has one: no network of IPv6 begins with 32 zeros, nor has only ones.
#[derive(Clone, Copy)]
struct Packed(u64);

impl Packed {
    fn new(holder: Holder) -> Packed {
        Packed(match holder {
            Holder::V4(bits) => bits.into(),
            Holder::V6(bits) => bits,
            Holder::Trusted | Holder::House => u64::MAX,
        })
    }

    fn holder(self) -> Holder {
        match (u32::try_from(self.0), self.0) {
            (Ok(bits), _) => Holder::V4(bits),
            (_, u64::MAX) => Holder::Trusted,
            (_, bits) => Holder::V6(bits),
        }
    }
}

impl Client {
    pub(super) fn new(hub: Arc<Hub>, id: ConnectionId, holder: Holder) -> Client {
        Client {
            hub,
            id,
            holder: Packed::new(holder),
            identity: None,
            rights: None,
            subscriptions: Vec::new(),
            standing: Memberships::Here(Vec::new()),
            rare: None,
            has_namespaces: false,
            grace: NO_GRACE,
            delivery: Delivery::default(),
        }
    }

    pub fn id(&self) -> ConnectionId {
        self.id
    }

    fn address(&self) -> MailboxAddress {
        MailboxAddress::of(self.id)
    }

    fn holder(&self) -> Holder {
        self.holder.holder()
    }

    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// The connection is now known as `identity`.
    pub fn identify(&mut self, identity: Identity) {
        self.forget_user();
        self.hub.known.users.lock().entry(Arc::clone(&identity.user)).or_default().push(self.id);
        self.hub.shard(self.address()).lock().identify(self.address().slot, &identity.user);
        let identity = Arc::new(identity);
        self.hub.known.identities.lock().insert(self.id, Arc::clone(&identity));
        self.identity = Some(identity);
    }

    /// The connection may do so much and no more from now on, whatever it was before.
    pub fn grant(&mut self, rights: Rights) {
        self.rights = Some(Box::new(rights));
    }

    /// The rights that bound the client.
    pub fn rights(&self) -> Option<&Rights> {
        self.rights.as_deref()
    }

    /// True once the granted rights have expired.
    pub fn has_expired(&self, now: Instant) -> bool {
        self.rights.as_ref().and_then(|rights| rights.until).is_some_and(|until| until <= now)
    }

    fn forget_user(&mut self) {
        let Some(identity) = self.identity.take() else { return };
        self.hub.known.identities.lock().remove(&self.id);
        let mut users = self.hub.known.users.lock();
        if let Some(connections) = users.get_mut(&identity.user) {
            connections.retain(|known| *known != self.id);
            if connections.is_empty() {
                users.remove(&identity.user);
            }
        }
    }

    fn find(&self, channel: &Channel) -> Result<usize, usize> {
        self.subscriptions.binary_search_by(|known| known.entry.name.cmp(channel))
    }

    fn may(&self, allowed: Allowed, authority: Authority) -> Result<(), Refusal> {
        let is_apps = self.rights().is_some_and(|rights| rights.word == Word::App);
        let may = match (allowed, authority) {
            (_, Authority::App) | (Allowed::Anyone, _) => true,
            // What its rights do not have was refused before.
            _ if is_apps => true,
            (Allowed::App, _) => false,
            (_, Authority::Signature) | (Allowed::Admitted | Allowed::Reserved, Authority::Consent) => true,
            (Allowed::Identified, _) => self.identity.is_some(),
            (Allowed::Admitted | Allowed::Reserved, Authority::Client) => false,
        };
        match (may, allowed) {
            (true, _) => Ok(()),
            (false, Allowed::Identified) => Err(Refusal::Forbidden),
            (false, _) => Err(Refusal::Closed),
        }
    }

    /// The policy for hearing a channel, or being a member, as it applies to this client.
    fn hearers(&self, policy: &Policy) -> Allowed {
        policy.within.filter(|_| self.has_namespaces).map_or(policy.subscribe, |within| within.subscribe)
    }

    fn may_hear(&self, channel: &Channel, policy: &Policy, authority: Authority) -> Result<(), Refusal> {
        self.may_be_in(channel, policy, authority, Rights::lists_to_hear)
    }

    /// Likewise for being a member.
    fn may_enter(&self, channel: &Channel, policy: &Policy, authority: Authority) -> Result<(), Refusal> {
        self.may_be_in(channel, policy, authority, Rights::lists_to_enter)
    }

    fn may_be_in(
        &self,
        channel: &Channel,
        policy: &Policy,
        authority: Authority,
        lists: impl Fn(&Rights, &Channel) -> bool,
    ) -> Result<(), Refusal> {
        let allowed = self.hearers(policy);
        let heard = self.may(allowed, authority);
        if heard.is_ok() || !matches!(allowed, Allowed::Admitted | Allowed::Reserved) {
            return heard;
        }
        let admitted = self.rare.as_ref().and_then(|rare| rare.admitted.as_ref());
        let is_let_in = admitted == Some(channel) || self.find(channel).is_ok();
        let is_listed = self.rights().is_some_and(|rights| {
            (allowed == Allowed::Admitted || rights.word == Word::Signed) && lists(rights, channel)
        });
        if is_let_in || is_listed {
            return Ok(());
        }
        if allowed == Allowed::Admitted {
            self.hub.remedy.warn(Verb::Hear, channel);
        }
        heard
    }

    /// True if only the app may subscribe the client to `channel`: then nobody need be asked.
    ///
    /// # Errors
    /// [`Refusal::Closed`].
    pub fn may_ask(&self, channel: &Channel) -> Result<(), Refusal> {
        let policy = self.hub.config().policy(channel);
        if self.hearers(&policy) == Allowed::App { Err(Refusal::Closed) } else { Ok(()) }
    }

    /// Subscribes, or says again that it has. What was missed comes by [`Client::poll_fill`], and then what is new.
    ///
    /// # Errors
    /// [`Refusal`]: not allowed, or too many.
    pub fn subscribe(
        &mut self,
        wish: &Subscribe,
        encoding: &Encoding,
        authority: Authority,
        now: Moment,
    ) -> Result<Subscribed, Refusal> {
        let hub = Arc::clone(&self.hub);
        let place = self.find(&wish.channel);
        if place.is_err() && self.subscriptions.len() >= hub.config().max_subscriptions {
            return Err(Refusal::TooMany { wait: Duration::ZERO });
        }
        let subscribed = hub.channel(&wish.channel, self.holder(), now.instant, |entry, state| {
            let policy = Arc::clone(&state.policy);
            // Whoever is in is in, and does not come in again.
            if place.is_err() && (wish.messages || wish.notices) {
                self.may_hear(&entry.name, &policy, authority)?;
            }
            state.retain(wish.retain, now.instant);
            let most = policy.crowd.max_subscribers;
            if place.is_err() && most > 0 && state.subscribers_everywhere() >= most {
                return Err(Refusal::TooMany { wait: Duration::ZERO });
            }
            // It was mirrored when this was asked for, and may have been forgotten since.
            if hub.is_shared() && state.mirror.is_none() {
                return Err(Refusal::Unavailable);
            }
            let member = self.membership(wish.member.as_ref(), &policy)?;
            let wants = self.wants(wish, &policy, member.is_some());
            if let Some(member) = member {
                self.enter_in(entry, state, member, now)?;
            }
            hub.trim(state, now.instant);
            // Who hears it from now on in another way may ask for the past again.
            let known = place.ok().map(|place| &self.subscriptions[place]);
            let is_same = known.is_some_and(|known| known.encoding == *encoding);
            let since = if is_same || !wish.messages { Since::Now } else { wish.since };
            let (recovery, behind) = match (since, state.log.replay(since, now.instant)) {
                (Since::Now, _) => (Recovery::Live, None),
                (_, Replay::From { next, missed }) => {
                    (Recovery::Complete(missed), (missed > 0).then_some((entry.number, next)))
                }
                (_, Replay::Gone) => (Recovery::Impossible, None),
            };
            if let Err(place) = place {
                let MailboxAddress { shard, slot } = self.address();
                let subscriber = Subscriber { slot, wants, retains: !wish.retain.is_zero(), behind: behind.is_some() };
                let subscriber = state.add_subscriber(shard, encoding, subscriber);
                let subscription = Subscription { entry: Arc::clone(entry), encoding: encoding.clone(), subscriber };
                // Most clients have one.
                self.subscriptions.reserve_exact(usize::from(self.subscriptions.is_empty()));
                self.subscriptions.insert(place, subscription);
                hub.metrics.subscriptions.inc();
                hub.emit_subscribers(&entry.name, state, false);
            } else if let Ok(place) = place {
                let MailboxAddress { shard, slot } = self.address();
                let known = &mut self.subscriptions[place];
                if behind.is_some() {
                    self.delivery.forget(entry.number);
                    hub.shard(MailboxAddress { shard, slot }).lock().forget(slot, entry.number);
                }
                if known.encoding != *encoding {
                    known.subscriber =
                        state.move_subscriber(shard, (&known.encoding, known.subscriber), encoding, now.instant);
                    known.encoding = encoding.clone();
                }
                state.change_subscriber(shard, &known.encoding, known.subscriber, wants);
                if let Some(known) = state.subscriber_mut(shard, &known.encoding, known.subscriber) {
                    known.behind |= behind.is_some();
                }
            }
            hub.share_retention(entry, state, now.instant);
            hub.share_counts(entry, state);
            hub.tell_newcomer(self.id, wish, state);
            state.quiet_since = now.instant;
            let subscribed = Subscribed {
                ticket: wish.ticket,
                channel: entry.name.clone(),
                top: state.log.top(),
                recovery,
                members: if wish.notices && policy.notices { state.members.all() } else { Vec::new() },
                subscribers: state.subscribers_everywhere(),
                is_mutable: policy.mutable,
            };
            self.delivery.behind.extend(behind);
            Ok(subscribed)
        });
        subscribed.unwrap_or(Err(Refusal::Unavailable))
    }

    /// Unsubscribes and leaves the channel's presence. Says whether it was subscribed.
    pub fn unsubscribe(&mut self, channel: &Channel, now: Moment) -> bool {
        let Ok(place) = self.find(channel) else { return false };
        let subscription = self.subscriptions.remove(place);
        self.leave_subscription(&subscription, now.instant);
        let entry = subscription.entry;
        self.delivery.forget(entry.number);
        let mut left = Vec::new();
        match &mut self.standing {
            Memberships::Here(entered) => left.extend(entered.extract_if(.., |(known, _)| Arc::ptr_eq(known, &entry))),
            Memberships::Away(absent) => absent.retain(|(known, _)| !Arc::ptr_eq(known, &entry)),
        }
        for (entry, key) in left {
            self.leave_in(&entry, &key, Duration::ZERO, now);
        }
        true
    }

    fn leave_subscription(&self, subscription: &Subscription, now: Instant) {
        let Subscription { entry, encoding, subscriber } = subscription;
        let mut state = entry.state.lock();
        state.remove_subscriber(self.address().shard, encoding, *subscriber, now);
        self.hub.share_counts(entry, &mut state);
        self.hub.emit_subscribers(&entry.name, &state, false);
        // Still under the channel's lock: nothing of it can be put there after this.
        self.hub.shard(self.address()).lock().forget(self.address().slot, entry.number);
        self.hub.metrics.subscriptions.dec();
        self.hub.directory.settle(entry, &mut state);
    }

    /// May it read what was said in a channel?
    ///
    /// # Errors
    /// [`Refusal::Forbidden`], [`Refusal::Closed`].
    pub fn may_read_past(&self, channel: &Channel, authority: Authority) -> Result<(), Refusal> {
        let policy = self.hub.config().policy(channel);
        self.may_be_in(channel, &policy, authority, Rights::lists_to_read)
    }

    /// May it read what is in a channel without subscribing?
    ///
    /// # Errors
    /// [`Refusal::Forbidden`], [`Refusal::Closed`].
    pub fn may_read(&self, channel: &Channel, authority: Authority) -> Result<(), Refusal> {
        let policy = self.hub.config().policy(channel);
        self.may_hear(channel, &policy, authority)
    }

    /// Has its own session close it, in its turn.
    pub fn disconnect(&self, why: DisconnectReason) {
        self.hub.shard(self.address()).lock().end(self.address().slot, why);
    }
}

impl Client {
    /// Leaves everything it is in; what dropping it does, at a time of the caller's.
    pub fn part(mut self, now: Moment) {
        self.leave_all(now);
    }

    fn leave_all(&mut self, now: Moment) {
        self.leave_rooms();
        for subscription in std::mem::take(&mut self.subscriptions) {
            self.leave_subscription(&subscription, now.instant);
        }
        // One that is away has left already.
        if let Memberships::Here(entered) = std::mem::replace(&mut self.standing, Memberships::Here(Vec::new())) {
            for (entry, key) in entered {
                let grace = self.grace(&entry.state.lock().policy);
                self.leave_in(&entry, &key, grace, now);
            }
        }
        self.forget_user();
    }
}

/// Also when a session panics: nobody stays behind as a ghost.
impl Drop for Client {
    fn drop(&mut self) {
        self.leave_all(Moment::now());
        self.hub.shard(self.address()).close(self.address());
        self.hub.metrics.connections.dec();
    }
}
