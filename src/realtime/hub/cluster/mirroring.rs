//! Making the mirror of a channel, and reading it anew where something of it may be missing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::{Cluster, Reading};
use crate::realtime::broker::{BrokerError, Snapshot};
use crate::realtime::hub::Hub;
use crate::realtime::hub::channel::{ChannelEntry, ChannelState};
use crate::realtime::hub::fanout::{FanOut, Gap};
use crate::realtime::hub::mirror::{Mirror, Stage, field};
use crate::realtime::vocabulary::{Channel, Moment, Position, Refusal};
use crate::shares::Holder;

/// Messages of a channel read at a time, at most. The broker has no more than its policy keeps, or clients of any door want
/// kept.
const MAX_READ: usize = 10_000;

/// How often a channel is read anew because it went on faster than it was read.
const MAX_TRIES: usize = 8;

/// Why a channel cannot be mirrored now.
#[derive(Debug, thiserror::Error)]
pub(super) enum MirrorError {
    #[error("{0}")]
    Broker(#[from] BrokerError),
    #[error("it goes on faster than it is read")]
    Overtaken,
    #[error("it is gone")]
    Gone,
    #[error("no more channels fit")]
    Full,
}

impl Hub {
    /// Sees to it that `channel` is here as it is on all doors; at once, where there is but one. Whoever looks at it soon
    /// after finds it so. Where it has to be made, that counts against `holder`.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: the broker does not answer, or no more channels fit.
    pub async fn mirror(self: &Arc<Self>, channel: &Channel, holder: Holder) -> Result<(), Refusal> {
        self.try_mirror(channel, holder).await.map_err(|error| {
            warn!(channel = channel.as_str(), %error, "a channel cannot be shared with the other doors");
            Refusal::Unavailable
        })
    }

    pub(super) async fn try_mirror(self: &Arc<Self>, channel: &Channel, holder: Holder) -> Result<(), MirrorError> {
        let Some(cluster) = self.cluster() else { return Ok(()) };
        if self.is_mirrored(channel) {
            return Ok(());
        }
        let wish = cluster.turn(channel);
        let _turn = wish.turn.lock().await;
        if self.is_mirrored(channel) { Ok(()) } else { self.make_mirror(cluster, channel, holder).await }
    }

    /// Sees to it that what a mirrored `channel` has had up to `known` is here: whoever names a position may have it from a
    /// door that hears more than this one does yet. One that means nothing there costs one look, and none nothing.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: the broker does not answer.
    pub async fn catch_up(self: &Arc<Self>, channel: &Channel, known: Option<Position>) -> Result<(), Refusal> {
        let Some(known) = known.filter(|known| self.lags(channel, *known)) else { return Ok(()) };
        // Others may have read it before it is this one's turn.
        self.reload_if(channel, || self.lags(channel, known)).await.map_err(|error| {
            warn!(channel = channel.as_str(), %error, "a channel cannot be compared with the other doors");
            if let Some(cluster) = self.cluster() {
                cluster.reload(channel);
            }
            Refusal::Unavailable
        })
    }

    /// Whether a position is one that this door, of several, knows nothing of.
    pub fn lags(&self, channel: &Channel, known: Position) -> bool {
        let has_had = |state: &ChannelState| state.mirror.is_none() || state.log.has_had(known);
        self.is_shared() && !self.with_channel(channel, |_, state| has_had(&state)).unwrap_or(true)
    }

    /// Whether what is here of `channel` is what there is, as far as is known.
    pub fn is_mirrored(&self, channel: &Channel) -> bool {
        let is_live = |state: &ChannelState| state.mirror.as_ref().is_some_and(|mirror| mirror.is_live());
        self.with_channel(channel, |_, state| is_live(&state)).unwrap_or_default()
    }

