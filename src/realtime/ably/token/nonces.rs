//! Nonces of token requests: each is good once.

use std::collections::{HashSet, VecDeque};

use aws_lc_rs::digest::{SHA256, digest};

use super::CLOCK_WINDOW_MS;

/// Remembered at most; the oldest are forgotten first.
const MAX_NONCES: usize = 100_000;

/// So long a request that is signed for one moment may come: from before it until after it.
const REMEMBERED_MS: u64 = 2 * CLOCK_WINDOW_MS;

type Mark = [u8; 16];

/// The nonces that were used lately.
#[derive(Debug, Default)]
pub struct Nonces {
    used: HashSet<Mark>,
    order: VecDeque<(Mark, u64)>,
}

impl Nonces {
    /// Uses a nonce of a key; false when it has been used.
    pub fn take(&mut self, key_name: &str, nonce: &str, now_ms: u64) -> bool {
        while self.order.len() >= MAX_NONCES
            || self.order.front().is_some_and(|(_, at)| now_ms.saturating_sub(*at) > REMEMBERED_MS)
        {
            let Some((mark, _)) = self.order.pop_front() else { break };
            self.used.remove(&mark);
        }
        let mark = mark(key_name, nonce);
        let is_new = self.used.insert(mark);
        if is_new {
            self.order.push_back((mark, now_ms));
        }
        is_new
    }
}

/// Names of keys have no line breaks.
fn mark(key_name: &str, nonce: &str) -> Mark {
    let digest = digest(&SHA256, format!("{key_name}\n{nonce}").as_bytes());
    let mut mark = Mark::default();
    mark.copy_from_slice(&digest.as_ref()[..16]);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_good_once_while_it_counts() {
        let mut nonces = Nonces::default();
        assert!(nonces.take("a.b", "n", 1000) && !nonces.take("a.b", "n", 1000 + REMEMBERED_MS));
        assert!(nonces.take("a.c", "n", 1000), "another key's");
        assert!(nonces.take("a.b", "n", 1001 + REMEMBERED_MS), "whose time has passed");
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let mut nonces = Nonces::default();
        assert!((0..=MAX_NONCES).all(|number| nonces.take("a.b", &number.to_string(), 1)));
        assert_eq!((nonces.used.len(), nonces.order.len()), (MAX_NONCES, MAX_NONCES));
        assert!(!nonces.take("a.b", &MAX_NONCES.to_string(), 1));
    }
}
