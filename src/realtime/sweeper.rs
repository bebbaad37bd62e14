//! What must happen in the hub without anybody asking.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::hub::Hub;
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