    async fn make_mirror(
        self: &Arc<Self>,
        cluster: &Cluster,
        channel: &Channel,
        holder: Holder,
    ) -> Result<(), MirrorError> {
        let now = Moment::now();
        let entry = self.channel(channel, holder, now.instant, |entry, state| {
            state.quiet_since = now.instant;
            // One that could not be read before is read now.
            state.mirror.get_or_insert_with(|| Box::new(Mirror::new()));
            Arc::clone(entry)
        });
        let entry = entry.ok_or(MirrorError::Full)?;
        let mut reading = Reading { cluster, channel, has_ended: false };
        cluster.heard.lock().insert(channel.clone());
        let read = match cluster.broker.subscribe(channel).await {
            Ok(()) => self.read_mirror(cluster, &entry).await,
            Err(error) => Err(error.into()),
        };
        reading.has_ended = true;
        if read.is_err() {
            let mut state = entry.state.lock();
            // With nobody in it, and nothing left to take out, it is as if nobody had asked.
            let has_nothing = state.mirror.as_ref().is_none_or(|mirror| mirror.has_nothing());
            if state.subscribers() == 0 && state.members.is_empty() && has_nothing {
                state.mirror = None;
                self.directory.settle(&entry, &mut state);
            } else {
                cluster.reload(channel);
            }
        }
        read
    }

    /// Reads a channel anew in which something may be missing.
    pub(super) async fn reload_mirror(self: &Arc<Self>, channel: &Channel) -> Result<(), MirrorError> {
        self.reload_if(channel, || true).await
    }

    /// The same, if that is still needed when it is its turn.
    async fn reload_if(
        self: &Arc<Self>,
        channel: &Channel,
        is_needed: impl Fn() -> bool + Send,
    ) -> Result<(), MirrorError> {
        let Some(cluster) = self.cluster() else { return Ok(()) };
        let wish = cluster.turn(channel);
        let _turn = wish.turn.lock().await;
        if !is_needed() {
            return Ok(());
        }
        let entry = self.with_channel(channel, |entry, mut state| {
            state.mirror.as_mut().map(|mirror| mirror.reload(None)).map(|()| Arc::clone(entry))
        });
        let Some(entry) = entry.flatten() else { return Ok(()) };
        let mut reading = Reading { cluster, channel, has_ended: false };
        let read = self.read_mirror(cluster, &entry).await;
        reading.has_ended = true;
        read
    }

    /// Reads what there is of a channel, then takes what has come meanwhile.
    async fn read_mirror(&self, cluster: &Cluster, entry: &Arc<ChannelEntry>) -> Result<(), MirrorError> {
        for _ in 0..MAX_TRIES {
            let after = {
                let mut state = entry.state.lock();
                let Some(mirror) = &mut state.mirror else { return Err(MirrorError::Gone) };
                let Stage::Loading { held, is_overfull, was_live } = &mut mirror.stage else { return Ok(()) };
                let after = *was_live;
                // What was held before this is in what is read now.
                held.clear();
                *is_overfull = false;
                after.then(|| state.log.top())
            };
            let snapshot = cluster.broker.snapshot(&entry.name, after, MAX_READ).await?;
            let mut state = entry.state.lock();
            if state.is_gone || state.mirror.is_none() {
                return Err(MirrorError::Gone);
            }
            if self.take_snapshot(cluster, entry, &mut state, snapshot, Moment::now()) {
                return Ok(());
            }
        }
        // It is tried again later, as long as anybody is there.
        cluster.reload(&entry.name);
        Err(MirrorError::Overtaken)
    }

    /// Goes on from `snapshot`. False where more has come meanwhile than was held: then it is read once more.
    fn take_snapshot(
        &self,
        cluster: &Cluster,
        entry: &Arc<ChannelEntry>,
        state: &mut ChannelState,
        snapshot: Snapshot,
        now: Moment,
    ) -> bool {
        let Some(mirror) = &mut state.mirror else { return true };
        let loaded = std::mem::replace(&mut mirror.stage, Stage::Live);
        let Stage::Loading { held, is_overfull, was_live } = loaded else { return true };
        mirror.sequence = snapshot.sequence;
        let goes_on = was_live && snapshot.goes_on_from(state.log.top());
        let Snapshot { top, earlier, entries, roster, .. } = snapshot;
        // First what says how much is kept.
        self.take_roster(cluster, entry, state, roster, now);
        self.take_log(entry, state, (top, &earlier, entries), (was_live, goes_on), now);
        state.quiet_since = now.instant;
        let mut held = held.into_iter();
        let missing = if is_overfull { None } else { held.find_map(|event| self.take(entry, state, event, now).err()) };
        if !is_overfull && missing.is_none() {
            return true;
        }
        if let Some(mirror) = &mut state.mirror {
            mirror.reload(missing);
            held.for_each(|event| mirror.hold(event));
        }
        false
    }

