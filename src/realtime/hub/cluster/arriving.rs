//! What the broker tells of a channel, done here as on every door.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::warn;

use super::mirroring::LONG;
use super::wire::{self, RosterMember, Utterance};
use crate::realtime::broker::{BrokerListener, ChannelEvent};
use crate::realtime::hub::channel::{ChannelEntry, ChannelState};
use crate::realtime::hub::mailboxes::MailboxAddress;
use crate::realtime::hub::mirror::{FieldKind, OthersField, field};
use crate::realtime::hub::publish::{Publishing, Sender};
use crate::realtime::hub::{Hub, HubEvent};
use crate::realtime::vocabulary::{Channel, ConnectionId, Moment, Position, Presence, Refusal};

impl BrokerListener for Hub {
    fn on_event(&self, channel: &Channel, event: ChannelEvent) {
        let Some(cluster) = self.cluster() else { return };
        self.with_channel(channel, |entry, mut state| {
            let Some(mirror) = &mut state.mirror else { return };
            if !mirror.is_live() {
                return mirror.hold(event);
            }
            if let Err(missing) = self.take(entry, &mut state, event, Moment::now()) {
                if let Some(mirror) = &mut state.mirror {
                    mirror.reload(Some(missing));
                }
                cluster.reload(channel);
            }
            self.directory.settle(entry, &mut state);
        });
    }

    fn on_word(&self, body: Bytes) {
        self.take_word(&body);
    }

    fn on_gap(&self, channel: &Channel) {
        let Some(cluster) = self.cluster() else { return };
        self.with_channel(channel, |_, mut state| {
            if let Some(mirror) = &mut state.mirror {
                mirror.reload(None);
                cluster.reload(channel);
            }
        });
    }

    fn on_departed(&self, channel: &Channel, name: &str, value: Bytes) {
        match field(name) {
            Some((_, FieldKind::Counts)) => self.emit(&HubEvent::Departed { channel, member: None }),
            Some((_, FieldKind::Member)) => match RosterMember::decode(&value) {
                Ok(shown) => self.emit(&HubEvent::Departed { channel, member: Some(&Arc::new(shown.member)) }),
                Err(error) => warn!(channel = channel.as_str(), %error, "a field of a door that has gone"),
            },
            Some((_, FieldKind::Retention)) | None => {}
        }
    }

    fn on_words_lost(&self) {
        if let Some(cluster) = self.cluster() {
            cluster.answers.tell_of_loss();
        }
    }

    fn on_expelled(&self) {
        let Some(cluster) = self.cluster() else { return };
        for entry in self.directory.all() {
            let mut state = entry.state.lock();
            if state.mirror.as_mut().is_some_and(|mirror| mirror.put_again()) {
                cluster.flush(&entry.name);
            }
        }
        // Documents, too, may be another's by now.
        if let Some(documents) = self.documents() {
            documents.look();
        }
    }
}

impl Hub {
    /// Takes one event in its turn. One that is not next is given back: something is missing before it.
    pub(super) fn take(
        &self,
        entry: &Arc<ChannelEntry>,
        state: &mut ChannelState,
        event: ChannelEvent,
        now: Moment,
    ) -> Result<(), ChannelEvent> {
        match event {
            ChannelEvent::Said { position, body } => {
                let top = state.log.top();
                let is_same_life = position.epoch == top.epoch;
                if is_same_life && position.offset <= top.offset {
                    return Ok(());
                }
                if !is_same_life || position.offset != top.offset + 1 {
                    return Err(ChannelEvent::Said { position, body });
                }
                self.hand_on(entry, state, position, &body, now);
            }
            ChannelEvent::Passed(body) => match Utterance::decode(&body) {
                Ok(utterance) => self.pass_on(entry, state, utterance, now),
                Err(error) => warn!(channel = entry.name.as_str(), %error, "another door's message"),
            },
            ChannelEvent::Roster { sequence, by, field, value } => {
                let Some(mirror) = &mut state.mirror else { return Ok(()) };
                if sequence <= mirror.sequence {
                    return Ok(());
                }
                if sequence != mirror.sequence + 1 {
                    return Err(ChannelEvent::Roster { sequence, by, field, value });
                }
                mirror.sequence = sequence;
                self.take_field(entry, state, field, value, now);
            }
        }
        Ok(())
    }

    /// Hands the message at `position`, which is the next, to those who are here.
    pub(super) fn hand_on(
        &self,
        entry: &Arc<ChannelEntry>,
        state: &mut ChannelState,
        position: Position,
        body: &Bytes,
        now: Moment,
    ) {
        let done = Utterance::decode(body)
            .map_err(|error| error.to_string())
            .and_then(|utterance| self.say_here(entry, state, utterance, now).map_err(|refusal| refusal.to_string()));
        if let Err(error) = done {
            warn!(channel = entry.name.as_str(), offset = position.offset, %error, "a message of another door is left out");
            self.restart_log(entry, state, position, true, true);
        }
    }

