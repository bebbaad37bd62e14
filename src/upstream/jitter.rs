//! A little chance, so that many do not act at the same moment.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A random part of `most`.
pub fn jitter(most: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8);
    most.mul_f64(f64::from(random as u32) / f64::from(u32::MAX))
}
