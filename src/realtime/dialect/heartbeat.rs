//! Is the other side still there? Asked after a silence, given up after a longer one.

use std::time::{Duration, Instant};

/// Pings after `interval` without a sign of life, and gives up `timeout` after that. Shared by the dialects.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// Both in milliseconds: every silent client has them.
    interval: u32,
    timeout: u32,
    heard: Instant,
    pinged: bool,
}

/// The answer to a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    Nothing,
    Ping,
    Dead,
}

impl Heartbeat {
    /// `interval` of zero: never asks, never gives up.
    pub fn new(interval: Duration, timeout: Duration, now: Instant) -> Heartbeat {
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        // What is not nothing stays so.
        let interval = millis(interval).max(u32::from(!interval.is_zero()));
        Heartbeat { interval, timeout: millis(timeout), heard: now, pinged: false }
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(self.interval.into())
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout.into())
    }

    /// Any frame is a sign of life.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = false;
    }

    /// `Ping` at most once a silence.
    pub fn beat(&mut self, now: Instant) -> Beat {
        if self.interval == 0 {
            return Beat::Nothing;
        }
        let silence = now.saturating_duration_since(self.heard);
        if silence >= self.interval() + self.timeout() {
            Beat::Dead
        } else if silence >= self.interval() && !self.pinged {
            self.pinged = true;
            Beat::Ping
        } else {
            Beat::Nothing
        }
    }

    pub fn next(&self) -> Option<Instant> {
        if self.interval == 0 {
            return None;
        }
        let asked = if self.pinged { self.timeout() } else { Duration::ZERO };
        Some(self.heard + self.interval() + asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_is_asked_about_once_and_then_given_up() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(25 * SECOND, 20 * SECOND, start);
        assert_eq!(heartbeat.beat(start + 24 * SECOND), Beat::Nothing);
        assert_eq!(heartbeat.next(), Some(start + 25 * SECOND));
        assert_eq!(heartbeat.beat(start + 25 * SECOND), Beat::Ping);
        assert_eq!(heartbeat.beat(start + 26 * SECOND), Beat::Nothing);
        assert_eq!(heartbeat.next(), Some(start + 45 * SECOND));
        heartbeat.heard(start + 30 * SECOND);
        assert_eq!(heartbeat.beat(start + 45 * SECOND), Beat::Nothing);
        assert_eq!(heartbeat.beat(start + 55 * SECOND), Beat::Ping);
        assert_eq!(heartbeat.beat(start + 75 * SECOND), Beat::Dead);
    }

    #[test]
    fn zero_means_never() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(Duration::ZERO, SECOND, start);
        assert_eq!((heartbeat.beat(start + 1000 * SECOND), heartbeat.next()), (Beat::Nothing, None));
    }
}
