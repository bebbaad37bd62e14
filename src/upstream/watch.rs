//! Whether an app that has just taken the place of another is well, by what becomes of real requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::availability::Availability;
use super::pool::Pool;

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Fewer failures say nothing: one page may be broken, or one visitor a scanner. More than half of all must be.
const FEW: u64 = 5;

/// Looks for `span` at the app that requests go to.
///
/// # Errors
/// A clause as soon as it is clear that it is not well: its process ended, or most of its answers are failures.
pub async fn watch(availability: &Availability, span: Duration) -> Result<(), String> {
    let until = Instant::now() + span;
    let mut pool: Option<Arc<Pool>> = None;
    loop {
        if availability.has_ended() {
            return Err("the new app ended after it was switched to".to_owned());
        }
        // Another one for the same process after a reload of the config.
        pool = availability.current().or(pool);
        let (answers, failures) = pool.as_ref().map(|pool| pool.tally.read()).unwrap_or_default();
        if failures >= FEW && failures * 2 > answers {
            return Err(format!("{failures} of the first {answers} answers of the new app were errors (5xx)"));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        sleep(LOOK_INTERVAL.min(left)).await;
    }
}
