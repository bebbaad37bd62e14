//! What a client does where several doors share the hub's channels, and what it waits for first.

use std::sync::Arc;

use super::{Authority, Client};
use crate::realtime::hub::cluster::SharedSender;
use crate::realtime::vocabulary::{
    Audience, Channel, Moment, Origin, Position, Publish, PublishSeveral, Receipt, Refusal,
};

impl Client {
    /// Whether a channel must be fetched from the other doors before it does anything there that it may: being a member of
    /// it, or hearing it, from the position `known` where there is one.
    ///
    /// # Errors
    /// [`Refusal`]: it may not.
    pub fn needs_mirror(
        &self,
        channel: &Channel,
        known: Option<Position>,
        authority: Authority,
    ) -> Result<bool, Refusal> {
        if self.hub.is_mirrored(channel) && !known.is_some_and(|known| self.hub.lags(channel, known)) {
            return Ok(false);
        }
        let policy = self.hub.config().policy(channel);
        let may_hear = self.may_hear(channel, &policy, authority);
        may_hear.or_else(|refusal| self.may_enter(channel, &policy, authority).map_err(|_| refusal)).map(|()| true)
    }

    /// Fetches it, to be waited for.
    pub fn mirror(
        &self,
        channel: Channel,
        known: Option<Position>,
    ) -> impl Future<Output = Result<(), Refusal>> + Send + use<> {
        let (hub, holder) = (Arc::clone(&self.hub), self.holder());
        async move {
            hub.mirror(&channel, holder).await?;
            hub.catch_up(&channel, known).await
        }
    }

    fn shared_sender(&self, origin: Origin) -> SharedSender {
        SharedSender { origin: Some(origin), connection: Some(self.id), holder: Some(self.holder()), request: None }
    }

    /// Publishes on every door that shares the hub's channels: to be waited for.
    ///
    /// # Errors
    /// As [`Client::publish`], at once or later; [`Refusal::Unavailable`] where the broker does not take it.
    pub fn publish_shared(
        &mut self,
        publish: Publish,
        authority: Authority,
        now: Moment,
    ) -> Result<impl Future<Output = Result<Option<Position>, Refusal>> + Send + use<>, Refusal> {
        match &publish.audience {
            Audience::Channel(channel) => {
                let (policy, number) = self.policy_of(channel);
                self.check(channel, &policy, (number, 1), authority, now.instant)?;
            }
            audience => self.check_audience(audience, authority, now.instant)?,
        }
        let sender = self.shared_sender(self.origin());
        let hub = Arc::clone(&self.hub);
        Ok(async move { hub.say_to_all(sender, publish, now).await })
    }

    /// Publishes several on every door that shares the hub's channels: each message is said, or known, or the first that is refused
    /// ends it.
    ///
    /// # Errors
    /// As [`Client::publish_shared`].
    pub fn publish_several_shared(
        &mut self,
        several: PublishSeveral,
        authority: Authority,
        now: Moment,
    ) -> Result<impl Future<Output = Result<Vec<Receipt>, Refusal>> + Send + use<>, Refusal> {
        let (origin, origins) = self.check_several(&several, authority, now)?;
        let sender = self.shared_sender(origin);
        let hub = Arc::clone(&self.hub);
        Ok(async move { hub.say_several_to_all(sender, origins, several, now).await })
    }
}
