//! Stopping as a value: a [`Drain`] at the roof, a [`Signal`] for whoever must know, a [`Guard`] for every task.

mod config;

use std::time::Duration;

pub use config::Config;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Where the door is in its life. It only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Accepting and serving.
    Running,
    /// Accepting nothing; what is under way may finish until `deadline`.
    Draining { deadline: Instant },
    /// Time is up, or a second signal came: everything ends now.
    Ended,
}

/// Held by the roof: says when to stop, and waits for what is under way.
#[derive(Debug)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    tasks: TaskTracker,
}

impl Default for Drain {
    fn default() -> Self {
        Drain { phase: watch::Sender::new(Phase::Running), tasks: TaskTracker::new() }
    }
}

impl Drain {
    pub fn signal(&self) -> Signal {
        Signal { phase: self.phase.subscribe(), tasks: self.tasks.clone() }
    }

    /// Begins draining, waits until every guard is dropped or `grace` is over, then ends what is left.
    /// Says how many that was.
    pub async fn drain(&self, grace: Duration) -> usize {
        self.phase.send_replace(Phase::Draining { deadline: Instant::now() + grace });
        self.tasks.close();
        let in_time = tokio::time::timeout(grace, self.tasks.wait()).await.is_ok();
        let left = if in_time { 0 } else { self.tasks.len() };
        self.phase.send_replace(Phase::Ended);
        left
    }

    /// After the end: waits until every guard is dropped, at most for `moment`.
    pub async fn settle(&self, moment: Duration) {
        let _ = tokio::time::timeout(moment, self.tasks.wait()).await;
    }

    /// Ends everything now.
    pub fn end(&self) {
        self.phase.send_replace(Phase::Ended);
    }

    /// How many guards are held.
    pub fn under_way(&self) -> usize {
        self.tasks.len()
    }
}

/// Knows the phase and hands out guards. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Signal {
    phase: watch::Receiver<Phase>,
    tasks: TaskTracker,
}

impl Signal {
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub fn is_running(&self) -> bool {
        self.phase() == Phase::Running
    }

    /// How many guards are held.
    pub fn under_way(&self) -> usize {
        self.tasks.len()
    }

    /// While this lives, the drain waits (until its deadline).
    pub fn guard(&self) -> Guard {
        Guard { _token: self.tasks.token() }
    }

    /// Resolves when draining begins, with its deadline; at once if it has begun. Cancel-safe.
    pub async fn draining(&mut self) -> Instant {
        match self.phase.wait_for(|phase| *phase != Phase::Running).await.map(|phase| *phase) {
            Ok(Phase::Draining { deadline }) => deadline,
            _ => Instant::now(),
        }
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
    async fn the_deadline_ends_what_does_not_finish() {
        let drain = Drain::default();
        let mut signal = drain.signal();
        let _guard = signal.guard();
        assert_eq!(drain.drain(Duration::from_secs(1)).await, 1);
        signal.ended().await;
        assert_eq!(signal.phase(), Phase::Ended);
    }
}
