//! What a client may publish, and how often.

use std::sync::Arc;
use std::time::Instant;

use super::{Authority, Client};
use crate::realtime::hub::headcount::Wants;
use crate::realtime::hub::policy::{Allowed, Policy};
use crate::realtime::hub::publish::Sender;
use crate::realtime::hub::remedy::Verb;
use crate::realtime::vocabulary::{
    Audience, Channel, Moment, Origin, Position, Publish, PublishSeveral, Receipt, Refusal, Subscribe, TokenBucket,
    Word,
};

/// The rest of a channel's publish rate.
pub struct PublishRate {
    channel: u32,
    bucket: TokenBucket,
    rate: f64,
}

/// The rests of the publish rates of channels, of a client that comes again and again.
#[derive(Default)]
pub struct PublishRates(Vec<PublishRate>);

impl PublishRates {
    /// Whether all are full again.
    pub fn are_full(&self, now: Instant) -> bool {
        self.0.iter().all(|known| known.bucket.is_full(known.rate, now))
    }
}

impl Client {
    /// Goes on with `rates`, and leaves there what it went on with before: called twice, all is as it was but for what was
    /// published in between.
    pub fn swap_rates(&mut self, rates: &mut PublishRates) {
        std::mem::swap(&mut self.rare.get_or_insert_default().rates, &mut rates.0);
    }

    /// Publishes.
    ///
    /// # Errors
    /// [`Refusal`]: not allowed, too many, too big.
    pub fn publish(
        &mut self,
        publish: Publish,
        authority: Authority,
        now: Moment,
    ) -> Result<Option<Position>, Refusal> {
        let sender = Sender {
            origin: Some(self.origin()),
            address: Some(self.address()),
            holder: Some(self.holder()),
            asked: None,
        };
        if let Audience::Channel(channel) = &publish.audience
            && let Ok(place) = self.find(channel)
        {
            let entry = Arc::clone(&self.subscriptions[place].entry);
            let policy = Arc::clone(&entry.state.lock().policy);
            self.check(channel, &policy, (entry.number, 1), authority, now.instant)?;
            return self.hub.publish_in(&entry, &sender, publish.draft, publish.echo, now);
        }
        self.check_audience(&publish.audience, authority, now.instant)?;
        self.hub.publish_as(&sender, publish, now)
    }

    /// Whose its messages are, where nothing else is said.
    pub(super) fn origin(&self) -> Origin {
        let user = self.identity.as_ref().map(|identity| Arc::clone(&identity.user));
        Origin { connection: self.id, user }
    }

    pub(super) fn check_audience(
        &mut self,
        audience: &Audience,
        authority: Authority,
        now: Instant,
    ) -> Result<(), Refusal> {
        let rules = self.hub.config();
        match audience {
            Audience::Channel(channel) => self.check(channel, &rules.policy(channel), (0, 1), authority, now),
            Audience::Several { channels, connections, .. } => {
                if !connections.is_empty() {
                    self.may(Allowed::App, authority)?;
                }
                for channel in channels {
                    self.check(channel, &rules.policy(channel), (0, 1), authority, now)?;
                }
                Ok(())
            }
            Audience::Connection(_) | Audience::User(_) | Audience::Everyone => self.may(Allowed::App, authority),
        }
    }

    /// Publishes several in one channel: all of them, or none.
    ///
    /// # Errors
    /// As [`Client::publish`].
    pub fn publish_several(
        &mut self,
        several: PublishSeveral,
        authority: Authority,
        now: Moment,
    ) -> Result<Vec<Receipt>, Refusal> {
        let (origin, origins) = self.check_several(&several, authority, now)?;
        let sender =
            Sender { origin: Some(origin), address: Some(self.address()), holder: Some(self.holder()), asked: None };
        self.hub.publish_several_as(&sender, &origins, several, now)
    }

    /// Whose the messages are: all of them, and each.
    pub(super) fn check_several(
        &mut self,
        several: &PublishSeveral,
        authority: Authority,
        now: Moment,
    ) -> Result<(Origin, Vec<Origin>), Refusal> {
        let (policy, number) = self.policy_of(&several.channel);
        self.check(&several.channel, &policy, (number, several.drafts.len()), authority, now.instant)?;
        let origins: Vec<Origin> = several
            .speakers
            .iter()
            .map(|speaker| Origin { connection: speaker.connection.unwrap_or(self.id), user: speaker.user.clone() })
            .collect();
        let origin = origins.first().cloned().unwrap_or_else(|| self.origin());
        Ok((origin, origins))
    }

