//! What the service manager hears: ready, reloading, stopping, alive. Silent where there is none.
#![expect(clippy::disallowed_methods, reason = "the sign of life is the last to go")]

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{debug, warn};

/// How much longer than before the service manager waits, each time it hears [`starting`].
pub const START_EXTENSION: Duration = Duration::from_secs(60);

/// Still installing or building; the start time-out is put off.
pub fn starting() {
    let more = u32::try_from(START_EXTENSION.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(more), NotifyState::Status("starting the app")]);
}

/// Started and serving; also ends a reload.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins; `Type=notify-reload` matches it with its request by the time.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "no monotonic clock: the service manager is not told of the reload"),
    }
}

pub fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Sends a sign of life at half the interval that the service manager asks for, as long as `is_well` says so and
/// the runtime starts and ends a task for it; silence makes the service manager restart us.
pub fn watchdog(is_well: impl Fn() -> bool + Send + 'static) {
    let Some(interval) = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero()) else { return };
    debug!(?interval, "the watchdog is on");
    tokio::spawn(async move {
        let mut beat = tokio::time::interval((interval / 2).max(Duration::from_millis(1)));
        loop {
            beat.tick().await;
            let turns = tokio::spawn(async {}).await.is_ok();
            if turns && is_well() {
                tell(&[NotifyState::Watchdog]);
            }
        }
    });
}

fn tell(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "cannot tell the service manager");
    }
}
