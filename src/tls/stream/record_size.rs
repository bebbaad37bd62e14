//! How much each record carries. A record can be read only once all of it has come: on a connection that is fresh or was
//! idle, the first ones are so small that each segment of TCP has one of its own, and what is read first needs not wait
//! for the next round trip. Later, when many are under way at a time, large ones cost less.

use std::time::{Duration, Instant};

/// What fits into one segment as a record: 1,448 bytes less its header, content type and tag, and less the twenty bytes
/// that IPv6 takes more, with some to spare for tunnels.
const SMALL: usize = 1370;
/// So much is sent in small records, in bytes: about what goes out in the first three round trips.
const SLOW_START: usize = 64 * 1024;
/// After so long a silence the kernel begins anew with what it sends at a time (RFC 5681 section 4.1), and so do we.
const IDLE: Duration = Duration::from_secs(1);

/// Where a connection stands.
#[derive(Debug, Default)]
pub struct RecordSize {
    /// Bytes sent since the connection was fresh or idle, as far as they matter here.
    sent: usize,
    last: Option<Instant>,
}

impl RecordSize {
    /// Something is about to be sent.
    pub fn wake(&mut self, now: Instant) {
        if self.last.replace(now).is_some_and(|last| now.duration_since(last) >= IDLE) {
            self.sent = 0;
        }
    }

    /// How much of the `left` bytes goes next: into one record where that is small, else into as few as there can be.
    pub fn next(&mut self, left: usize) -> usize {
        if self.sent >= SLOW_START {
            return left;
        }
        let length = left.min(SMALL);
        self.sent += length;
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_at_first_then_large_and_small_again_after_a_silence() {
        let start = Instant::now();
        let mut size = RecordSize::default();
        size.wake(start);
        let small = (0..).take_while(|_| size.next(100_000) == SMALL).count();
        assert_eq!(small, SLOW_START.div_ceil(SMALL));
        size.wake(start + IDLE / 2);
        assert_eq!(size.next(100_000), 100_000);
        size.wake(start + IDLE / 2 + IDLE);
        assert_eq!((size.next(100_000), size.next(10)), (SMALL, 10));
    }
}
