//! Saying something to the clients of all doors.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::warn;

use super::mirroring::MirrorError;
use super::wire::Utterance;
use super::word::{Addressee, DoorWord, SaidWord};
use super::{Cluster, wire};
use crate::realtime::broker::memory::Keep;
use crate::realtime::broker::{LogEntry, NodeId, Recipient};
use crate::realtime::hub::Hub;
use crate::realtime::hub::publish::Sender;
use crate::realtime::vocabulary::{
    Audience, Channel, ConnectionId, Draft, Moment, Origin, Position, Publish, PublishSeveral, Receipt, Refusal,
};
use crate::shares::Holder;

/// Messages kept for those who may come back, at most, where no policy says how many.
const MAX_RETAINED: usize = 10_000;

/// Whatever is kept for clients, the broker keeps so much for doors that have not heard something.
const HEALING_MESSAGES: usize = 200;
const HEALING_AGE: Duration = Duration::from_secs(30);

/// Who says it.
#[derive(Debug, Clone, Default)]
pub struct SharedSender {
    pub origin: Option<Origin>,
    /// The connection that it comes from, which may not want to hear it.
    pub connection: Option<ConnectionId>,
    /// Against whom a channel counts that is opened for it; nobody where it is the app.
    pub holder: Option<Holder>,
    /// What it is asked by: the same asked again, because nobody knows what became of it, says a message once.
    pub request: Option<Arc<str>>,
}

impl Hub {
    /// Publishes, on every door: on one alone it is [`Hub::publish`].
    ///
    /// # Errors
    /// As [`Hub::publish`]; [`Refusal::Unavailable`] where the broker does not take it: then it may have been said all the
    /// same, if the broker could not answer.
    pub async fn publish_shared(self: &Arc<Self>, publish: Publish, now: Moment) -> Result<Option<Position>, Refusal> {
        self.publish_once(publish, None, now).await
    }

    /// The same for a request of this name. Asked again at whatever door, within two minutes, it is said once: on one door
    /// alone a request that was carried out is answered from memory before it comes here.
    ///
    /// # Errors
    /// As [`Hub::publish_shared`].
    pub async fn publish_once(
        self: &Arc<Self>,
        publish: Publish,
        request: Option<Arc<str>>,
        now: Moment,
    ) -> Result<Option<Position>, Refusal> {
        if self.is_shared() {
            self.say_to_all(SharedSender { request, ..SharedSender::default() }, publish, now).await
        } else {
            self.publish(publish, now)
        }
    }

    /// Publishes in one channel for the app, to all but `but`, on every door: on one alone it is [`Hub::publish_to`].
    ///
    /// # Errors
    /// As [`Hub::publish_shared`].
    pub async fn publish_to_shared(
        self: &Arc<Self>,
        channel: &Channel,
        draft: Draft,
        but: Option<ConnectionId>,
        now: Moment,
    ) -> Result<Option<Position>, Refusal> {
        if !self.is_shared() {
            return self.publish_to(channel, draft, but, now);
        }
        let audience = Audience::Channel(channel.clone());
        let sender = SharedSender { connection: but, ..SharedSender::default() };
        self.say_to_all(sender, Publish { ticket: 0, audience, draft, echo: but.is_none() }, now).await
    }

