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

/// Waits for the drain and lets documents go that other doors may have: they have them at once.
pub async fn let_documents_go(hub: Arc<Hub>, restarts: Live<bool>, mut drain: Signal) {
    drain.draining().await;
    let why = if *restarts.get() { DisconnectReason::Restarting } else { DisconnectReason::GoingAway };
    if let Some(documents) = hub.documents() {
        documents.leave(&why).await;
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::super::hub::{Client, Config, Metrics};
    use super::super::vocabulary::Moment;
    use super::*;
    use crate::drain::Drain;
    use crate::shares::Holder;
    use crate::telemetry::Registry;

    fn is_told(client: &mut Client) -> bool {
        let _ = client.poll_fill(Moment::now(), &mut Context::from_waker(Waker::noop()));
        client.closing().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_told_one_after_another_and_late_comers_too() {
        let hub = Arc::new(Hub::new(Config::default(), 2, Metrics::new(&mut Registry::default())));
        let enter = || hub.join(Holder::Trusted).expect("a place");
        let mut clients: Vec<Client> = (0..100).map(|_| enter()).collect();
        let drain = Drain::default();
        let guard = drain.signal().guard();
        let telling = tokio::spawn(close_all(Arc::clone(&hub), Live::new(false), drain.signal()));
        let draining = tokio::spawn(async move { drain.drain(Duration::from_secs(10)).await });
        sleep(Duration::from_millis(500)).await;
        let told = clients.iter_mut().filter_map(|client| is_told(client).then_some(())).count();
        assert!((40..=60).contains(&told), "a half in half of the time: {told}");
        sleep(Duration::from_secs(1)).await;
        let later = clients.iter_mut().filter_map(|client| is_told(client).then_some(())).count();
        assert_eq!(told + later, 100);
        let mut late = enter();
        sleep(STEP_INTERVAL * 10).await;
        assert!(is_told(&mut late), "who was on its way in");
        drop(guard);
        telling.await.expect("it ends with the drain's time");
        draining.await.expect("a drain");
    }
}
