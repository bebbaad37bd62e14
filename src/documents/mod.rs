//! Documents where they are kept: rows of rooms, in an embedded store on this machine's disk, or in one that several doors
//! share.
//!
//! What was taken of rows survives the end of this process however it comes. On disk there is one door. Of those that
//! share a store one has a room at a time ([`Tenure`]), and nobody else can write it: what it writes goes with a claim that
//! is void as soon as another has the room.

mod backup;
mod config;
mod damage;
mod journal;
mod keys;
mod on_disk;
mod opened;
mod shared;
mod tenure;
mod whole;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};

pub use backup::Backup;
pub use config::{Config, StoreKind, Sync};
pub use damage::{SetAsideError, set_aside};
pub use on_disk::DiskStore;
pub use opened::{RoomSize, StoredRow};
pub use shared::{Owning, RoomOwner, SharedStore, Waiting};
pub use tenure::Tenure;

use shared::SharedRooms;

/// A row: its key, and what stands there from now on; `None` for a row that goes.
pub type Row = (Vec<u8>, Option<Vec<u8>>);

/// Documents could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("documents have no folder: give one as [documents] dir (neither HOME nor a state folder is set)")]
    NoFolder,
    #[error("{0:?} is in use by another process: two doors cannot share a folder for documents")]
    InUse(PathBuf),
    #[error(
        "documents in {folder:?} are damaged ({what}): put a backup in the place of that folder, or have \
         `doorway documents set-aside` rename it and begin with none"
    )]
    Damaged { folder: PathBuf, what: String },
    #[error("documents in {folder:?}: {what}")]
    Failed { folder: PathBuf, what: String },
    /// The store of several doors does not do it, or nobody knows whether it did.
    #[error("documents in Redis: {0}")]
    Shared(String),
    /// Nothing was written.
    #[error("another door has the documents of {0:?} by now")]
    Lost(String),
    #[error(
        "documents are in Redis: it copies them itself (its append-only file, BGSAVE, a replica), and `doorway documents \
         export` writes one room"
    )]
    NotHere,
}

/// Where documents are kept. Cheap to clone.
#[derive(Clone)]
pub enum Store {
    Disk(DiskStore),
    Shared(SharedRooms),
}

/// Who has a room, for whoever wants it.
pub enum Owned {
    /// This door, as long as it holds this.
    Ours(Tenure),
    Theirs(RoomOwner),
}

impl Store {
    /// The store on disk of this section. Nothing is opened yet.
    pub fn new(config: &Config) -> Store {
        Store::Disk(DiskStore::new(config))
    }

    /// One that other doors have too. To be called within a runtime. What is asked of it waits: but for what is `async`, it
    /// is for threads that may, see [`Store::run`].
    pub fn shared(store: Arc<dyn SharedStore>) -> Store {
        Store::Shared(SharedRooms::new(store))
    }

