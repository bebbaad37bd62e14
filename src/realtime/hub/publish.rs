//! From a draft to a message in its channel, and from there to those who are to hear it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::sync::Mutex;

use super::Hub;
use super::channel::{ChannelEntry, ChannelState};
use super::events::HubEvent;
use super::fanout::{DeliveryKind, Recipients};
use super::mailboxes::MailboxAddress;
use super::outbox::{Item, Slow};
use crate::realtime::broker::memory::{Amending, Keeps, Owner};
use crate::realtime::vocabulary::{
    Audience, Channel, ConnectionId, Draft, Event, Message, Moment, Origin, Position, Publish, PublishSeveral, Receipt,
    Refusal,
};
use crate::shares::{Holder, most_of_one};

/// The publisher.
#[derive(Clone, Default)]
pub struct Sender<'a> {
    pub origin: Option<Origin>,
    pub address: Option<MailboxAddress>,
    /// Against whom a channel counts that is opened for its message, and what is kept of it; nobody where it is the app.
    pub holder: Option<Holder>,
    /// The clients asked, if it is a question.
    pub asked: Option<&'a Mutex<HashSet<ConnectionId>>>,
}

/// A draft on its way into channels.
pub(super) struct Publishing<'a> {
    pub sender: &'a Sender<'a>,
    pub draft: Draft,
    /// The sender hears it too, where a channel's policy leaves that to it.
    pub echo: bool,
    pub except: Option<&'a HashSet<MailboxAddress>>,
}

impl Hub {
    /// Publishes for the app: nothing is asked but what a channel can take.
    ///
    /// The position is that of the message in its channel, where it has one channel and is numbered there.
    ///
    /// # Errors
    /// [`Refusal`]: too big, too many channels, nobody there.
    pub fn publish(&self, publish: Publish, now: Moment) -> Result<Option<Position>, Refusal> {
        self.publish_as(&Sender::default(), publish, now)
    }

    pub(super) fn publish_as(
        &self,
        sender: &Sender,
        publish: Publish,
        now: Moment,
    ) -> Result<Option<Position>, Refusal> {
        let Publish { audience, draft, echo, .. } = publish;
        match audience {
            Audience::Channel(channel) => self.say(&channel, Publishing { sender, draft, echo, except: None }, now),
            Audience::Several { channels, connections, except, but } => {
                let mut except = self.subscribers_of(&except);
                except.extend(but.into_iter().map(MailboxAddress::of));
                // Directly first: whom a channel reaches too has heard it.
                let connections: Vec<_> =
                    connections.into_iter().filter(|id| except.insert(MailboxAddress::of(*id))).collect();
                let nobody = channels.is_empty();
                match self.whisper(sender, connections, draft.clone()) {
                    Err(refusal) if nobody => return Err(refusal),
                    _ => {}
                }
                let mut position = None;
                for (place, channel) in channels.iter().enumerate() {
                    let further = &channels[place + 1..];
                    let heard =
                        if further.is_empty() { HashSet::new() } else { self.subscribers_of(&channels[place..=place]) };
                    position = self.say(
                        channel,
                        Publishing { sender, draft: draft.clone(), echo, except: Some(&except) },
                        now,
                    )?;
                    except.extend(heard);
                }
                Ok(if channels.len() == 1 { position } else { None })
            }
            Audience::Connection(id) => self.whisper(sender, [id], draft),
            Audience::User(user) => self.whisper(sender, self.connections_of(&user), draft),
            Audience::Everyone => self.whisper(sender, self.connections(), draft),
        }
    }

