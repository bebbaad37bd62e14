//! How a way is: of each direction its delay, rate and faults, and how long the NAT on it remembers.

use std::time::Duration;

/// One direction. By default packets pass at once, all of them, in order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// From one end to the other; a round trip is twice this where both directions are alike.
    pub delay: Duration,
    /// Up to so much more, by chance; packets keep their order.
    pub jitter: Duration,
    /// Bits a second; 0 for as fast as it goes.
    pub rate: u64,
    /// Bytes that may wait where the way is narrow; the packet that does not fit is lost.
    pub queue: u64,
    /// The share of packets that are lost, 0 to 1.
    pub loss: f64,
    pub reordering: Reordering,
    /// Nothing passes, and nobody is told.
    pub black_hole: bool,
}

/// Packets that others overtake.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Reordering {
    /// Their share, 0 to 1.
    pub share: f64,
    /// How much later they come.
    pub by: Duration,
}

/// What a NAT does with a connection that it has forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Patience {
    /// It forgets none.
    #[default]
    Endless,
    /// Silent for so long, its packets vanish.
    Vanish(Duration),
    /// Silent for so long, whoever sends is answered with a reset.
    Reset(Duration),
}

impl Default for Conditions {
    fn default() -> Self {
        Conditions {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: 0,
            queue: 256 * 1024,
            loss: 0.0,
            reordering: Reordering::default(),
            black_hole: false,
        }
    }
}

impl Conditions {
    /// Half of a round trip of `round_trip`, at `rate` bits a second. As much may wait as is under way, and no less than
    /// 64 KiB: a router's usual measure.
    pub fn long(round_trip: Duration, rate: u64) -> Conditions {
        let under_way = (rate as f64 / 8.0 * round_trip.as_secs_f64()) as u64;
        Conditions { delay: round_trip / 2, rate, queue: under_way.max(64 * 1024), ..Conditions::default() }
    }

    /// Takes a `key=value`, as in `delay=75ms`, `rate=100M`, `loss=0.01`, `reordering=0.01/10ms`, `black_hole=on`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn set(&mut self, word: &str) -> Result<(), String> {
        let (key, value) = word.split_once('=').ok_or_else(|| format!("{word}: not key=value"))?;
        let wrong = |why: &dyn std::fmt::Display| format!("{word}: {why}");
        let duration = |text: &str| humantime::parse_duration(text).map_err(|error| wrong(&error));
        let share = |text: &str| match text.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
            _ => Err(wrong(&"a share is from 0 to 1")),
        };
        match key {
            "delay" => self.delay = duration(value)?,
            "jitter" => self.jitter = duration(value)?,
            "rate" => self.rate = amount(value).ok_or_else(|| wrong(&"bits a second, as in 100M"))?,
            "queue" => self.queue = amount(value).ok_or_else(|| wrong(&"bytes, as in 256k"))?,
            "loss" => self.loss = share(value)?,
            "reordering" => {
                let (part, by) = value.split_once('/').ok_or_else(|| wrong(&"share/time, as in 0.01/10ms"))?;
                self.reordering = Reordering { share: share(part)?, by: duration(by)? };
            }
            "black_hole" => self.black_hole = value == "on",
            _ => return Err(wrong(&"no such key")),
        }
        Ok(())
    }
}

/// A number with `k`, `M` or `G` for thousands of them.
fn amount(text: &str) -> Option<u64> {
    let (digits, times) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1000),
        b'M' => (&text[..text.len() - 1], 1_000_000),
        b'G' => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_or_named() {
        let mut conditions = Conditions::default();
        for word in ["delay=75ms", "rate=100M", "queue=256k", "loss=0.5", "reordering=0.1/10ms", "black_hole=on"] {
            conditions.set(word).unwrap();
        }
        assert_eq!(conditions.delay, Duration::from_millis(75));
        assert_eq!((conditions.rate, conditions.queue, conditions.loss), (100_000_000, 256_000, 0.5));
        assert_eq!(conditions.reordering, Reordering { share: 0.1, by: Duration::from_millis(10) });
        assert!(conditions.black_hole);
        for word in ["delay", "delay=soon", "loss=2", "speed=1"] {
            assert!(conditions.set(word).unwrap_err().contains(word), "{word}");
        }
    }
}
