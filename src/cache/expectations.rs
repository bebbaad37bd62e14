//! Whether an answer that is new to the cache is likely everybody's: where the last one of its folder was. Then the door's
//! own request comes before the visitor's, and is the only one. Nothing is kept by it that would not be without it.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};

/// Folders that are told apart; a power of two. Where two share a place, one more request is made now and then.
const PLACES: usize = 1 << 12;

/// What was found out of each folder last.
#[derive(Debug)]
pub struct Expectations {
    places: Box<[AtomicBool]>,
    hasher: RandomState,
}

impl Default for Expectations {
    fn default() -> Self {
        let places = (0..PLACES).map(|_| AtomicBool::new(false)).collect();
        Expectations { places, hasher: RandomState::new() }
    }
}

impl Expectations {
    /// Of a path in the folder of `path`.
    pub fn has(&self, path: &str) -> bool {
        self.place(path).load(Ordering::Relaxed)
    }

    /// What was asked for at `path` was kept, with nothing of a client's headers in its key and before anybody grew tired.
    pub fn note(&self, path: &str, is_kept: bool) {
        self.place(path).store(is_kept, Ordering::Relaxed);
    }

    fn place(&self, path: &str) -> &AtomicBool {
        let folder = path.rfind('/').map_or("", |end| &path[..end]);
        &self.places[self.hasher.hash_one(folder) as usize % PLACES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_out_last_of_a_folder_counts() {
        let expectations = Expectations::default();
        assert!(!expectations.has("/blog/a"));
        expectations.note("/blog/a", true);
        assert!(expectations.has("/blog/b"));
        expectations.note("/blog/c", false);
        assert!(!expectations.has("/blog/a"));
    }
}