    /// Several in one channel: all of them, or none. Of several `origins` each is of another message.
    pub(super) fn publish_several_as(
        &self,
        sender: &Sender,
        origins: &[Origin],
        several: PublishSeveral,
        now: Moment,
    ) -> Result<Vec<Receipt>, Refusal> {
        let PublishSeveral { channel, drafts, echo, retain, .. } = several;
        let longest = drafts.iter().map(Draft::len).max().unwrap_or_default();
        let amends = drafts.iter().any(|draft| draft.amends.is_some());
        let mut drafts = Some(drafts);
        let mut accept = |entry: &Arc<ChannelEntry>, state: &mut ChannelState| {
            let most = state.policy.max_message.bytes();
            if longest > most {
                return Err(Refusal::TooBig { most });
            }
            state.retain(retain, now.instant);
            let drafts = drafts.take().into_iter().flatten();
            let said = |(index, draft): (usize, Draft)| {
                let own = origins.get(index).filter(|_| index > 0);
                let own = own.map(|origin| Sender { origin: Some(origin.clone()), ..sender.clone() });
                let sender = own.as_ref().unwrap_or(sender);
                self.accept(entry, state, Publishing { sender, draft, echo, except: None }, now)
            };
            drafts.enumerate().map(said).collect()
        };
        let policy = self.config().policy(&channel);
        if amends && !policy.mutable {
            return Err(Refusal::Immutable);
        }
        if !amends && (policy.history > 0 || !retain.is_zero()) {
            let holder = sender.holder.unwrap_or(Holder::Trusted);
            return self.channel(&channel, holder, now.instant, accept).unwrap_or(Err(Refusal::Unavailable));
        }
        let said = self.with_channel(&channel, |entry, mut state| {
            let said = accept(entry, &mut state);
            self.directory.settle(entry, &mut state);
            said
        });
        if let Some(said) = said {
            return said;
        }
        let most = policy.max_message.bytes();
        if longest > most {
            return Err(Refusal::TooBig { most });
        }
        let drafts = drafts.unwrap_or_default();
        if amends {
            return Err(Refusal::Forgotten);
        }
        self.metrics.published.inc_by(drafts.len() as u64);
        Ok(drafts.iter().map(|_| Receipt { position: None, unix_ms: now.unix_ms }).collect())
    }

    /// To single connections, in no channel. Says how many of them it is on its way to.
    pub fn send(&self, to: impl IntoIterator<Item = ConnectionId>, draft: Draft) -> usize {
        self.send_as(&Sender::default(), to, draft)
    }

    fn send_as(&self, sender: &Sender, to: impl IntoIterator<Item = ConnectionId>, draft: Draft) -> usize {
        let bytes = u32::try_from(draft.len()).unwrap_or(u32::MAX);
        let event = Arc::new(Event::Direct(Arc::new(draft)));
        let mut heard = 0;
        for id in to {
            if self.push_to(id, Item::Event(Arc::clone(&event)), bytes) {
                heard += 1;
                if let Some(asked) = sender.asked {
                    asked.lock().insert(id);
                }
            }
        }
        self.metrics.delivered.inc_by(heard as u64);
        heard
    }

    /// Publishes in one channel for the app, to all but `but`.
    ///
    /// # Errors
    /// As [`Hub::publish`].
    pub fn publish_to(
        &self,
        channel: &Channel,
        draft: Draft,
        but: Option<ConnectionId>,
        now: Moment,
    ) -> Result<Option<Position>, Refusal> {
        let address = but.filter(|id| self.with_mailbox(*id, |_, _| ()).is_some()).map(MailboxAddress::of);
        let sender = Sender { address, ..Sender::default() };
        self.say(channel, Publishing { sender: &sender, draft, echo: address.is_none(), except: None }, now)
    }

    /// Tells its subscribers how many of them there are; those whose encoding has words for it.
    pub fn tell_subscribers(&self, channel: &Channel) {
        self.with_channel(channel, |entry, mut state| {
            let event = Event::Subscribers { channel: entry.name.clone(), subscribers: state.subscribers_everywhere() };
            let limits = self.config().outbox;
            self.fan_out_with(&limits).fan_out(entry, &mut state, &event, DeliveryKind::Notice, Recipients::default());
        });
    }

    /// Tells observers that so many subscribe to a channel now.
    pub(super) fn emit_subscribers(&self, channel: &Channel, state: &ChannelState, elsewhere: bool) {
        let (here, subscribers) = (state.subscribers(), state.subscribers_everywhere());
        self.emit(&HubEvent::Subscribers { channel, here, subscribers, elsewhere });
    }

