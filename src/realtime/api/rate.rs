//! How many messages a second.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A bucket of as many messages as come in a second. What takes more than it holds waits until it is full, and leaves it
/// in debt: so a batch of any size that the config allows gets through, in its turn.
#[derive(Debug)]
pub struct Rate(Mutex<(f64, Instant)>);

impl Rate {
    pub fn new(rate: u32, now: Instant) -> Rate {
        Rate(Mutex::new((f64::from(rate), now)))
    }

    /// Takes `messages`.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take(&self, messages: usize, rate: u32, now: Instant) -> Result<(), Duration> {
        let mut state = self.0.lock();
        let most = f64::from(rate);
        let left = (state.0 + now.saturating_duration_since(state.1).as_secs_f64() * most).min(most);
        let needed = messages as f64;
        let enough = needed.min(most);
        if left < enough {
            *state = (left, now);
            return Err(Duration::from_secs_f64((enough - left) / most));
        }
        *state = (left - needed, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_worth_at_once_and_then_in_step() {
        let now = Instant::now();
        let rate = Rate::new(10, now);
        assert_eq!(rate.take(10, 10, now), Ok(()));
        assert_eq!(rate.take(1, 10, now), Err(Duration::from_millis(100)));
        assert_eq!(rate.take(1, 10, now + Duration::from_millis(100)), Ok(()));
        let later = now + Duration::from_secs(60);
        assert_eq!(rate.take(25, 10, later), Ok(()), "a batch that is larger than a second's worth");
        assert_eq!(rate.take(1, 10, later), Err(Duration::from_millis(1600)), "is paid for afterwards");
    }
}