    /// The same, by somebody.
    pub async fn say_to_all(
        self: &Arc<Self>,
        sender: SharedSender,
        publish: Publish,
        now: Moment,
    ) -> Result<Option<Position>, Refusal> {
        let Publish { audience, draft, echo, .. } = publish;
        let Some(cluster) = self.cluster() else { return Err(Refusal::Unavailable) };
        let terms = (sender.holder.unwrap_or(Holder::Trusted), Duration::ZERO, sender.request.as_deref());
        let utterance = |draft: Draft, except, but| Utterance {
            draft,
            origin: sender.origin.clone(),
            unix_ms: now.unix_ms,
            sender: sender.connection,
            echo,
            except,
            but,
        };
        match audience {
            Audience::Channel(channel) => {
                let receipt = self.say_in(cluster, &channel, utterance(draft, Vec::new(), Vec::new()), terms);
                Ok(receipt.await?.position)
            }
            Audience::Several { channels, connections, except, but } => {
                if !connections.is_empty() {
                    let direct = utterance(draft.clone(), except.clone(), but.clone());
                    self.say_directly(cluster, Addressee::Connections(ids(&connections)), direct).await?;
                }
                // Whom it has reached by another of them it does not reach again.
                let but: Vec<_> = but.into_iter().chain(connections).collect();
                let mut position = None;
                for (place, channel) in channels.iter().enumerate() {
                    let before = except.iter().chain(&channels[..place]).cloned().collect();
                    let said = utterance(draft.clone(), before, but.clone());
                    position = self.say_in(cluster, channel, said, terms).await?.position;
                }
                Ok(if channels.len() == 1 { position } else { None })
            }
            Audience::Connection(id) => {
                let said = utterance(draft, Vec::new(), Vec::new());
                self.say_directly(cluster, Addressee::Connections(vec![id.0]), said).await
            }
            Audience::User(user) => {
                self.say_directly(cluster, Addressee::User(user), utterance(draft, Vec::new(), Vec::new())).await
            }
            Audience::Everyone => {
                self.say_directly(cluster, Addressee::Everyone, utterance(draft, Vec::new(), Vec::new())).await
            }
        }
    }

    /// Several in one channel, one after another. Each of several `origins` is that of another message.
    pub async fn say_several_to_all(
        self: &Arc<Self>,
        sender: SharedSender,
        origins: Vec<Origin>,
        several: PublishSeveral,
        now: Moment,
    ) -> Result<Vec<Receipt>, Refusal> {
        let PublishSeveral { channel, drafts, echo, retain, .. } = several;
        let Some(cluster) = self.cluster() else { return Err(Refusal::Unavailable) };
        let most = self.config().policy(&channel).max_message.bytes();
        if drafts.iter().any(|draft| draft.len() > most) {
            return Err(Refusal::TooBig { most });
        }
        let holder = sender.holder.unwrap_or(Holder::Trusted);
        if !retain.is_zero() {
            // What nobody is there to hear is kept all the same.
            self.mirror(&channel, holder).await?;
            self.with_channel(&channel, |entry, mut state| {
                state.retain(retain, now.instant);
                self.share_retention(entry, &mut state, now.instant);
            });
        }
        let mut receipts = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.into_iter().enumerate() {
            let origin = origins.get(index).cloned().or_else(|| sender.origin.clone());
            let sender = sender.connection;
            let (except, but) = Default::default();
            let said = Utterance { draft, origin, unix_ms: now.unix_ms, sender, echo, except, but };
            receipts.push(self.say_in(cluster, &channel, said, (holder, retain, None)).await?);
        }
        Ok(receipts)
    }

    async fn say_in(
        self: &Arc<Self>,
        cluster: &Cluster,
        channel: &Channel,
        utterance: Utterance,
        (holder, retain, request): (Holder, Duration, Option<&str>),
    ) -> Result<Receipt, Refusal> {
        let policy = self.config().policy(channel);
        let most = policy.max_message.bytes();
        if utterance.draft.len() > most {
            return Err(Refusal::TooBig { most });
        }
        if let Some(amendment) = &utterance.draft.amends {
            if !policy.mutable {
                return Err(Refusal::Immutable);
            }
            self.mirror(channel, holder).await?;
            self.catch_up(channel, Some(amendment.target)).await?;
            let now = Moment::now();
            let may = self.with_channel(channel, |_, mut state| {
                self.trim(&mut state, now.instant);
                state.log.may_amend(amendment)
            });
            may.unwrap_or(Err(Refusal::Forgotten))?;
        }
        self.metrics.published.inc();
        let unix_ms = utterance.unix_ms;
        if utterance.draft.volatile || utterance.draft.passing {
            if let Err(error) = cluster.broker.pass(channel, utterance.encode()).await {
                warn!(channel = channel.as_str(), %error, "what is not kept reaches only the clients of this door");
                self.pass_here(channel, utterance);
            }
            return Ok(Receipt { position: None, unix_ms });
        }
        // How much is kept, clients of other doors may have a wish about.
        match self.try_mirror(channel, holder).await {
            Ok(()) | Err(MirrorError::Full) => {}
            Err(error) => {
                warn!(channel = channel.as_str(), %error, "a message is refused");
                return Err(Refusal::Unavailable);
            }
        }
        let keep = self.shared_keep(channel, &policy.keep(), retain);
        let entry = LogEntry {
            // No sender's own name for a message begins like that of a request.
            id: utterance.draft.id.clone().or_else(|| Some(format!("\u{1f}{}", request?).into())),
            body: utterance.encode(),
            messages: keep.messages.max(HEALING_MESSAGES),
            age: keep.age.max(HEALING_AGE),
        };
        let appended = cluster.broker.append(channel, entry).await.map_err(|error| {
            warn!(channel = channel.as_str(), %error, "a message is refused");
            Refusal::Unavailable
        })?;
        Ok(Receipt { position: Some(appended.position), unix_ms: appended.unix_ms })
    }

