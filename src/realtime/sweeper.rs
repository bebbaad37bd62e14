//! What must happen in the hub without anybody asking.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::hub::Hub;
use super::hub::documents::Documents;
use super::vocabulary::Moment;
use crate::drain::Signal;

/// Every channel is looked at once in this time, a part of them at a time.
const ROUND_INTERVAL: Duration = Duration::from_secs(1);
const STEPS_PER_ROUND: usize = 8;

/// Sweeps the hub until the end. It holds no guard: it serves nobody that a drain waits for.
pub async fn sweep(hub: Arc<Hub>, mut drain: Signal) {
    let mut ticks = interval(ROUND_INTERVAL / 8);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for step in (0..STEPS_PER_ROUND).cycle() {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = drain.ended() => return,
        }
        for part in (step..hub.parts()).step_by(STEPS_PER_ROUND) {
            hub.sweep(part, Moment::now());
        }
    }
}

/// How often what was written is forced to the disk, where each commit does it already: only rooms are looked at.
const ROOMS_INTERVAL: Duration = Duration::from_millis(500);
/// A cause that lasts is said again after this.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Forces documents to the disk, and lets go of those that nobody edits, until the end. It holds no guard: who stops the
/// door does it once more.
pub async fn keep_documents(documents: Arc<Documents>, mut drain: Signal) {
    let mut ticks = interval(documents.store().sync_interval().unwrap_or(ROOMS_INTERVAL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = drain.ended() => return,
        }
        let store = documents.store().clone();
        // It waits for the disk: not on a thread that serves clients.
        if let Ok(Err(error)) = spawn_blocking(move || store.probe().and_then(|()| store.sync())).await {
            said = said.filter(|since: &Instant| since.elapsed() < SAY_AGAIN).or_else(|| {
                warn!(%error, "documents cannot be written");
                Some(Instant::now())
            });
        }
        documents.sweep(Moment::now().instant);
    }
}
