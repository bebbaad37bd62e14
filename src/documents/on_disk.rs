//! The store on disk: opened when it is needed, given up when it fails, and tried again.
//!
//! What [`DiskStore::commit`] has taken is in the store's log, and survives the end of this process however it comes. It is
//! forced to the disk itself by the second, or with each commit ([`Sync`]).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::opened::{Opened, StoredRow};
use super::{Config, Row, StoreError, Sync, failed};

/// A store that failed is not tried again before.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A store on disk, which is opened when it is first needed. Cheap to clone.
#[derive(Clone)]
pub struct DiskStore(Arc<Inner>);

struct Inner {
    folder: Option<PathBuf>,
    sync: Sync,
    state: Mutex<State>,
    /// Something was written since all was forced to the disk.
    is_dirty: AtomicBool,
}

#[derive(Default)]
struct State {
    opened: Option<Arc<Opened>>,
    /// The last that failed.
    closing: Weak<Opened>,
    /// When it could last not be used, and why; until it is written again.
    failed: Option<(Instant, StoreError)>,
}

impl DiskStore {
    /// The store of this section. Nothing is opened yet.
    pub fn new(config: &Config) -> DiskStore {
        DiskStore(Arc::new(Inner {
            folder: config.folder(),
            sync: config.sync,
            state: Mutex::default(),
            is_dirty: AtomicBool::new(false),
        }))
    }

    /// Where it is.
    pub fn folder(&self) -> Option<&Path> {
        self.0.folder.as_deref()
    }

    /// All rows of a room.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn load(&self, room: &str) -> Result<Vec<StoredRow>, StoreError> {
        self.with(|opened| opened.load(room))
    }

    /// One row of a room.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn get(&self, room: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|opened| opened.get(room, key))
    }

    /// Writes rows of a room: all of them, or none. When it is back they survive the end of the process.
    ///
    /// # Errors
    /// [`StoreError`]: whether they are there is not known before the store is read again.
    pub fn commit(&self, room: &str, rows: &[Row]) -> Result<(), StoreError> {
        self.write(|opened| opened.commit(room, rows, self.is_always_synced()))
    }

    /// Takes away all rows of a room.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn delete(&self, room: &str) -> Result<(), StoreError> {
        self.write(|opened| opened.delete(room))?;
        if self.is_always_synced() { self.sync() } else { Ok(()) }
    }

    /// Tries to write, where that has failed: it heals by that.
    ///
    /// # Errors
    /// [`StoreError`]: it still fails.
    pub fn probe(&self) -> Result<(), StoreError> {
        if self.health().is_ok() {
            return Ok(());
        }
        // No room has an empty name.
        self.write(|opened| opened.commit("", &[(b"probe".to_vec(), Some(Vec::new()))], false))
    }

    /// The names of rooms behind `after`, in order, at most `most`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rooms(&self, after: Option<&str>, most: usize) -> Result<Vec<String>, StoreError> {
        self.with(|opened| opened.rooms(after, most))
    }

    /// Forces everything to the disk that is not there yet. Nothing where nothing was written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sync(&self) -> Result<(), StoreError> {
        if !self.0.is_dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let synced = self.with(Opened::sync);
        if synced.is_err() {
            self.0.is_dirty.store(true, Ordering::Release);
        }
        synced
    }

    /// Whether each commit waits for the disk.
    pub(super) fn is_always_synced(&self) -> bool {
        self.0.sync == Sync::Always
    }

    /// How often that is due; `None` where each commit does it.
    pub fn sync_interval(&self) -> Option<Duration> {
        match self.0.sync {
            Sync::Every(interval) => Some(interval),
            Sync::Always => None,
        }
    }

    /// Whether it can be read and written, as far as it was tried.
    ///
    /// # Errors
    /// Why it could not, until it can.
    pub fn health(&self) -> Result<(), StoreError> {
        match &self.0.state.lock().failed {
            Some((_, error)) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Writes: until it is forced to the disk something is to be done, and it heals what failed before.
    pub(super) fn write(&self, act: impl FnOnce(&Opened) -> Result<(), fjall::Error>) -> Result<(), StoreError> {
        self.with(act)?;
        self.0.is_dirty.store(true, Ordering::Release);
        self.0.state.lock().failed = None;
        Ok(())
    }

    /// Does something with the opened store. One that failed is closed, and opened anew after a while.
    pub(super) fn with<T>(&self, act: impl FnOnce(&Opened) -> Result<T, fjall::Error>) -> Result<T, StoreError> {
        let opened = self.open()?;
        let done = act(&opened);
        match done {
            Ok(done) => Ok(done),
            Err(error) => {
                let mut state = self.0.state.lock();
                let error = self.failed(&error);
                if state.opened.as_ref().is_some_and(|known| Arc::ptr_eq(known, &opened)) {
                    state.closing = state.opened.take().as_ref().map(Arc::downgrade).unwrap_or_default();
                }
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn open(&self) -> Result<Arc<Opened>, StoreError> {
        let mut state = self.0.state.lock();
        if let Some(opened) = &state.opened {
            return Ok(Arc::clone(opened));
        }
        if let Some((since, error)) = &state.failed
            && since.elapsed() < RETRY_AFTER
        {
            return Err(error.clone());
        }
        let folder = self.0.folder.as_deref().ok_or(StoreError::NoFolder)?;
        // Others may be at it yet, with the one that failed: it is closed when the last of them lets it go.
        if state.closing.upgrade().is_some() {
            return Err(StoreError::Failed { folder: folder.to_owned(), what: "an earlier write failed".to_owned() });
        }
        match Opened::new(folder) {
            Ok(opened) => {
                let opened = Arc::new(opened);
                state.failed = state.failed.take().filter(|(_, error)| !matches!(error, StoreError::InUse(_)));
                state.opened = Some(Arc::clone(&opened));
                Ok(opened)
            }
            Err(error) => {
                let error = self.failed(&error);
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn failed(&self, error: &fjall::Error) -> StoreError {
        failed(self.folder().unwrap_or(Path::new("")), error)
    }
}

#[cfg(test)]
mod tests;