    /// The policy of a channel that it may be in, and the channel's number where there is one.
    pub(super) fn policy_of(&self, channel: &Channel) -> (Arc<Policy>, u32) {
        match self.find(channel) {
            Ok(place) => {
                let entry = &self.subscriptions[place].entry;
                (Arc::clone(&entry.state.lock().policy), entry.number)
            }
            Err(_) => {
                let known = self.hub.directory.find(channel).map_or(0, |entry| entry.number);
                (Arc::new(self.hub.config().policy(channel)), known)
            }
        }
    }

    /// How many messages a second it may publish in a channel; 0: as many as it likes.
    pub fn publish_rate(&self, channel: &Channel) -> u32 {
        self.policy_of(channel).0.publish_rate
    }

    /// Counts messages against their channel's rate, for such as the app is asked about: its consent is a right to
    /// publish, not to flood. About what it alone may say in a channel it is not asked.
    ///
    /// # Errors
    /// [`Refusal::TooMany`], [`Refusal::Closed`].
    pub fn count_publish(&mut self, channel: &Channel, messages: usize, now: Moment) -> Result<(), Refusal> {
        let (policy, number) = self.policy_of(channel);
        if self.speakers(&policy) == Allowed::App {
            return Err(Refusal::Closed);
        }
        self.count(&policy, (number, messages), now.instant)
    }

    /// What it wants in a channel, and may.
    pub(super) fn wants(&self, wish: &Subscribe, policy: &Policy, is_member: bool) -> Wants {
        let may_publish = || {
            let is_bound = self.rights().is_some_and(|rights| !rights.may_say(&wish.channel));
            let is_app = self.rights().is_some_and(|rights| rights.word == Word::App);
            !is_bound && (is_app || self.speakers(policy) != Allowed::App)
        };
        Wants {
            messages: wish.messages,
            notices: wish.notices,
            occupancy: wish.occupancy,
            publishes: wish.publishes && may_publish(),
            enters: wish.enters || is_member,
        }
    }

    /// The policy for publishing in a channel, as it applies to this client.
    fn speakers(&self, policy: &Policy) -> Allowed {
        policy.within.filter(|_| self.has_namespaces).map_or(policy.publish, |within| within.publish)
    }

    fn may_speak(&self, channel: &Channel, policy: &Policy, authority: Authority) -> Result<(), Refusal> {
        let allowed = self.speakers(policy);
        let spoken = self.may(allowed, authority);
        if spoken.is_ok() || !matches!(allowed, Allowed::Admitted | Allowed::Reserved) {
            return spoken;
        }
        let is_listed = self.rights().is_some_and(|rights| {
            (allowed == Allowed::Admitted || rights.word == Word::Signed) && rights.lists_to_say(channel)
        });
        if is_listed {
            return Ok(());
        }
        if allowed == Allowed::Reserved {
            return spoken;
        }
        self.hub.remedy.warn(Verb::Speak, channel);
        spoken
    }

    pub(super) fn check(
        &mut self,
        channel: &Channel,
        policy: &Policy,
        (number, messages): (u32, usize),
        authority: Authority,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.may_speak(channel, policy, authority)?;
        match authority {
            Authority::Client if self.rights().is_some_and(|rights| rights.word == Word::App) => Ok(()),
            Authority::Client => self.count(policy, (number, messages), now),
            // Counted before the app was asked, or a dialect's to count.
            Authority::Consent | Authority::Signature | Authority::App => Ok(()),
        }
    }

    pub(super) fn count(
        &mut self,
        policy: &Policy,
        (channel, messages): (u32, usize),
        now: Instant,
    ) -> Result<(), Refusal> {
        if policy.publish_rate == 0 {
            return Ok(());
        }
        let rate = f64::from(policy.publish_rate);
        let rates = &mut self.rare.get_or_insert_default().rates;
        let index = rates.iter().position(|known| known.channel == channel);
        let index = index.unwrap_or_else(|| {
            // One that has filled up again is as good as none.
            rates.retain(|known| !known.bucket.is_full(rate, now));
            rates.push(PublishRate { channel, bucket: TokenBucket::full(rate, now), rate });
            rates.len() - 1
        });
        rates[index].bucket.take(messages as f64, rate, now).map_err(|wait| Refusal::TooMany { wait })
    }
}
