//! A little chance, so that many do not act at the same moment.

use std::time::Duration;

/// A random part of `most`.
pub fn jitter(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}
