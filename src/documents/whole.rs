//! All that a store has: how much each room holds, every row of one moment, and all rows of a room at once.

use super::StoreError;
use super::on_disk::DiskStore;
use super::opened::{Opened, RoomSize, StoredRow};

impl DiskStore {
    /// Whether a room has any row.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has(&self, room: &str) -> Result<bool, StoreError> {
        self.with(|opened| opened.has(room))
    }

    /// Has `rows` be all that a room has: all of them, or what was there is there still.
    ///
    /// # Errors
    /// [`StoreError`], as of [`DiskStore::commit`].
    pub fn replace(&self, room: &str, rows: &[StoredRow]) -> Result<(), StoreError> {
        self.write(|opened| opened.replace(room, rows, self.is_always_synced()))
    }

    /// What rooms hold whose names begin with `prefix`, in the order of their names, behind `after`, at most `most`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sizes(&self, prefix: &str, after: Option<&str>, most: usize) -> Result<Vec<RoomSize>, StoreError> {
        self.with(|opened| opened.sizes(prefix, after, most))
    }

    /// Gives every row of this one moment to `take`, by the store's own keys, until that says no. Says whether those were all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn copy(&self, take: impl FnMut(&[u8], &[u8]) -> bool) -> Result<bool, StoreError> {
        self.with(|opened: &Opened| opened.copy(take))
    }
}
