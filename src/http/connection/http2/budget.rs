//! What a client of HTTP/2 may send that makes work and moves nothing. Floods by resets (CVE-2023-44487), pings,
//! settings, priorities, windows and frames of unknown kinds all draw on one budget. Without input, output or clock.
//!
//! Empty DATA and endless CONTINUATION are limited by the library; they draw here too.

use std::time::{Duration, Instant};

use super::frames::{DATA, Frame, HEADERS, RST_STREAM, SETTINGS};

/// Bytes of data, in either direction, that earn one unit: a window may be updated twice for each frame of 16 KiB.
const BYTES_PER_UNIT: u64 = 2 * 1024;

/// A bucket: full at first, drawn on by frames, filled by time and by data.
#[derive(Debug, Clone)]
pub struct Budget {
    capacity: u32,
    left: u32,
    filled: Instant,
    earned: u64,
}

/// The budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent;

impl Budget {
    /// `capacity` units, of which a hundredth comes back each second.
    pub fn new(capacity: u32, now: Instant) -> Budget {
        Budget { capacity, left: capacity, filled: now, earned: 0 }
    }

    /// Data travelled.
    pub fn earn(&mut self, bytes: u64) {
        self.earned += bytes;
        let units = u32::try_from(self.earned / BYTES_PER_UNIT).unwrap_or(u32::MAX);
        self.earned %= BYTES_PER_UNIT;
        self.left = self.left.saturating_add(units).min(self.capacity);
    }

    /// The client sent `frame`.
    ///
    /// # Errors
    /// When there have been too many of its like.
    pub fn draw(&mut self, frame: Frame, now: Instant) -> Result<(), Spent> {
        let price = match frame.kind {
            DATA if frame.length > 0 => {
                self.earn(frame.length.into());
                return Ok(());
            }
            // A request is work that was asked for; only taking it back is not.
            HEADERS => return Ok(()),
            RST_STREAM | SETTINGS => 4,
            _ => 1,
        };
        if self.left < price {
            self.refill(now);
        }
        self.left = self.left.checked_sub(price).ok_or(Spent)?;
        Ok(())
    }

    fn refill(&mut self, now: Instant) {
        let each = Duration::from_secs(100) / self.capacity;
        let units = now.duration_since(self.filled).as_nanos() / each.as_nanos().max(1);
        self.filled = now;
        self.left = self.left.saturating_add(u32::try_from(units).unwrap_or(u32::MAX)).min(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn frame(kind: u8, length: u32) -> Frame {
        Frame { kind, flags: 0, stream: 1, length }
    }

    const PING: Frame = frame(6, 8);
    const RESET: Frame = frame(RST_STREAM, 4);

    fn draw(budget: &mut Budget, frame: Frame, now: Instant, times: usize) -> usize {
        (0..times).take_while(|_| budget.draw(frame, now).is_ok()).count()
    }

    #[test]
    fn a_flood_ends_and_time_fills_it_again() {
        let now = Instant::now();
        let mut budget = Budget::new(1000, now);
        assert_eq!(draw(&mut budget, PING, now, 5000), 1000);
        assert_eq!(draw(&mut budget, PING, now + Duration::from_secs(1), 5000), 10);
        assert_eq!(draw(&mut budget, RESET, now + Duration::from_secs(3600), 5000), 250);
    }

    #[test]
    fn who_moves_data_may_update_windows() {
        let now = Instant::now();
        let mut budget = Budget::new(1000, now);
        let window = frame(8, 4);
        for _ in 0..100_000 {
            budget.earn(16 * 1024);
            assert_eq!(draw(&mut budget, window, now, 2), 2);
        }
    }

    #[test]
    fn requests_are_free_but_empty_data_is_not() {
        let now = Instant::now();
        let mut budget = Budget::new(1000, now);
        assert_eq!(draw(&mut budget, frame(HEADERS, 9), now, 5000), 5000);
        assert_eq!(draw(&mut budget, frame(DATA, 0), now, 5000), 1000);
    }
}