    fn take_log(
        &self,
        entry: &Arc<ChannelEntry>,
        state: &mut ChannelState,
        (top, earlier, entries): (Position, &[Position], Vec<(u64, bytes::Bytes)>),
        (was_live, goes_on): (bool, bool),
        now: Moment,
    ) {
        let known = state.log.top();
        let known_offset = if goes_on { known.offset } else { 0 };
        let news: Vec<_> = entries.into_iter().filter(|(offset, _)| *offset > known_offset).collect();
        // The last before the first of what there is.
        let base = news.first().map_or(top.offset, |(offset, _)| offset - 1);
        if !goes_on || base > known.offset {
            self.restart_log(entry, state, Position { offset: base, ..top }, was_live, goes_on);
        }
        state.log.go_on_as(top.epoch, earlier);
        for (offset, body) in news {
            self.hand_on(entry, state, Position { offset, ..top }, &body, now);
        }
    }

    /// What is missing cannot be had: the log goes on after `base`, and who hears the channel is told.
    pub(super) fn restart_log(
        &self,
        entry: &Arc<ChannelEntry>,
        state: &mut ChannelState,
        base: Position,
        is_heard: bool,
        is_same_life: bool,
    ) {
        let after = if is_same_life { state.log.top().offset } else { 0 };
        let before = state.log.bytes();
        state.log.restart(base);
        self.account(before, state.log.bytes());
        if is_heard && state.subscribers() > 0 {
            warn!(
                channel = entry.name.as_str(),
                after,
                upto = base.offset,
                is_same_life,
                "the broker has lost a part of a channel; its subscribers are told"
            );
            let limits = self.config().outbox;
            let gap = Gap { after, upto: base.offset, ends_those_behind: !is_same_life };
            FanOut { shards: &self.shards, limits: &limits, metrics: &self.metrics }.tell_gap(entry, state, gap);
        }
    }

    fn take_roster(
        &self,
        cluster: &Cluster,
        entry: &Arc<ChannelEntry>,
        state: &mut ChannelState,
        roster: Vec<(String, bytes::Bytes)>,
        now: Moment,
    ) {
        let node = cluster.broker.node();
        let is_own = |name: &str| field(name).is_some_and(|(owner, _)| owner == node);
        let Some(mirror) = &mut state.mirror else { return };
        let own = roster.iter().filter(|(name, _)| is_own(name)).map(|(name, value)| (&**name, value));
        if mirror.compare(&HashMap::from_iter(own)) {
            cluster.flush(&entry.name);
        }
        let there: HashMap<&str, ()> = roster.iter().map(|(name, _)| (&**name, ())).collect();
        let gone: Vec<_> = mirror.others.keys().filter(|name| !there.contains_key(&***name)).cloned().collect();
        for name in gone {
            self.take_field(entry, state, name, None, now);
        }
        for (name, value) in roster {
            if !is_own(&name) {
                self.take_field(entry, state, name, Some(value), now);
            }
        }
    }

    /// Channels that are no longer here need not be heard. Called now and then.
    pub(super) fn find_released(&self, cluster: &Cluster) {
        let heard: Vec<_> = cluster.heard.lock().iter().cloned().collect();
        for channel in heard {
            let is_mirrored = self.with_channel(&channel, |_, state| state.mirror.is_some()).unwrap_or_default();
            if !is_mirrored {
                cluster.wants(|todo| &mut todo.release, &channel);
            }
        }
    }

    /// Hears `channel` no longer, unless it is here again.
    pub(super) async fn release(self: &Arc<Self>, channel: &Channel) {
        let Some(cluster) = self.cluster() else { return };
        let wish = cluster.turn(channel);
        let _turn = wish.turn.lock().await;
        let is_mirrored = self.with_channel(channel, |_, state| state.mirror.is_some()).unwrap_or_default();
        if !is_mirrored && cluster.broker.unsubscribe(channel).await.is_ok() {
            cluster.heard.lock().remove(channel);
        }
    }
}

/// How long a member of another door stays that is away: that door says when it is over.
pub const LONG: Duration = Duration::from_secs(365 * 24 * 60 * 60);
