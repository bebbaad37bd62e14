//! The documents of channels: in memory while somebody edits them, kept always.
//!
//! All documents of one channel are a [`DocumentRoom`]. It is loaded when the first who edits comes ([`Documents::open`]),
//! and let go a while after the last has left. Its lock is taken before that of its channel: whoever holds it has changes
//! kept, then puts them into mailboxes, so that all hear them in the order in which they were made.
//!
//! Where several doors share what documents are kept in, one of them has a room: another is told so as it opens it.

mod archive;
mod editing;
mod marks;
mod metrics;
mod queue;
mod rows;
mod whole;
mod room;
mod sharing;
mod writing;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, Semaphore, mpsc};
use tokio::time::timeout;
use tracing::{error, warn};

pub use archive::{ArchiveError, ArchiveForm};
pub use metrics::DocumentMetrics;
pub use room::DocumentRoom;
pub use sharing::Deposed;
pub use whole::{MoveError, TreePatchError, names_of_nodes};

use super::Hub;
use super::document_limits::DocumentLimits;
use super::sync::Mutex;
use crate::documents::{Owned, RoomOwner, Store, StoreError};
use crate::realtime::vocabulary::Channel;
use crate::settings::Live;
use queue::Writing;
use room::RoomState;

/// Channels whose documents are read from disk at a time. Others wait for their turn.
const LOADS_AT_ONCE: usize = 4;
/// The same where several doors share them: there it is the others that are waited for, and no disk of ours.
const SHARED_LOADS_AT_ONCE: usize = 64;
/// How long a channel waits for its turn then: so many wait only where no answers come.
const TURN_PATIENCE: Duration = Duration::from_secs(5);

/// The documents of all channels.
pub struct Documents {
    store: Store,
    limits: Live<DocumentLimits>,
    rooms: Mutex<HashMap<Channel, Arc<RoomCell>>>,
    loading: Semaphore,
    metrics: DocumentMetrics,
    shared: Sharing,
}

/// What there is where other doors may have rooms, too.
#[derive(Default)]
struct Sharing {
    /// Whose channels they are.
    hub: Weak<Hub>,
    /// Those that rooms were taken from, to be told so.
    deposed: Option<mpsc::Sender<Deposed>>,
    /// This door takes no more of them.
    is_leaving: AtomicBool,
    /// When it was last looked whether it has those still that it has.
    looked: Mutex<Option<Instant>>,
}

/// A room that is there or on its way, and how many hold it.
struct RoomCell {
    room: OnceCell<Arc<DocumentRoom>>,
    /// Counted up under the lock of the registry alone.
    leases: AtomicUsize,
    /// Since when nobody does, as far as the sweeper has seen.
    idle_since: Mutex<Option<Instant>>,
}

/// Why the documents of a channel cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Too many are in memory, and each of them is in use.
    #[error("the documents of {most} channels are open, which is the most there may be (realtime.documents.max_rooms)")]
    Full { most: usize },
    #[error("{0}")]
    Store(#[from] StoreError),
    /// What is on disk is not what was written there.
    #[error("the documents of {channel:?} on disk are damaged: {what}")]
    Damaged { channel: Channel, what: String },
    /// It is to be asked for them.
    #[error("another door has the documents of {0:?}")]
    Elsewhere(Channel, RoomOwner),
    /// Another door may be asked in a moment.
    #[error("this door stops, and opens no documents any more")]
    Leaving,
}

/// A hold on the documents of a channel: they stay in memory until it is dropped.
pub struct RoomLease {
    room: Arc<DocumentRoom>,
    _hold: Hold,
    /// The number under which its holder edits, once it has one.
    editor: Option<u64>,
}

impl RoomLease {
    /// The documents it holds.
    pub fn room(&self) -> &Arc<DocumentRoom> {
        &self.room
    }

    /// From now on its holder is this editor, until the lease is dropped.
    pub fn edit_as(&mut self, editor: u64) {
        self.editor = Some(editor);
    }
}

impl Drop for RoomLease {
    fn drop(&mut self) {
        if let Some(editor) = self.editor {
            self.room.leave(editor);
        }
    }
}

/// Counts one who has a room, or waits for it while it is loaded.
struct Hold(Arc<RoomCell>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.leases.fetch_sub(1, Ordering::Release);
    }
}

impl Documents {
    pub fn new(store: Store, limits: DocumentLimits, metrics: DocumentMetrics) -> Documents {
        let at_once = if store.is_shared() { SHARED_LOADS_AT_ONCE } else { LOADS_AT_ONCE };
        Documents {
            store,
            limits: Live::new(limits),
            rooms: Mutex::new(HashMap::new()),
            loading: Semaphore::new(at_once),
            metrics,
            shared: Sharing::default(),
        }
    }

    /// Takes over other limits. Rooms that are open keep theirs.
    pub fn reload(&self, limits: DocumentLimits) {
        self.limits.set(limits);
    }

    /// Where they are on disk.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What bounds them now.
    pub fn limits(&self) -> Arc<DocumentLimits> {
        self.limits.get()
    }

