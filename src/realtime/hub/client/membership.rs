//! As whom a client is present, and where.

use std::sync::Arc;
use std::time::Duration;

use super::{Authority, Client, Held, Memberships, NO_GRACE};
use crate::realtime::hub::channel::{ChannelEntry, ChannelState};
use crate::realtime::hub::cluster::LONG;
use crate::realtime::hub::policy::{MemberLimit, Policy};
use crate::realtime::vocabulary::{Channel, Member, Moment, Presence, Refusal};

impl Client {
    /// Holds something for as long as it is there; nothing of `None`.
    pub fn hold(&mut self, held: Option<Held>) {
        if held.is_some() {
            self.rare.get_or_insert_default().held = held;
        }
    }

    /// Gives away what it holds.
    pub fn take_held(&mut self) -> Option<Held> {
        self.rare.as_mut()?.held.take()
    }

    /// Namespaces are named by its dialect, which lets clients into them.
    pub fn set_namespaces(&mut self, has_namespaces: bool) {
        self.has_namespaces = has_namespaces;
    }

    /// The app has let it into `channel`, to which it will subscribe by itself.
    pub fn admit(&mut self, channel: Channel) {
        self.rare.get_or_insert_default().admitted = Some(channel);
    }

    /// As whom it enters a channel's presence by subscribing, if at all.
    pub(super) fn membership(&self, wish: Option<&Member>, policy: &Policy) -> Result<Option<Member>, Refusal> {
        match (policy.presence, wish) {
            (MemberLimit::Off, Some(_)) => Err(Refusal::Forbidden),
            (MemberLimit::Asked | MemberLimit::All, Some(member)) => Ok(Some(member.clone())),
            (MemberLimit::Off | MemberLimit::Asked, None) => Ok(None),
            (MemberLimit::All, None) => Ok(Some(match &self.identity {
                Some(identity) => Member { info: identity.info.clone(), ..Member::new(Arc::clone(&identity.user)) },
                None => Member::new(self.id.to_string()),
            })),
        }
    }

    /// Enters a channel's presence, or changes what it shows there.
    ///
    /// # Errors
    /// [`Refusal`]: no presence there, not allowed, or too many.
    pub fn enter(
        &mut self,
        channel: &Channel,
        member: Member,
        authority: Authority,
        now: Moment,
    ) -> Result<(), Refusal> {
        let hub = Arc::clone(&self.hub);
        let entered = hub.channel(channel, self.holder(), now.instant, |entry, state| {
            self.may_enter(channel, &Arc::clone(&state.policy), authority)?;
            if state.policy.presence == MemberLimit::Off {
                return Err(Refusal::Forbidden);
            }
            state.quiet_since = now.instant;
            self.enter_in(entry, state, member, now)
        });
        entered.unwrap_or(Err(Refusal::Unavailable))
    }

    pub(super) fn enter_in(
        &mut self,
        entry: &Arc<ChannelEntry>,
        state: &mut ChannelState,
        mut member: Member,
        now: Moment,
    ) -> Result<(), Refusal> {
        member.unix_ms = now.unix_ms;
        let is_one = |known: &Arc<ChannelEntry>, key: &str| Arc::ptr_eq(known, entry) && *key == *member.key;
        let (count, is_known) = match &self.standing {
            Memberships::Here(all) => (all.len(), all.iter().any(|(known, key)| is_one(known, key))),
            Memberships::Away(all) => (all.len(), all.iter().any(|(known, before)| is_one(known, &before.key))),
        };
        if !is_known && count >= self.hub.config().max_subscriptions {
            return Err(Refusal::TooMany { wait: Duration::ZERO });
        }
        if let Memberships::Away(absent) = &mut self.standing {
            absent.retain(|(known, before)| !is_one(known, &before.key));
            absent.push((Arc::clone(entry), member));
            return Ok(());
        }
        let key = Arc::clone(&member.key);
        let most = state.policy.crowd.max_members;
        if most > 0 && state.members.len() >= most && !state.members.has(&key) {
            return Err(Refusal::TooMany { wait: Duration::ZERO });
        }
        self.hub.share_member(entry, state, &member, self.id);
        if let Some((change, member)) = state.members.enter(member, self.id) {
            if change == Presence::Joined {
                self.hub.metrics.members.inc();
            }
            self.hub.notify_presence(entry, state, change, &member, now);
        }
        if let (false, Memberships::Here(entered)) = (is_known, &mut self.standing) {
            entered.push((Arc::clone(entry), key));
        }
        Ok(())
    }

