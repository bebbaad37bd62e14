//! Saying good-bye: at a drain every client is told to come back, not all of them at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::hub::Hub;
use super::vocabulary::DisconnectReason;
use crate::drain::Signal;
use crate::settings::Live;

/// How much of the drain's time is used: the rest is for the closing handshakes.
const DRAIN_SHARE: f64 = 0.6;
/// So many a second may be closed even if there is time for fewer.
const CLOSES_PER_SECOND: f64 = 100.0;
const STEP_INTERVAL: Duration = Duration::from_millis(20);

/// Waits for the drain and closes everybody in a random order, spread over its time.
pub async fn close_all(hub: Arc<Hub>, restarts: Live<bool>, mut drain: Signal) {
    let deadline = drain.draining().await;
    let why = if *restarts.get() { DisconnectReason::Restarting } else { DisconnectReason::GoingAway };
    let start = Instant::now();
    let mut connections = hub.connections();
    fastrand::shuffle(&mut connections);
    let longest = deadline.saturating_duration_since(start).mul_f64(DRAIN_SHARE);
    let span = longest.min(Duration::from_secs_f64(connections.len() as f64 / CLOSES_PER_SECOND));
    let all = connections.len();
    let mut told = 0;
    while told < all {
        let share = if span.is_zero() { 1.0 } else { start.elapsed().as_secs_f64() / span.as_secs_f64() };
        let due = ((all as f64 * share).ceil() as usize).clamp(told, all);
        for id in &connections[told..due] {
            hub.disconnect(*id, why.clone());
        }
        told = due;
        if told < all {
            sleep(STEP_INTERVAL).await;
        }
    }
    // Those that were on their way in when it began.
    while Instant::now() < deadline {
        for id in hub.connections() {
            hub.disconnect(id, why.clone());
        }
        sleep(STEP_INTERVAL * 10).await;
    }
}
