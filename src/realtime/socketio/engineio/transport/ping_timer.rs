//! Is the client still there? In this protocol the server asks.

use std::time::{Duration, Instant};

/// A timer that fires so little late counts as in time: a client goes by the times it was told, and one that comes at
/// the last moment is judged by them. Much later the process itself was held up, and the client gets its whole time.
const MAX_LAG: Duration = Duration::from_millis(20);

/// Asks an interval after the last answer, and gives up a time-out after the question.
#[derive(Debug, Clone, Copy)]
pub struct PingTimer {
    due: Instant,
    asked: Asked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    Yes,
    /// And something else than the answer has come since: once, that is worth another time-out.
    AndHeard,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Nothing,
    Ping,
    /// It never answered.
    CloseReason,
}

impl PingTimer {
    pub fn new(now: Instant, interval: Duration) -> PingTimer {
        PingTimer { due: now + interval, asked: Asked::No }
    }

    pub fn due(&self) -> Instant {
        self.due
    }

    /// What is to be done at `now`.
    pub fn wake(&mut self, now: Instant, timeout: Duration) -> Due {
        if now < self.due {
            return Due::Nothing;
        }
        if self.asked != Asked::No {
            return Due::CloseReason;
        }
        self.asked = Asked::Yes;
        self.due = if now - self.due < MAX_LAG { self.due } else { now } + timeout;
        Due::Ping
    }

    /// Whether what comes at `moment` is too late: the answer was due before.
    pub fn is_over_at(&self, moment: Instant) -> bool {
        self.asked != Asked::No && moment >= self.due
    }

    /// The answer has come.
    pub fn answered(&mut self, now: Instant, interval: Duration) {
        *self = PingTimer::new(now, interval);
    }

    /// Whether [`PingTimer::heard`] makes a difference: if not, no clock need be read for it.
    pub fn listens(&self) -> bool {
        self.asked == Asked::Yes
    }

    /// Something else has come while the answer is awaited.
    pub fn heard(&mut self, now: Instant, timeout: Duration) {
        if self.listens() {
            *self = PingTimer { due: now + timeout, asked: Asked::AndHeard };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_client_that_answers_is_asked_again_an_interval_later() {
        let start = Instant::now();
        let mut beat = PingTimer::new(start, 25 * SECOND);
        assert_eq!(beat.wake(start + 24 * SECOND, 20 * SECOND), Due::Nothing);
        assert_eq!(beat.wake(start + 25 * SECOND, 20 * SECOND), Due::Ping);
        assert_eq!(beat.due(), start + 45 * SECOND);
        assert!(!beat.is_over_at(start + 44 * SECOND) && beat.is_over_at(start + 45 * SECOND));
        beat.answered(start + 30 * SECOND, 25 * SECOND);
        assert_eq!(beat.due(), start + 55 * SECOND);
        assert_eq!(beat.wake(start + 55 * SECOND, 20 * SECOND), Due::Ping);
        assert_eq!(beat.wake(start + 74 * SECOND, 20 * SECOND), Due::Nothing);
        assert_eq!(beat.wake(start + 75 * SECOND, 20 * SECOND), Due::CloseReason);
    }

    #[test]
    fn a_timer_that_is_late_takes_no_time_from_the_client() {
        let start = Instant::now();
        for (late, due) in [(MAX_LAG / 2, Duration::ZERO), (SECOND, SECOND)] {
            let mut beat = PingTimer::new(start, 25 * SECOND);
            assert_eq!(beat.wake(start + 25 * SECOND + late, 20 * SECOND), Due::Ping);
            assert_eq!(beat.due(), start + 45 * SECOND + due);
        }
    }

    #[test]
    fn other_packets_are_worth_one_more_time_out() {
        let start = Instant::now();
        let mut beat = PingTimer::new(start, 25 * SECOND);
        beat.heard(start + 10 * SECOND, 20 * SECOND);
        assert_eq!(beat.due(), start + 25 * SECOND, "before the question they mean nothing");
        beat.wake(start + 25 * SECOND, 20 * SECOND);
        beat.heard(start + 40 * SECOND, 20 * SECOND);
        beat.heard(start + 50 * SECOND, 20 * SECOND);
        assert_eq!(beat.due(), start + 60 * SECOND);
        assert_eq!(beat.wake(start + 60 * SECOND, 20 * SECOND), Due::CloseReason);
    }
}
