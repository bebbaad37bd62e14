//! Events that clients send each other, on private and presence channels only.

use std::time::Instant;

use bytes::Bytes;

use super::code::error;
use super::encode::SENDER;
use super::events::PusherEvent;
use super::{Machine, PUBLISH};
use crate::realtime::dialect::Step;
use crate::realtime::pusher::name::{self, ChannelAccess, ChannelKind};
use crate::realtime::vocabulary::{Audience, Command, Draft, Extras, Moment, Payload, Publish, TokenBucket};

impl Machine {
    pub(super) fn client_event(&mut self, event: &str, name: &str, data: Payload, now: Moment, step: &mut Step) {
        match self.accept(event, name, data, now) {
            Ok(publish) => step.command(Command::Authorized(Box::new(Command::Publish(Box::new(publish))))),
            Err(words) => {
                let name = name::is_valid(name).then_some(name);
                step.send(error(Some(4301), &format!("The client event is rejected: {words}."), name));
            }
        }
    }

    /// What is published of it, or why it is not.
    fn accept(&mut self, event: &str, name: &str, data: Payload, now: Moment) -> Result<Publish, String> {
        let settings = self.app.settings();
        if !settings.client_events {
            return Err("client events are not enabled for this app".into());
        }
        let kind = ChannelKind::of(name);
        if !matches!(kind.access, ChannelAccess::Private | ChannelAccess::Presence) {
            return Err("only private and presence channels have them".into());
        }
        let channel = self.app.channel(name);
        let place = channel.and_then(|channel| self.find(channel.as_str()).ok());
        let place = place.ok_or("the connection is not subscribed to the channel")?;
        if event.chars().count() > name::MAX_NAME_LEN {
            return Err(format!("its name is longer than {} characters", name::MAX_NAME_LEN));
        }
        let most = settings.max_event.bytes();
        if data.len() > most {
            return Err(format!("its data is longer than {most} bytes"));
        }
        if !self.is_within_rate(settings.client_event_rate, now.instant) {
            return Err(format!("more than {} a second", settings.client_event_rate));
        }
        let subscription = &self.subscriptions[place];
        self.app.emit(&PusherEvent::ClientEvent {
            channel: &subscription.channel,
            event,
            data: &data,
            socket_id: &self.socket_id(),
            user: subscription.user.as_deref(),
        });
        let sender = subscription.user.as_ref().map(|user| (SENDER.into(), Bytes::copy_from_slice(user.as_bytes())));
        let mut draft = Draft::new(data);
        draft.name = Some(event.into());
        draft.extras = Extras::new(sender);
        // A cache channel remembers what the app said, not what clients say to each other.
        draft.passing = kind.is_cache;
        let audience = Audience::Channel(subscription.channel.clone());
        Ok(Publish { ticket: PUBLISH, audience, draft, echo: false })
    }

    fn is_within_rate(&mut self, rate: u32, now: Instant) -> bool {
        let rate = f64::from(rate);
        let bucket = self.bucket.get_or_insert_with(|| Box::new(TokenBucket::full(rate, now)));
        bucket.take(1.0, rate, now).is_ok()
    }
}
