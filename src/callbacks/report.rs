//! News that nobody waits for: kept in order of arrival, tried until the app has it or its time is over.
#![expect(clippy::disallowed_methods, reason = "reports hold late guards: they are waited for after all else")]

use std::sync::{Arc, Weak};

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{Answer, App, Callback, CallbackError};
use crate::drain::Signal;
use crate::shares::Share;

/// A callback whose answer no client waits for, and when it came about.
pub struct Report {
    callback: Callback,
    /// What is done about the app's answer.
    then: Then,
    since: Instant,
    /// Until it is delivered or given up.
    _place: Share,
}

/// The use that is made of the app's answer to a report.
pub type Then = Box<dyn FnOnce(Answer) + Send>;

impl Report {
    pub fn new(callback: Callback, then: Then, place: Share) -> Report {
        Report { callback, then, since: Instant::now(), _place: place }
    }
}

/// One task takes reports from the queue and gives each a task of its own, bounded by the app's permits.
pub fn start(app: &Arc<App>, mut queue: mpsc::Receiver<Report>, mut drain: Signal) {
    let app = Arc::downgrade(app);
    tokio::spawn(async move {
        // Reports hold the drain (until its deadline), so that a closing door still says who left.
        let _late_guard = drain.late_guard();
        loop {
            let report = tokio::select! {
                biased;
                report = queue.recv() => report,
                () = drain.quiet(), if !queue.is_closed() => {
                    queue.close();
                    continue;
                }
            };
            let (Some(report), Some(strong)) = (report, app.upgrade()) else { return };
            let guard = drain.late_guard();
            let places = strong.config.borrow().concurrency;
            while strong.metrics.reports_waiting.get() >= i64::try_from(places).unwrap_or(i64::MAX) {
                sleep(std::time::Duration::from_millis(20)).await;
            }
            strong.metrics.reports_waiting.inc();
            drop(strong);
            let app = app.clone();
            tokio::spawn(async move {
                deliver(&app, report).await;
                drop(guard);
            });
        }
    });
}

async fn deliver(app: &Weak<App>, report: Report) {
    let Some(app) = app.upgrade() else { return };
    let config = app.config.borrow().clone();
    let deadline = report.since + config.disconnect_deadline;
    // Attempts without end, but for the deadline: at least once is promised.
    let persistent = super::Config { attempts: u32::MAX, ..(*config).clone() };
    let outcome = app.persist(&report.callback, &persistent, deadline).await;
    app.metrics.answered(report.callback.kind(), &outcome);
    app.metrics.reports_waiting.dec();
    match outcome {
        Ok(answer) => (report.then)(answer),
        Err(error @ CallbackError::Unavailable(_)) => {
            app.metrics.reports_lost.inc();
            warn!(kind = report.callback.kind().label(), connection = report.callback.client().connection, %error,
                "the app never heard of it");
        }
        Err(_) => {}
    }
}