    fn subscribers_of(&self, channels: &[Channel]) -> HashSet<MailboxAddress> {
        channels.iter().flat_map(|channel| self.addresses_in(channel)).collect()
    }

    /// The addresses of those who are in a channel.
    pub(super) fn addresses_in(&self, channel: &Channel) -> Vec<MailboxAddress> {
        self.with_channel(channel, |_, state| state.addresses().collect()).unwrap_or_default()
    }

    fn whisper(
        &self,
        sender: &Sender,
        to: impl IntoIterator<Item = ConnectionId>,
        draft: Draft,
    ) -> Result<Option<Position>, Refusal> {
        if self.send_as(sender, to, draft) == 0 { Err(Refusal::Unknown) } else { Ok(None) }
    }

    /// A message makes no channel if nobody subscribes and nothing would be kept.
    fn say(&self, channel: &Channel, saying: Publishing, now: Moment) -> Result<Option<Position>, Refusal> {
        let holder = saying.sender.holder.unwrap_or(Holder::Trusted);
        let amends = saying.draft.amends.is_some();
        let mut saying = Some(saying);
        let mut accept = |entry: &Arc<ChannelEntry>, state: &mut ChannelState| {
            let saying = saying.take().expect("a message is accepted once");
            self.accept(entry, state, saying, now).map(|receipt| receipt.position)
        };
        let said = self.with_channel(channel, |entry, mut state| {
            let said = accept(entry, &mut state);
            // What is kept of it, or no longer, may make the difference.
            self.directory.settle(entry, &mut state);
            said
        });
        if let Some(said) = said {
            return said;
        }
        let policy = self.config().policy(channel);
        if amends {
            return Err(if policy.mutable { Refusal::Forgotten } else { Refusal::Immutable });
        }
        if policy.history > 0 {
            return self.channel(channel, holder, now.instant, accept).unwrap_or(Err(Refusal::Unavailable));
        }
        let most = policy.max_message.bytes();
        if saying.is_some_and(|saying| saying.draft.len() > most) {
            return Err(Refusal::TooBig { most });
        }
        self.metrics.published.inc();
        Ok(None)
    }

    /// A message gets its place in the channel's order and goes out, under the channel's lock.
    fn accept(
        &self,
        entry: &ChannelEntry,
        state: &mut ChannelState,
        saying: Publishing,
        now: Moment,
    ) -> Result<Receipt, Refusal> {
        let draft = &saying.draft;
        let most = state.policy.max_message.bytes();
        if draft.len() > most {
            return Err(Refusal::TooBig { most });
        }
        if let Some(receipt) = draft.id.as_deref().and_then(|id| state.said(id)) {
            return Ok(receipt);
        }
        if draft.amends.is_some() && !state.policy.mutable {
            return Err(Refusal::Immutable);
        }
        if state.mirror.is_some() && !draft.volatile && !draft.passing {
            // Only the broker gives places to what several doors share.
            return Err(Refusal::Unavailable);
        }
        self.metrics.published.inc();
        self.place(entry, state, saying, now)
    }