    /// Leaves a channel's presence at once, and shows `parting` as it does. Says whether it was there.
    pub fn leave(&mut self, channel: &Channel, key: &str, parting: Option<Member>, now: Moment) -> bool {
        let entered = match &mut self.standing {
            Memberships::Here(entered) => entered,
            Memberships::Away(absent) => {
                let before = absent.len();
                absent.retain(|(entry, member)| entry.name != *channel || *member.key != *key);
                return absent.len() < before;
            }
        };
        let place = entered.iter().position(|(entry, known)| entry.name == *channel && **known == *key);
        let Some(place) = place else { return false };
        let (entry, key) = entered.swap_remove(place);
        self.leave_showing(&entry, &key, Duration::ZERO, parting, now);
        true
    }

    /// Its link is lost: it is a member of nothing as soon as the grace of each channel is over, unless it is
    /// [`Client::back`] by then.
    pub fn away(&mut self, now: Moment) {
        let Memberships::Here(entered) = &mut self.standing else { return };
        let entered = std::mem::take(entered);
        let mut absent = Vec::with_capacity(entered.len());
        for (entry, key) in entered {
            let (grace, member) = {
                let state = entry.state.lock();
                (self.grace(&state.policy), state.members.of(&key).map(Arc::clone))
            };
            self.leave_in(&entry, &key, grace, now);
            absent.extend(member.map(|member| (entry, Member::clone(&member))));
        }
        self.standing = Memberships::Away(Box::new(absent));
    }

    /// The client has a link again: restores its memberships, except in channels that are full by now.
    pub fn back(&mut self, now: Moment) {
        let Memberships::Away(absent) = &mut self.standing else { return };
        let absent = std::mem::take(&mut **absent);
        self.standing = Memberships::Here(Vec::with_capacity(absent.len()));
        for (entry, member) in absent {
            let _ = self.enter(&entry.name, member, Authority::App, now);
        }
    }

    /// How long a membership outlasts the connection.
    pub(super) fn grace(&self, policy: &Policy) -> Duration {
        if self.grace == NO_GRACE { policy.presence_grace } else { Duration::from_millis(self.grace.into()) }
    }

    /// Memberships outlast the connection for so long, whatever the channels' policies say.
    pub fn set_grace(&mut self, grace: Duration) {
        self.grace = u32::try_from(grace.as_millis()).unwrap_or(NO_GRACE).min(NO_GRACE - 1);
    }

    pub(super) fn leave_in(&self, entry: &Arc<ChannelEntry>, key: &str, grace: Duration, now: Moment) {
        self.leave_showing(entry, key, grace, None, now);
    }

    fn leave_showing(
        &self,
        entry: &Arc<ChannelEntry>,
        key: &str,
        grace: Duration,
        parting: Option<Member>,
        now: Moment,
    ) {
        let mut state = entry.state.lock();
        state.quiet_since = now.instant;
        let until = (!grace.is_zero()).then(|| (now.instant + grace, now.unix_ms));
        let stays = self.hub.unshare_member(entry, &mut state, (key, self.id), until, parting.as_ref());
        if let Some(parting) = parting {
            state.members.amend(parting);
        }
        // On another door it may be there, or be waited for.
        let grace = if stays { LONG } else { grace };
        if let Some(member) = state.members.leave(key, self.id, grace, now.instant) {
            self.hub.metrics.members.dec();
            self.hub.notify_presence(entry, &mut state, Presence::Left, &member, now);
        }
        self.hub.directory.settle(entry, &mut state);
    }
}
