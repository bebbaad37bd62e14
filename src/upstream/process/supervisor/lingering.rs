//! The app of before a deploy is kept for a while: pages that are open of its build ask it, and do not break.
#![expect(
    clippy::disallowed_methods,
    reason = "the app outlives the drain: who stops it waits for it, see Upstream::stop"
)]

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Running, Task, retire};
use crate::build::Build;
use crate::upstream::availability::Availability;
use crate::upstream::pool::Pool;
use crate::upstream::process::memory;

/// Whoever has not asked for so long asks for nothing more, most likely: the memory is better used otherwise.
const SILENCE: Duration = Duration::from_secs(120);
/// Between two looks whether it is over.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The way to the task that keeps it.
pub struct Lingering {
    leave: CancellationToken,
    done: JoinHandle<()>,
}

impl Lingering {
    /// It ends when its requests have, behind the caller's back.
    pub fn make_room(self) {
        self.leave.cancel();
    }
}

impl Task {
    /// Whether `old` is kept when `new` takes its place: where its pages say of which build they are, and nobody else's files
    /// lie in its folder.
    pub(super) async fn is_kept(&self, old: &Running, new: &Running) -> bool {
        let (before, now) = (&old.pool.deployment, &new.pool.deployment);
        if self.config.get().skew.is_zero() || before.is_none() || before == now {
            return false;
        }
        let build = old.build.clone();
        let is_there = tokio::task::spawn_blocking(move || build.as_ref().is_some_and(Build::is_there));
        if !is_there.await.unwrap_or(false) {
            return false;
        }
        match memory::shortage().await {
            None => true,
            Some(why) => {
                info!(why, "the app before is not kept for pages that are open");
                false
            }
        }
    }

    pub(super) fn linger(&self, mut old: Running) -> Lingering {
        let config = self.config.get();
        let (skew, grace) = (config.skew, config.stop_timeout);
        let (availability, skew_metrics) = (Arc::clone(&self.availability), self.metrics.skew.clone());
        let leave = CancellationToken::new();
        let asked_to_leave = leave.clone();
        info!(pid = old.child.id(), ?skew, "the app before is kept for pages that are open");
        skew_metrics.kept.set(1);
        let (pool, build) = (Arc::clone(&old.pool), old.build.clone());
        let done = tokio::spawn(async move {
            let ended = tokio::select! {
                _ = old.child.wait() => "it ended by itself",
                () = asked_to_leave.cancelled() => "another takes its place",
                why = over(&pool, build.as_ref(), &availability, Instant::now() + skew) => why,
            };
            availability.previous.forget(&old.pool);
            old.pool.retire();
            skew_metrics.kept.set(0);
            info!(pid = old.child.id(), why = ended, "the app before is asked to end");
            retire(old, grace).await;
        });
        Lingering { leave, done }
    }

    /// Waits until it has ended.
    pub(super) async fn end_previous(&mut self) {
        if let Some(Lingering { leave, done }) = self.previous.take() {
            leave.cancel();
            let _ = done.await;
        }
    }
}

/// Waits until there is no more reason to keep the app at `pool`, and says why.
async fn over(pool: &Arc<Pool>, build: Option<&Build>, availability: &Availability, until: Instant) -> &'static str {
    loop {
        sleep(LOOK_INTERVAL).await;
        if Instant::now() >= until {
            return "its time is over";
        }
        if !availability.previous.is(pool) {
            return "it takes no connection";
        }
        if availability.previous.silence() >= SILENCE {
            return "nobody asks it";
        }
        if memory::shortage().await.is_some() {
            return "memory is short";
        }
        let build = build.cloned();
        let is_there = tokio::task::spawn_blocking(move || build.as_ref().is_some_and(Build::is_there));
        if !is_there.await.unwrap_or(true) {
            return "its build is gone";
        }
    }
}
