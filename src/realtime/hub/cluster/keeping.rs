//! What is done at the broker behind everybody's back, and again until it is done.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::warn;

use super::Cluster;
use crate::drain::Signal;
use crate::realtime::broker::Top;
use crate::realtime::hub::Hub;
use crate::realtime::vocabulary::Channel;

/// Channels that are seen to at a time.
const AT_ONCE: usize = 64;

/// What could not be done is tried again after this.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Channels that need not be heard any more are looked for once in so many of these.
const RETRIES_PER_RELEASE: usize = 20;

/// Each channel is compared with the broker once in about this time: what was lost without a word is found by it.
const COMPARE_INTERVAL: Duration = Duration::from_secs(15);

/// So many are compared by one question.
const COMPARED_AT_ONCE: usize = 200;

/// What is to be done about a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Reload,
    Flush,
    Release,
}

impl Hub {
    /// Keeps what is shared as it is here, and what is here as it is shared, until the end. It holds no guard.
    pub async fn keep_shared(self: Arc<Self>, mut drain: Signal) {
        let Some(cluster) = self.cluster() else { return };
        let mut ticks = interval(RETRY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut running = FuturesUnordered::new();
        let mut comparing = pin!(self.compare_now_and_then());
        let mut again = Vec::new();
        let mut ticked = 0;
        loop {
            while running.len() < AT_ONCE
                && let Some((job, channel)) = cluster.next_job()
            {
                running.push(self.carry_out(job, channel));
            }
            tokio::select! {
                () = cluster.rung.notified(), if running.len() < AT_ONCE => {}
                Some(failed) = running.next(), if !running.is_empty() => again.extend(failed),
                _ = ticks.tick() => {
                    again.drain(..).for_each(|(job, channel)| cluster.add_job(job, &channel));
                    ticked += 1;
                    if ticked % RETRIES_PER_RELEASE == 0 {
                        self.find_released(cluster);
                    }
                }
                () = &mut comparing => {}
                _ = drain.ended() => return,
            }
        }
    }

    /// Does one of the things that are to be done, if there are any, as [`Hub::keep_shared`] does many at a time. For tests that
    /// have no clock.
    #[cfg(test)]
    pub(in crate::realtime::hub) async fn keep_one(self: &Arc<Self>) -> bool {
        let Some(cluster) = self.cluster() else { return false };
        let next = cluster.next_job().or_else(|| {
            self.find_released(cluster);
            cluster.next_job()
        });
        let Some((job, channel)) = next else { return false };
        if let Some((job, channel)) = self.carry_out(job, channel).await {
            cluster.add_job(job, &channel);
        }
        true
    }

    /// Compares what is here with what there is, for ever; reads anew what is not the same.
    async fn compare_now_and_then(&self) {
        let Some(cluster) = self.cluster() else { return };
        loop {
            let jitter = Duration::from_millis(fastrand::u64(0..=COMPARE_INTERVAL.as_millis() as u64 / 3));
            sleep(COMPARE_INTERVAL - COMPARE_INTERVAL / 3 + jitter * 2).await;
            let channels: Vec<_> = cluster.heard.lock().iter().cloned().collect();
            for some in channels.chunks(COMPARED_AT_ONCE) {
                let here: Vec<_> = some.iter().map(|channel| self.place_of(channel)).collect();
                let Ok(there) = cluster.broker.tops(some).await else { break };
                for ((channel, before), there) in some.iter().zip(here).zip(there) {
                    // What came while it was asked is no news.
                    let is_same = before.is_none() || before == Some(there) || self.place_of(channel) != before;
                    if !is_same {
                        cluster.reload(channel);
                    }
                }
            }
        }
    }

    /// Where a channel is here, if it is whole as far as is known.
    fn place_of(&self, channel: &Channel) -> Option<Top> {
        let place = self.with_channel(channel, |_, state| {
            let mirror = state.mirror.as_ref().filter(|mirror| mirror.is_live())?;
            Some(Top { position: state.log.top(), sequence: mirror.sequence })
        });
        place.flatten()
    }

    /// Gives it back where it could not be done.
    async fn carry_out(self: &Arc<Self>, job: Job, channel: Channel) -> Option<(Job, Channel)> {
        match job {
            Job::Reload => match self.reload_mirror(&channel).await {
                Ok(()) => None,
                Err(error) => {
                    warn!(channel = channel.as_str(), %error, "a channel cannot be read anew; it is tried again");
                    Some((job, channel))
                }
            },
            Job::Flush => {
                let is_done = self.flush_roster(&channel).await;
                (!is_done).then_some((job, channel))
            }
            Job::Release => {
                self.release(&channel).await;
                None
            }
        }
    }

    /// Tells the broker what it lacks of this door's. False where it could not be told.
    async fn flush_roster(&self, channel: &Channel) -> bool {
        let Some(cluster) = self.cluster() else { return true };
        loop {
            let changes = self.with_channel(channel, |_, mut state| {
                let mirror = state.mirror.as_mut()?;
                let changes = if mirror.is_flushing { Vec::new() } else { mirror.changes() };
                mirror.is_flushing |= !changes.is_empty();
                Some(changes)
            });
            let changes = changes.flatten().unwrap_or_default();
            if changes.is_empty() {
                return true;
            }
            let told = changes.iter().map(|(field, value)| match value {
                Some(value) => cluster.broker.put(channel, field, value.clone()),
                None => cluster.broker.remove(channel, field),
            });
            // Sent in this order, on one link.
            let told = join_all(told).await;
            let is_done = told.iter().all(Result::is_ok);
            let done: Vec<_> =
                changes.into_iter().zip(told).filter_map(|(change, told)| told.is_ok().then_some(change)).collect();
            self.with_channel(channel, |entry, mut state| {
                if let Some(mirror) = &mut state.mirror {
                    mirror.is_flushing = false;
                    mirror.have_put(&done);
                }
                self.directory.settle(entry, &mut state);
            });
            if !is_done {
                return false;
            }
        }
    }
}

impl Cluster {
    /// What is most urgent, of what is to be done.
    fn next_job(&self) -> Option<(Job, Channel)> {
        let mut todo = self.todo.lock();
        let todo = &mut *todo;
        for (job, channels) in
            [(Job::Reload, &mut todo.reload), (Job::Flush, &mut todo.flush), (Job::Release, &mut todo.release)]
        {
            if let Some(channel) = channels.iter().next().cloned() {
                channels.remove(&channel);
                return Some((job, channel));
            }
        }
        None
    }

    fn add_job(&self, job: Job, channel: &Channel) {
        self.wants(
            |todo| match job {
                Job::Reload => &mut todo.reload,
                Job::Flush => &mut todo.flush,
                Job::Release => &mut todo.release,
            },
            channel,
        );
    }
}
