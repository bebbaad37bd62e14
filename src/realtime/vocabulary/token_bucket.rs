//! How many a second: the token bucket of all rates that count what clients and servers send.

use std::time::{Duration, Instant};

/// A bucket that fills at a rate and holds what comes in a second. The rate is given with each call, since a reload may
/// change it; the time too, so that a bucket reads no clock.
#[derive(Debug, Clone, Copy)]
pub struct TokenBucket {
    /// Below zero: taken before it was there.
    tokens: f64,
    at: Instant,
}

impl TokenBucket {
    /// A full bucket; `rate` is in tokens a second.
    pub fn full(rate: f64, now: Instant) -> TokenBucket {
        TokenBucket { tokens: rate, at: now }
    }

    /// Takes `amount` tokens. What takes more than the bucket holds waits until it is full, and leaves it in debt: so a
    /// batch of any size gets through, in its turn.
    ///
    /// # Errors
    /// How long until there are enough; nothing was taken.
    pub fn take(&mut self, amount: f64, rate: f64, now: Instant) -> Result<(), Duration> {
        self.tokens = (self.tokens + now.saturating_duration_since(self.at).as_secs_f64() * rate).min(rate);
        self.at = now;
        let enough = amount.min(rate);
        // A rate of zero lets nothing through, ever.
        if self.tokens < enough || rate <= 0.0 {
            let wait = Duration::try_from_secs_f64((enough - self.tokens) / rate);
            return Err(wait.unwrap_or(Duration::MAX));
        }
        self.tokens -= amount;
        Ok(())
    }

    /// Whether the bucket has filled up again since it was last taken from.
    pub fn is_full(&self, rate: f64, now: Instant) -> bool {
        self.tokens + now.saturating_duration_since(self.at).as_secs_f64() * rate >= rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_worth_at_once_and_then_in_step() {
        let now = Instant::now();
        let mut bucket = TokenBucket::full(10.0, now);
        assert_eq!(bucket.take(10.0, 10.0, now), Ok(()));
        assert_eq!(bucket.take(1.0, 10.0, now), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(1.0, 10.0, now + Duration::from_millis(100)), Ok(()));
        let later = now + Duration::from_secs(60);
        assert!(bucket.is_full(10.0, later));
        assert_eq!(bucket.take(25.0, 10.0, later), Ok(()), "a batch that is larger than a second's worth");
        assert!(!bucket.is_full(10.0, later));
        assert_eq!(bucket.take(1.0, 10.0, later), Err(Duration::from_millis(1600)), "is paid for afterwards");
    }

    #[test]
    fn a_rate_of_zero_lets_nothing_through() {
        let now = Instant::now();
        let mut bucket = TokenBucket::full(0.0, now);
        assert_eq!(bucket.take(1.0, 0.0, now), Err(Duration::MAX));
    }
}