    /// What was accepted gets its place, whoever has accepted it.
    pub(super) fn place(
        &self,
        entry: &ChannelEntry,
        state: &mut ChannelState,
        saying: Publishing,
        now: Moment,
    ) -> Result<Receipt, Refusal> {
        let Publishing { sender, draft, echo, except } = saying;
        let is_amendment = draft.amends.is_some();
        let id = draft.id.clone();
        let echo = state.policy.echo.unwrap_or(echo);
        let recipients = Recipients {
            but: sender.address.filter(|_| !echo),
            except,
            messages: true,
            notices: false,
            occupancy: false,
            asked: sender.asked,
        };
        let config = self.config();
        let means = self.fan_out_with(&config.outbox);
        state.quiet_since = now.instant;
        let (is_volatile, is_passing) = (draft.volatile, draft.passing);
        let (channel, unix_ms, origin) = (entry.name.clone(), now.unix_ms, sender.origin.clone());
        if is_amendment {
            return self.amend(entry, state, sender, (draft, recipients), now);
        }
        let message = |position| Message::new(channel, position, unix_ms, origin, draft);
        if is_volatile || is_passing {
            let event = Event::Message(Arc::new(message(state.log.top())));
            means.fan_out(
                entry,
                state,
                &event,
                if is_volatile { DeliveryKind::Volatile } else { DeliveryKind::Notice },
                recipients,
            );
            return Ok(Receipt { position: None, unix_ms: now.unix_ms });
        }
        let before = state.log.bytes();
        let (keeps, room, owner) = self.room_for(state, sender, now);
        let message = state.log.append(message, keeps, room, owner, now.instant);
        self.account(before, state.log.bytes());
        let position = message.position;
        let receipt = Receipt { position: Some(position), unix_ms: now.unix_ms };
        if let Some(id) = id {
            state.remember(id, receipt, now.instant);
        }
        means.fan_out(entry, state, &Event::Message(message), DeliveryKind::Numbered(position.offset), recipients);
        Ok(receipt)
    }

    /// A change of an earlier message: as any other message, but that its channel must have that one.
    fn amend(
        &self,
        entry: &ChannelEntry,
        state: &mut ChannelState,
        sender: &Sender,
        (mut draft, recipients): (Draft, Recipients),
        now: Moment,
    ) -> Result<Receipt, Refusal> {
        let Some(amendment) = draft.amends.take() else { return Err(Refusal::Forgotten) };
        let id = draft.id.clone();
        let most = state.policy.max_message.bytes();
        // Where a slow client is told only of the latest, it may lack what came before.
        let tells_whole = state.policy.slow == Slow::KeepLatest;
        let origin = sender.origin.clone();
        let amending = Amending { amendment: *amendment, draft, origin, unix_ms: now.unix_ms, most, tells_whole };
        self.trim(state, now.instant);
        let before = state.log.bytes();
        let (keeps, room, owner) = self.room_for(state, sender, now);
        let told = state.log.amend(amending, keeps, room, owner, now.instant);
        self.account(before, state.log.bytes());
        let message = told?;
        let position = message.amended.as_ref().map_or(message.position, |amended| amended.version);
        let receipt = Receipt { position: Some(position), unix_ms: now.unix_ms };
        if let Some(id) = id {
            state.remember(id, receipt, now.instant);
        }
        let config = self.config();
        let kind = DeliveryKind::Numbered(position.offset);
        self.fan_out_with(&config.outbox).fan_out(entry, state, &Event::Message(message), kind, recipients);
        Ok(receipt)
    }

    /// What a channel keeps now, the room that it has for it, and what of that the sender may have.
    fn room_for(&self, state: &mut ChannelState, sender: &Sender, now: Moment) -> (Keeps, usize, Option<Owner>) {
        let most = self.config().max_history.bytes();
        let others = self.history.load(Ordering::Relaxed).saturating_sub(state.log.bytes());
        let keeps = state.keeps(now.instant);
        // A client keeps no more than it leaves free. What is under way elsewhere is at most a message a thread.
        let owner = sender.holder.filter(|_| !keeps.is_nothing()).map(|holder| {
            let held = self.owners.held(holder);
            let kept = self.history.load(Ordering::Relaxed);
            Owner { most: most_of_one(most, kept, held.load(Ordering::Relaxed)), held }
        });
        (keeps, most.saturating_sub(others), owner)
    }

    /// Publishes in a channel that the sender holds, without looking it up.
    pub(super) fn publish_in(
        &self,
        entry: &Arc<ChannelEntry>,
        sender: &Sender,
        draft: Draft,
        echo: bool,
        now: Moment,
    ) -> Result<Option<Position>, Refusal> {
        let mut state = entry.state.lock();
        let said = self.accept(entry, &mut state, Publishing { sender, draft, echo, except: None }, now);
        self.directory.settle(entry, &mut state);
        said.map(|receipt| receipt.position)
    }
}