    fn pass_on(&self, entry: &Arc<ChannelEntry>, state: &mut ChannelState, utterance: Utterance, now: Moment) {
        // Nothing can refuse what has no place.
        let _ = self.say_here(entry, state, utterance, now);
    }

    /// Says what all doors say, with the place that all doors give it.
    fn say_here(
        &self,
        entry: &Arc<ChannelEntry>,
        state: &mut ChannelState,
        utterance: Utterance,
        now: Moment,
    ) -> Result<(), Refusal> {
        let Utterance { draft, origin, unix_ms, sender, echo, except, but } = utterance;
        // Those of this channel are in this very state, which is locked.
        let mut apart: HashSet<MailboxAddress> = HashSet::new();
        for other in &except {
            if *other == entry.name {
                apart.extend(state.addresses());
            } else {
                apart.extend(self.addresses_in(other));
            }
        }
        apart.extend(but.iter().filter_map(|id| self.address_here(*id)));
        let sender = Sender { origin, address: sender.and_then(|id| self.address_here(id)), holder: None, asked: None };
        let age = Duration::from_millis(now.unix_ms.saturating_sub(unix_ms));
        let said = Moment { instant: now.instant.checked_sub(age).unwrap_or(now.instant), unix_ms };
        let except = (!apart.is_empty()).then_some(&apart);
        self.place(entry, state, Publishing { sender: &sender, draft, echo, except }, said).map(|_| ())
    }

    /// The mailbox of a connection, if it is one of this door's.
    pub(super) fn address_here(&self, id: ConnectionId) -> Option<MailboxAddress> {
        self.is_connected(id).then(|| MailboxAddress::of(id))
    }

    /// A field of the roster is another, or gone.
    pub(super) fn take_field(
        &self,
        entry: &Arc<ChannelEntry>,
        state: &mut ChannelState,
        name: String,
        value: Option<Bytes>,
        now: Moment,
    ) {
        let Some(cluster) = self.cluster() else { return };
        let Some((owner, kind)) = field(&name) else { return };
        // What is this door's own was done when it was put.
        if owner == cluster.broker.node() {
            return;
        }
        let understood = match kind {
            FieldKind::Counts => {
                let counts = value.map(|value| wire::decode_counts(&value)).transpose();
                counts.map(|counts| {
                    if let Some(mirror) = &mut state.mirror {
                        mirror.count(name, counts);
                        self.emit_subscribers(&entry.name, state, true);
                    }
                })
            }
            FieldKind::Retention => {
                let age = value.map(|value| wire::decode_age(&value)).transpose();
                age.map(|age| {
                    if let Some(mirror) = &mut state.mirror {
                        mirror.retain(name, age);
                    }
                })
            }
            FieldKind::Member => match value.map(|value| RosterMember::decode(&value)).transpose() {
                Ok(Some(shown)) => {
                    self.take_member(entry, state, name, shown, now);
                    Ok(())
                }
                Ok(None) => {
                    self.lose_member(entry, state, &name, now);
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = understood {
            warn!(channel = entry.name.as_str(), %error, "a field of another door");
        }
    }

    fn take_member(
        &self,
        entry: &Arc<ChannelEntry>,
        state: &mut ChannelState,
        name: String,
        shown: RosterMember,
        now: Moment,
    ) {
        let RosterMember { member, connection, is_away, is_parting } = shown;
        let Some(mirror) = &mut state.mirror else { return };
        let is_known = mirror.others.contains_key(&name);
        if is_parting {
            if is_known {
                state.members.amend(member);
            }
            return;
        }
        let (key, entered_ms) = (member.key.clone(), member.unix_ms);
        if !is_known {
            mirror.add_key(&key);
            mirror.others.insert(name, OthersField::Member { key: (*key).into(), connection });
        }
        if !(is_away && is_known)
            && let Some((change, member)) = state.members.enter(member, connection)
        {
            let user_stays = state.members.has_other(&member);
            self.tell_presence(entry, state, (change, &member), user_stays, now);
        }
        if is_away {
            state.members.leave(&key, connection, LONG, now.instant);
        } else if let (Some(cluster), Some(mirror)) = (self.cluster(), &mut state.mirror)
            && mirror.take_over(&key, entered_ms)
        {
            cluster.flush(&entry.name);
        }
    }

    fn lose_member(&self, entry: &Arc<ChannelEntry>, state: &mut ChannelState, name: &str, now: Moment) {
        let Some(mirror) = &mut state.mirror else { return };
        let Some(OthersField::Member { key, connection }) = mirror.others.remove(name) else { return };
        mirror.remove_key(&key);
        let stays = mirror.has_key(&key);
        if let Some(member) = state.members.forget(&key, connection, stays) {
            let user_stays = state.members.has_other(&member);
            // Whoever is here tells it, if nobody else does.
            self.emit(&HubEvent::Went { channel: &entry.name, member: &member, user_stays, elsewhere: true });
            self.tell_presence(entry, state, (Presence::Left, &member), user_stays, now);
        }
    }
}