    /// What all doors together keep of a channel: its policy's, and for those who may come back.
    fn shared_keep(&self, channel: &Channel, policy: &Keep, retain: Duration) -> Keep {
        let wish = self.with_channel(channel, |_, mut state| state.keeps(Moment::now().instant).wish).flatten();
        let age = wish.map_or(retain, |wish| wish.age.max(retain));
        if age.is_zero() {
            return *policy;
        }
        Keep { messages: policy.messages.max(MAX_RETAINED), age: policy.age.max(age) }
    }

    async fn say_directly(
        &self,
        cluster: &Cluster,
        to: Addressee,
        utterance: Utterance,
    ) -> Result<Option<Position>, Refusal> {
        let draft = utterance.draft.clone();
        let addressed = self.addressed(&to, &utterance);
        let word = DoorWord::Said(SaidWord { from: cluster.broker.node().0, to, said: utterance.encode() });
        let told = cluster.broker.tell(Recipient::All, wire::encode(&word)).await;
        // Those of this door hear it in any case.
        self.send(addressed, draft);
        told.map(|()| None).map_err(|_| Refusal::Unavailable)
    }

    /// Does what another door has told this one, or all of them.
    pub(super) fn take_word(&self, body: &Bytes) {
        let Some(cluster) = self.cluster() else { return };
        match wire::decode::<DoorWord>(body) {
            Ok(DoorWord::Said(word)) if NodeId(word.from) == cluster.broker.node() => {}
            Ok(DoorWord::Said(word)) => match Utterance::decode(&word.said) {
                Ok(said) => {
                    self.send(self.addressed(&word.to, &said), said.draft);
                }
                Err(error) => warn!(%error, "another door's word"),
            },
            Ok(DoorWord::Question(question)) => cluster.take_question(question),
            Ok(DoorWord::Answer(answer)) => cluster.take_answer(answer),
            Err(error) => warn!(%error, "another door's word"),
        }
    }

    /// The connections of this door that are meant.
    fn addressed(&self, to: &Addressee, utterance: &Utterance) -> Vec<ConnectionId> {
        let mut apart: Vec<_> = utterance.except.iter().flat_map(|channel| self.addresses_in(channel)).collect();
        apart.extend(utterance.but.iter().filter_map(|id| self.address_here(*id)));
        let is_meant = |id: &ConnectionId| self.address_here(*id).is_some_and(|address| !apart.contains(&address));
        self.connections_meant(to).into_iter().filter(is_meant).collect()
    }

    /// The same, whoever is apart.
    pub(in crate::realtime::hub) fn connections_meant(&self, to: &Addressee) -> Vec<ConnectionId> {
        match to {
            Addressee::Connections(ids) => ids.iter().map(|id| ConnectionId(*id)).collect(),
            Addressee::User(user) => self.connections_of(user),
            Addressee::Everyone => self.connections(),
        }
    }

    /// Says what has no place to those who are here alone.
    fn pass_here(&self, channel: &Channel, utterance: Utterance) {
        let Utterance { draft, origin, sender, echo, .. } = utterance;
        let sender = Sender { origin, address: sender.and_then(|id| self.address_here(id)), ..Sender::default() };
        let audience = Audience::Channel(channel.clone());
        let _ = self.publish_as(&sender, Publish { ticket: 0, audience, draft, echo }, Moment::now());
    }
}

fn ids(connections: &[ConnectionId]) -> Vec<u64> {
    connections.iter().map(|id| id.0).collect()
}
