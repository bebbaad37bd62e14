//! A store that several doors share, as they see it.

use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::opened::{RoomSize, StoredRow};
use super::{Row, StoreError};

/// Threads that wait for it at a time.
const MOST_WAITING: usize = 64;

/// Something that it is asked for.
pub type Waiting<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// A door that has a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomOwner {
    /// Its name among doors.
    pub door: u64,
    /// By which it has the room: another each time that a door takes it.
    pub claim: Arc<str>,
}

/// What came of wanting a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owning {
    /// This door has it from now on, by this claim, and by no other.
    Ours(Arc<str>),
    Theirs(RoomOwner),
}

/// What several doors keep documents in. A room is of one door at a time: it writes with its claim, and what comes with
/// another one writes nothing. What a door has asked for, it may ask for again.
pub trait SharedStore: Send + Sync + 'static {
    /// Has this door have a room, unless another one does.
    fn own(&self, room: &str) -> Waiting<Owning>;

    /// The other door that has a room, if one does.
    fn owner(&self, room: &str) -> Waiting<Option<RoomOwner>>;

    /// Whoever has a room by this claim has it no longer.
    fn let_go(&self, room: &str, claim: &str) -> Waiting<()>;

    /// Has a room be among those that are listed. It is to be there before it has any row.
    fn list(&self, room: &str) -> Waiting<()>;

    /// Writes rows of a room: all of them, or none. False where the claim is void. Without any row, that alone is told.
    fn write(&self, room: &str, claim: &str, rows: Vec<Row>) -> Waiting<bool>;

    /// Has `rows` be all that a room has. False where the claim is void.
    fn replace(&self, room: &str, claim: &str, rows: Vec<StoredRow>) -> Waiting<bool>;

    /// Puts a row in the place of what is known to be there. False where something else is.
    fn amend(&self, room: &str, key: &[u8], known: Option<Vec<u8>>, next: Vec<u8>) -> Waiting<bool>;

    /// All rows of a room.
    fn load(&self, room: &str) -> Waiting<Vec<StoredRow>>;

    /// One row of each of several rooms.
    fn get_each(&self, rooms: &[String], key: &[u8]) -> Waiting<Vec<Option<Vec<u8>>>>;

    /// Whether a room has any row.
    fn has(&self, room: &str) -> Waiting<bool>;

    /// The names of rooms that begin with `prefix`, behind `after`, in order, at most `most`. A room without rows may be
    /// among them.
    fn rooms(&self, prefix: &str, after: Option<&str>, most: usize) -> Waiting<Vec<String>>;

    /// What each of these rooms holds, but for those that hold nothing.
    fn sizes(&self, rooms: Vec<String>) -> Waiting<Vec<RoomSize>>;

    /// Writes something.
    fn probe(&self) -> Waiting<()>;
}

/// Such a store, for threads that wait. Cheap to clone.
#[derive(Clone)]
pub struct SharedRooms(Arc<Inner>);

struct Inner {
    store: Arc<dyn SharedStore>,
    runtime: Handle,
    turns: Arc<Semaphore>,
    /// What is done about rooms that were let go.
    parting: TaskTracker,
    failed: Mutex<Option<StoreError>>,
}

impl SharedRooms {
    pub(super) fn new(store: Arc<dyn SharedStore>) -> SharedRooms {
        SharedRooms(Arc::new(Inner {
            store,
            runtime: Handle::current(),
            turns: Arc::new(Semaphore::new(MOST_WAITING)),
            parting: TaskTracker::new(),
            failed: Mutex::default(),
        }))
    }

    pub(super) fn store(&self) -> &dyn SharedStore {
        &*self.0.store
    }

    /// A place among the threads that wait.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.0.turns).acquire_owned().await.ok()
    }

    /// Waits, on a thread that may.
    pub(super) fn wait<T>(&self, asked: Waiting<T>) -> Result<T, StoreError> {
        self.see(self.block_on(asked))
    }

    pub(super) fn block_on<T>(&self, asked: Waiting<T>) -> Result<T, StoreError> {
        self.0.runtime.block_on(asked)
    }

    /// Remembers whether it can be read and written.
    pub(super) fn see<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        match &done {
            // That another door has a room is no fault.
            Err(StoreError::Lost(_)) => {}
            Err(error) => *self.0.failed.lock() = Some(error.clone()),
            Ok(_) => *self.0.failed.lock() = None,
        }
        done
    }

    pub(super) fn health(&self) -> Result<(), StoreError> {
        self.0.failed.lock().clone().map_or(Ok(()), Err)
    }

    /// Lets a room go, behind everybody's back: where that cannot be told, it is anybody's once this door is gone.
    pub(super) fn part(&self, room: &str, claim: &str) {
        let parting = self.0.store.let_go(room, claim);
        let shared = self.clone();
        let parting = async move {
            let _ = shared.see(parting.await);
        };
        self.0.parting.spawn_on(parting, &self.0.runtime);
    }

    pub(super) async fn settle(&self) {
        self.0.parting.close();
        self.0.parting.wait().await;
    }

    pub(super) fn sizes(&self, prefix: &str, after: Option<&str>, most: usize) -> Result<Vec<RoomSize>, StoreError> {
        let mut sizes = Vec::new();
        let mut after = after.map(str::to_owned);
        while sizes.len() < most {
            let names = self.wait(self.store().rooms(prefix, after.as_deref(), most - sizes.len()))?;
            let Some(last) = names.last().cloned() else { break };
            sizes.extend(self.wait(self.store().sizes(names))?);
            after = Some(last);
        }
        Ok(sizes)
    }
}
