//! What was declared old: a path, a tag, everything.
//!
//! Each declaration has a number, one higher than the last, and is noted at the place of its path or tag in a table. An
//! answer knows the number that was the last when the app was asked for it, and is good as long as none of its places
//! has a higher one. So an answer that was on its way meanwhile is never kept as good, nothing is looked for, and memory
//! is the same for any number of them: two paths may share a place, and one of them is then fetched once too often.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Places a table; a power of two. 128 KiB.
const PLACES: usize = 1 << 14;

/// The place of a path, or of a tag, in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u16);

/// Where an answer is from: what may have made it old since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The number of the last declaration when the app was asked.
    pub asked: u64,
    /// Which app was asked: another build never shares answers with this one.
    pub generation: u64,
    pub path: Place,
    pub tags: Box<[Place]>,
}

/// All declarations there were.
#[derive(Debug)]
pub struct Purges {
    last: AtomicU64,
    everything: AtomicU64,
    paths: Box<[AtomicU64]>,
    tags: Box<[AtomicU64]>,
    /// Keyed anew at each start: nobody can choose paths that share a place.
    hasher: RandomState,
}

impl Default for Purges {
    fn default() -> Self {
        let table = || (0..PLACES).map(|_| AtomicU64::new(0)).collect();
        Purges {
            last: AtomicU64::new(0),
            everything: AtomicU64::new(0),
            paths: table(),
            tags: table(),
            hasher: RandomState::new(),
        }
    }
}

impl Purges {
    /// The number of the last declaration: taken before the app is asked.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::SeqCst)
    }

    pub fn path(&self, path: &str) {
        self.note(&self.paths[usize::from(self.place(path).0)]);
    }

    pub fn tag(&self, tag: &str) {
        self.note(&self.tags[usize::from(self.place(tag).0)]);
    }

    pub fn everything(&self) {
        self.note(&self.everything);
    }

    fn note(&self, place: &AtomicU64) {
        let number = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        place.fetch_max(number, Ordering::SeqCst);
    }

    pub fn place(&self, name: &str) -> Place {
        // The table has fewer places than the number has values.
        Place((self.hasher.hash_one(name) as usize % PLACES) as u16)
    }

    /// True where nothing was declared since that concerns it.
    pub fn spares(&self, origin: &Origin) -> bool {
        let is_before = |place: &AtomicU64| place.load(Ordering::SeqCst) <= origin.asked;
        is_before(&self.everything)
            && is_before(&self.paths[usize::from(origin.path.0)])
            && origin.tags.iter().all(|tag| is_before(&self.tags[usize::from(tag.0)]))
    }
}
