//! Stopping as a value: a `Drain` at the roof, a `Signal` for whoever must know, a `Guard` for every task.

mod config;

use std::time::Duration;

pub use config::Config;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Where the door is in its life. It only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Accepting and serving.
    Running,
    /// Accepting nothing; what is under way may finish until `deadline`.
    Draining { deadline: Instant },
    /// Nobody is served any more; what others are still to be told of it may go out until `deadline`.
    Quiet { deadline: Instant },
    /// Time is up, or a second signal came: everything ends now.
    Ended,
}

/// Held by the roof: says when to stop, and waits for what is under way.
#[derive(Debug)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    tasks: TaskTracker,
    /// Those that tell of what the others did, and so end after them.
    late_guards: TaskTracker,
}

impl Default for Drain {
    fn default() -> Self {
        Drain { phase: watch::Sender::new(Phase::Running), tasks: TaskTracker::new(), late_guards: TaskTracker::new() }
    }
}

impl Drain {
    pub fn signal(&self) -> Signal {
        Signal { phase: self.phase.subscribe(), tasks: self.tasks.clone(), late_guards: self.late_guards.clone() }
    }

    /// Begins draining, waits until every guard is dropped and then every late_guard's, or `grace` is over, and ends what is
    /// left. Says how many that was.
    pub async fn drain(&self, grace: Duration) -> usize {
        let deadline = Instant::now() + grace;
        self.phase.send_replace(Phase::Draining { deadline });
        let mut left = 0;
        for tracker in [&self.tasks, &self.late_guards] {
            tracker.close();
            if left == 0 && timeout_at(deadline, tracker.wait()).await.is_err() {
                left = tracker.len();
            }
            self.phase.send_replace(Phase::Quiet { deadline });
        }
        self.phase.send_replace(Phase::Ended);
        left
    }

    /// After the end: waits until every guard is dropped, at most for `moment`.
    pub async fn settle(&self, moment: Duration) {
        let _ = timeout(moment, async { (self.tasks.wait().await, self.late_guards.wait().await) }).await;
    }

    /// Ends everything now.
    pub fn end(&self) {
        self.phase.send_replace(Phase::Ended);
    }

    /// How many guards are held, late guards apart.
    pub fn under_way(&self) -> usize {
        self.tasks.len()
    }
}

/// Knows the phase and hands out guards. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Signal {
    phase: watch::Receiver<Phase>,
    tasks: TaskTracker,
    late_guards: TaskTracker,
}

impl Signal {
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub fn is_running(&self) -> bool {
        self.phase() == Phase::Running
    }

    /// How many guards are held, late guards apart.
    pub fn under_way(&self) -> usize {
        self.tasks.len()
    }

    /// While this lives, the drain waits (until its deadline).
    pub fn guard(&self) -> Guard {
        Guard { _token: self.tasks.token() }
    }

    /// The same for who tells others of what is done here: it may live as long as the door does, is waited for after all
    /// others, and is to end once it is [`quiet`](Signal::quiet) and all is told.
    pub fn late_guard(&self) -> Guard {
        Guard { _token: self.late_guards.token() }
    }

    /// Resolves when draining begins, with its deadline; at once if it has begun. Cancel-safe.
    pub async fn draining(&mut self) -> Instant {
        match self.phase.wait_for(|phase| *phase != Phase::Running).await.map(|phase| *phase) {
            Ok(Phase::Draining { deadline } | Phase::Quiet { deadline }) => deadline,
            _ => Instant::now(),
        }
    }

    /// Resolves when nobody is served any more. Cancel-safe.
    pub async fn quiet(&mut self) {
        let is_quiet = |phase: &Phase| matches!(phase, Phase::Quiet { .. } | Phase::Ended);
        let _ = self.phase.wait_for(is_quiet).await;
    }

    /// Resolves when everything must end. Cancel-safe.
    pub async fn ended(&mut self) {
        let _ = self.phase.wait_for(|phase| *phase == Phase::Ended).await;
    }
}

/// Held by every task that serves someone.
#[derive(Debug)]
pub struct Guard {
    _token: TaskTrackerToken,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn draining_waits_for_guards() {
        let drain = Drain::default();
        let mut signal = drain.signal();
        let guard = signal.guard();
        let task = tokio::spawn(async move {
            signal.draining().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(guard);
        });
        assert_eq!(drain.drain(Duration::from_secs(10)).await, 0);
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn heralds_are_waited_for_when_nobody_is_served_any_more() {
        let drain = Drain::default();
        let (mut signal, guard) = (drain.signal(), drain.signal().guard());
        let late_guard = signal.late_guard();
        assert_eq!(drain.under_way(), 1);
        let serving = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(guard);
            Instant::now()
        });
        let telling = tokio::spawn(async move {
            signal.quiet().await;
            let quiet = Instant::now();
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(late_guard);
            (quiet, Instant::now())
        });
        assert_eq!(drain.drain(Duration::from_secs(10)).await, 0);
        let ended = Instant::now();
        let (quiet, told) = telling.await.unwrap();
        assert!(quiet >= serving.await.unwrap() && ended >= told);

        let drain = Drain::default();
        let _late_guard = drain.signal().late_guard();
        assert_eq!(drain.drain(Duration::from_secs(1)).await, 1, "at most until the deadline");
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_what_does_not_finish() {
        let drain = Drain::default();
        let mut signal = drain.signal();
        let _guard = signal.guard();
        assert_eq!(drain.drain(Duration::from_secs(1)).await, 1);
        signal.ended().await;
        assert_eq!(signal.phase(), Phase::Ended);
        let asked_twice = Drain::default();
        asked_twice.end();
        assert_eq!(asked_twice.signal().phase(), Phase::Ended);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_cut_has_a_moment_for_its_last_words() {
        let (second, moment) = (Duration::from_secs(1), Duration::from_secs(5));
        for late in [false, true] {
            let drain = Drain::default();
            let mut signal = drain.signal();
            let guard = if late { signal.late_guard() } else { signal.guard() };
            let task = tokio::spawn(async move {
                signal.ended().await;
                tokio::time::sleep(second).await;
                drop(guard);
                Instant::now()
            });
            assert_eq!(drain.drain(second).await, 1);
            drain.settle(moment).await;
            assert_eq!(Instant::now(), task.await.unwrap(), "no longer than they take");
            let _guard = drain.signal().guard();
            let begun = Instant::now();
            drain.settle(moment).await;
            assert_eq!(begun.elapsed(), moment, "nor than the moment");
        }
    }
}