    /// Where it is on this machine's disk.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Store::Disk(disk) => disk.folder(),
            Store::Shared(_) => None,
        }
    }

    /// Whether other doors have it too.
    pub fn is_shared(&self) -> bool {
        matches!(self, Store::Shared(_))
    }

    /// Does something where waiting for it keeps nobody waiting.
    ///
    /// # Errors
    /// It has panicked.
    pub async fn run<T: Send + 'static>(&self, act: impl FnOnce(&Store) -> T + Send + 'static) -> Result<T, JoinError> {
        let turn = match self {
            Store::Disk(_) => None,
            // Threads are for files too: while the others are away not all of them wait for that.
            Store::Shared(shared) => shared.turn().await,
        };
        let store = self.clone();
        spawn_blocking(move || {
            let _turn = turn;
            act(&store)
        })
        .await
    }

    /// Has this door have a room, unless another one does. What it had of it before is void.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn own(&self, room: &str) -> Result<Owned, StoreError> {
        match self {
            Store::Disk(disk) => Ok(Owned::Ours(Tenure::on_disk(disk, room))),
            Store::Shared(shared) => Ok(match shared.wait(shared.store().own(room))? {
                Owning::Ours(claim) => Owned::Ours(Tenure::shared(shared, room, claim)),
                Owning::Theirs(owner) => Owned::Theirs(owner),
            }),
        }
    }

    /// The other door that has a room, if one does.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn owner(&self, room: &str) -> Result<Option<RoomOwner>, StoreError> {
        match self {
            Store::Disk(_) => Ok(None),
            Store::Shared(shared) => shared.see(shared.store().owner(room).await),
        }
    }

    /// That other door has the room no longer: it is gone, or is to give it up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn depose(&self, room: &str, owner: &RoomOwner) -> Result<(), StoreError> {
        match self {
            Store::Disk(_) => Ok(()),
            Store::Shared(shared) => shared.see(shared.store().let_go(room, &owner.claim).await),
        }
    }

    /// All rows of a room.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn load(&self, room: &str) -> Result<Vec<StoredRow>, StoreError> {
        match self {
            Store::Disk(disk) => disk.load(room),
            Store::Shared(shared) => shared.wait(shared.store().load(room)),
        }
    }

    /// One row of a room.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn get(&self, room: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.get_each(&[room.to_owned()], key)?.pop().flatten())
    }

    /// One row of each of several rooms.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn get_each(&self, rooms: &[String], key: &[u8]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        match self {
            Store::Disk(disk) => rooms.iter().map(|room| disk.get(room, key)).collect(),
            Store::Shared(shared) => shared.wait(shared.store().get_each(rooms, key)),
        }
    }

    /// Puts a row that belongs to no document in the place of what is known to be there, whoever has the room. False where
    /// something else is: then nothing was written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn amend(&self, room: &str, key: &[u8], known: Option<Vec<u8>>, next: Vec<u8>) -> Result<bool, StoreError> {
        match self {
            Store::Disk(disk) => {
                if disk.get(room, key)? != known {
                    return Ok(false);
                }
                disk.commit(room, &[(key.to_vec(), Some(next))]).map(|()| true)
            }
            Store::Shared(shared) => shared.wait(shared.store().amend(room, key, known, next)),
        }
    }

    /// Whether a room has any row.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has(&self, room: &str) -> Result<bool, StoreError> {
        match self {
            Store::Disk(disk) => disk.has(room),
            Store::Shared(shared) => shared.wait(shared.store().has(room)),
        }
    }

    /// The names of rooms behind `after`, in order, at most `most`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rooms(&self, after: Option<&str>, most: usize) -> Result<Vec<String>, StoreError> {
        match self {
            Store::Disk(disk) => disk.rooms(after, most),
            Store::Shared(shared) => shared.wait(shared.store().rooms("", after, most)),
        }
    }

    /// What rooms hold whose names begin with `prefix`, in the order of their names, behind `after`, at most `most`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sizes(&self, prefix: &str, after: Option<&str>, most: usize) -> Result<Vec<RoomSize>, StoreError> {
        match self {
            Store::Disk(disk) => disk.sizes(prefix, after, most),
            Store::Shared(shared) => shared.sizes(prefix, after, most),
        }
    }

    /// Gives every row of this one moment to `take`, by the store's own keys, until that says no. Says whether those were all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn copy(&self, take: impl FnMut(&[u8], &[u8]) -> bool) -> Result<bool, StoreError> {
        match self {
            Store::Disk(disk) => disk.copy(take),
            Store::Shared(_) => Err(StoreError::NotHere),
        }
    }

    /// Tries to write, where that has failed: it heals by that.
    ///
    /// # Errors
    /// [`StoreError`]: it still fails.
    pub fn probe(&self) -> Result<(), StoreError> {
        match self {
            Store::Disk(disk) => disk.probe(),
            Store::Shared(shared) if shared.health().is_ok() => Ok(()),
            Store::Shared(shared) => shared.wait(shared.store().probe()),
        }
    }

    /// Forces everything to the disk that is not there yet. Nothing where nothing was written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sync(&self) -> Result<(), StoreError> {
        match self {
            Store::Disk(disk) => disk.sync(),
            Store::Shared(_) => Ok(()),
        }
    }

    /// How often that is due; `None` where each commit does it.
    pub fn sync_interval(&self) -> Option<Duration> {
        match self {
            Store::Disk(disk) => disk.sync_interval(),
            Store::Shared(_) => None,
        }
    }

    /// Whether it can be read and written, as far as it was tried.
    ///
    /// # Errors
    /// Why it could not, until it can.
    pub fn health(&self) -> Result<(), StoreError> {
        match self {
            Store::Disk(disk) => disk.health(),
            Store::Shared(shared) => shared.health(),
        }
    }

    /// Resolves when the rooms that this door has let go are anybody's.
    pub async fn settle(&self) {
        if let Store::Shared(shared) = self {
            shared.settle().await;
        }
    }
}

fn failed(folder: &Path, error: &fjall::Error) -> StoreError {
    let folder = folder.to_owned();
    match error {
        fjall::Error::Locked => StoreError::InUse(folder),
        error if damage::is_damage(error) => StoreError::Damaged { folder, what: words(error) },
        error => StoreError::Failed { folder, what: words(error) },
    }
}

fn words(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => error.to_string(),
        fjall::Error::Poisoned => "an earlier write failed".to_owned(),
        fjall::Error::Storage(error) => format!("they cannot be read: {error}"),
        other => format!("they cannot be read: {other}"),
    }
}