    /// Reads the documents of `channel`, unless they are in memory, and keeps them there for the lease.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(&self, channel: &Channel) -> Result<RoomLease, OpenError> {
        if self.shared.is_leaving.load(Ordering::Acquire) {
            return Err(OpenError::Leaving);
        }
        let hold = Hold(self.cell(channel)?);
        let loaded = hold.0.room.get_or_try_init(|| self.load(channel)).await;
        let room = match loaded {
            Ok(room) => Arc::clone(room),
            Err(error @ OpenError::Elsewhere(..)) => {
                self.forget(&hold.0, channel);
                return Err(error);
            }
            Err(error) => {
                error!(channel = channel.as_str(), %error, "the documents of a channel cannot be had");
                return Err(error);
            }
        };
        Ok(RoomLease { room, _hold: hold, editor: None })
    }

    /// The cell of `channel`, counted as held once more.
    fn cell(&self, channel: &Channel) -> Result<Arc<RoomCell>, OpenError> {
        let mut rooms = self.rooms.lock();
        if !rooms.contains_key(channel) {
            let most = self.limits.get().max_rooms;
            if rooms.len() >= most {
                let idle = rooms.iter().find(|(_, cell)| cell.is_idle()).map(|(channel, _)| channel.clone());
                let idle = idle.ok_or(OpenError::Full { most })?;
                rooms.remove(&idle);
            }
            let cell = RoomCell { room: OnceCell::new(), leases: AtomicUsize::new(0), idle_since: Mutex::new(None) };
            rooms.insert(channel.clone(), Arc::new(cell));
            self.metrics.rooms.set(i64::try_from(rooms.len()).unwrap_or(i64::MAX));
        }
        let cell = Arc::clone(&rooms[channel]);
        cell.leases.fetch_add(1, Ordering::Acquire);
        *cell.idle_since.lock() = None;
        Ok(cell)
    }

    async fn load(&self, channel: &Channel) -> Result<Arc<DocumentRoom>, OpenError> {
        let turn = self.loading.acquire();
        let _turn = if self.store.is_shared() {
            let too_many = |_| StoreError::Shared("too many channels wait for it".to_owned());
            timeout(TURN_PATIENCE, turn).await.map_err(too_many)?
        } else {
            turn.await
        };
        let (limits, name) = (self.limits.get(), channel.clone());
        let loading = self.store.run(move |store| {
            let tenure = match store.own(name.as_str())? {
                Owned::Ours(tenure) => tenure,
                Owned::Theirs(owner) => return Err(OpenError::Elsewhere(name, owner)),
            };
            let rows = store.load(name.as_str())?;
            match RoomState::load(rows, &limits) {
                Ok(state) => Ok((tenure, state)),
                Err(what) => Err(OpenError::Damaged { channel: name, what }),
            }
        });
        let (tenure, mut state) = loading.await.unwrap_or_else(|stopped| {
            Err(OpenError::Damaged { channel: channel.clone(), what: stopped.to_string() })
        })?;
        let hub = self.store.is_shared().then(|| Weak::clone(&self.shared.hub));
        Ok(Arc::new_cyclic(|room| {
            state.writing = hub.map(|hub| Writing::new(writing::starter(hub, Weak::clone(room))));
            DocumentRoom::new(channel.clone(), tenure, state)
        }))
    }

    /// Nothing was loaded: it need not be remembered.
    fn forget(&self, cell: &Arc<RoomCell>, channel: &Channel) {
        let mut rooms = self.rooms.lock();
        // Whoever waits for it too finds out by itself.
        let is_alone = cell.leases.load(Ordering::Acquire) == 1 && cell.room.get().is_none();
        if is_alone && rooms.get(channel).is_some_and(|known| Arc::ptr_eq(known, cell)) {
            rooms.remove(channel);
        }
    }

    /// A room that could not be kept is nobody's any more: whoever comes next reads what is there.
    fn set_aside(&self, room: &DocumentRoom) {
        let mut rooms = self.rooms.lock();
        let is_it = |cell: &Arc<RoomCell>| cell.room.get().is_some_and(|known| std::ptr::eq(&raw const **known, room));
        if rooms.get(room.channel()).is_some_and(is_it) {
            rooms.remove(room.channel());
        }
    }

    /// Lets go of what nobody has held for a while.
    pub fn sweep(&self, now: Instant) {
        self.look_in_time(now);
        let is_leaving = self.shared.is_leaving.load(Ordering::Acquire);
        let unload_after = if is_leaving { Duration::ZERO } else { self.limits.get().unload_after };
        let mut rooms = self.rooms.lock();
        if rooms.is_empty() {
            return;
        }
        rooms.retain(|_, cell| {
            if !cell.is_idle() {
                return true;
            }
            let since = *cell.idle_since.lock().get_or_insert(now);
            now.saturating_duration_since(since) < unload_after
        });
        self.metrics.rooms.set(i64::try_from(rooms.len()).unwrap_or(i64::MAX));
    }

    /// Whether anything of `channel` is on disk.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn has(&self, channel: &Channel) -> Result<bool, OpenError> {
        let name = channel.clone();
        match self.store.run(move |store| store.has(name.as_str())).await {
            Ok(has) => Ok(has?),
            Err(stopped) => Err(OpenError::Damaged { channel: channel.clone(), what: stopped.to_string() }),
        }
    }

    /// What of `channel` is in memory, if anything is.
    pub fn open_now(&self, channel: &Channel) -> Option<Arc<DocumentRoom>> {
        self.rooms.lock().get(channel)?.room.get().map(Arc::clone)
    }

    /// A write has failed: said where a person looks.
    fn failed(&self, room: &DocumentRoom, error: &StoreError) {
        if let StoreError::Lost(_) = error {
            warn!(channel = room.channel().as_str(), %error, "its editors are sent away");
            return;
        }
        self.metrics.failures.inc();
        warn!(channel = room.channel().as_str(), %error, "documents cannot be written; their editors are sent away");
    }
}

impl RoomCell {
    fn is_idle(&self) -> bool {
        self.leases.load(Ordering::Acquire) == 0
    }
}
