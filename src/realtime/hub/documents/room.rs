//! The documents of one channel in memory, and who edits them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tracing::debug;

use super::marks::Marks;
use super::queue::{Telling, Writing};
use super::rows::{self, RowOf};
use crate::documents::{Row, StoredRow, Tenure};
use crate::realtime::document::tree::Tree;
use crate::realtime::document::ydoc::{Coding, YDocument};
use crate::realtime::hub::document_limits::DocumentLimits;
use crate::realtime::hub::sync::Mutex;
use crate::realtime::vocabulary::{Channel, ConnectionId, Refusal, SnapshotHashes, YName};

/// Numbers that are given away at once: a crash loses what is left of them, and a join costs no write.
const NUMBERS_AT_ONCE: u64 = 64;

/// The documents of one channel.
pub struct DocumentRoom {
    channel: Channel,
    tenure: Tenure,
    pub(super) state: Mutex<RoomState>,
}

/// The documents themselves. Guarded by the room's lock.
pub struct RoomState {
    pub tree: Tree,
    /// By their names; the channel's own has an empty one.
    pub yjs: HashMap<Arc<str>, YDocument>,
    pub limits: Arc<DocumentLimits>,
    pub compared: Compared,
    pub marks: Marks,
    editors: Editors,
    /// A change could not be kept, or another has the room: what is here is no longer what is there.
    pub is_broken: bool,
    /// What waits to be written, where several doors share what it is written to.
    pub writing: Option<Writing>,
}

/// The codings in which somebody compares snapshots: a hash costs as much as the document has editors and deletions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Compared {
    v1: bool,
    v2: bool,
}

impl Compared {
    /// This one too, from now on.
    pub fn also(&mut self, coding: Option<Coding>) {
        self.v1 |= coding == Some(Coding::V1);
        self.v2 |= coding == Some(Coding::V2);
    }

    /// The hashes of `document` that are compared.
    pub fn hashes(self, document: &mut YDocument) -> SnapshotHashes {
        SnapshotHashes {
            v1: self.v1.then(|| document.snapshot_hash(Coding::V1)),
            v2: self.v2.then(|| document.snapshot_hash(Coding::V2)),
        }
    }
}

/// Who edits. Numbers are never given twice, not even after a restart: what editors make is named by them.
#[derive(Debug, Default)]
struct Editors {
    next: u64,
    /// Up to here they are given away on disk.
    reserved: u64,
    here: HashMap<u64, ConnectionId>,
    /// Everyone, those without a number too.
    connections: HashSet<ConnectionId>,
}

impl DocumentRoom {
    /// The room of this channel, which this door has.
    pub fn new(channel: Channel, tenure: Tenure, state: RoomState) -> DocumentRoom {
        DocumentRoom { channel, tenure, state: Mutex::new(state) }
    }

    /// Whose documents they are.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// By what this door may write them.
    pub fn tenure(&self) -> &Tenure {
        &self.tenure
    }

    /// A new editor's number, never given before. `connection` is where it hears what is for it alone.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: it cannot be kept that it is given.
    pub async fn enter(&self, connection: Option<ConnectionId>) -> Result<u64, Refusal> {
        loop {
            let written = {
                let mut state = self.state.lock();
                if let Some(number) = state.editors.give(connection) {
                    return Ok(number);
                }
                state.goes_on()?;
                let reserved = state.editors.next + NUMBERS_AT_ONCE;
                let row: Row = (rows::editors_key(), Some(reserved.to_be_bytes().to_vec()));
                match &mut state.writing {
                    Some(writing) => {
                        writing.push(vec![row], vec![Telling::Reserved(reserved)]);
                        writing.written()
                    }
                    None => {
                        self.tenure.commit(&[row]).map_err(|error| {
                            debug!(channel = self.channel.as_str(), %error, "no number for an editor");
                            Refusal::Unavailable
                        })?;
                        state.reserve(reserved);
                        continue;
                    }
                }
            };
            written.await?;
        }
    }

    /// Somebody edits by this connection, until it says that it does no more.
    pub fn comes(&self, connection: ConnectionId) {
        self.state.lock().editors.connections.insert(connection);
    }

    /// This editor is gone.
    pub fn leave(&self, editor: u64) {
        self.state.lock().editors.here.remove(&editor);
    }

    /// The connection of an editor that is there.
    pub fn connection_of(&self, editor: u64) -> Option<ConnectionId> {
        self.state.lock().editors.here.get(&editor).copied()
    }

    /// Looks at the tree.
    pub fn with_tree<T>(&self, look: impl FnOnce(&Tree) -> T) -> T {
        look(&self.state.lock().tree)
    }

    /// Looks at a document of Yjs, where there is one of this name.
    pub fn with_yjs<T>(&self, name: &YName, look: impl FnOnce(&mut YDocument) -> T) -> Option<T> {
        self.state.lock().yjs.get_mut(name.as_deref().unwrap_or_default()).map(look)
    }
}

impl Editors {
    /// The next number, if one is given away already.
    fn give(&mut self, connection: Option<ConnectionId>) -> Option<u64> {
        let number = self.next;
        if number >= self.reserved {
            return None;
        }
        self.next += 1;
        if let Some(connection) = connection {
            self.here.insert(number, connection);
        }
        Some(number)
    }
}

impl RoomState {
    /// A room as its rows have it.
    ///
    /// # Errors
    /// What is wrong with the rows.
    pub fn load(rows: Vec<StoredRow>, limits: &Arc<DocumentLimits>) -> Result<RoomState, String> {
        let (mut tree, mut yjs) = (Vec::new(), HashMap::<Arc<str>, Vec<_>>::new());
        let mut editors = Editors::default();
        for (key, value) in rows {
            match rows::row_of(&key) {
                RowOf::Tree(key) => tree.push((key.to_vec(), value)),
                RowOf::Yjs { name, key } => yjs.entry(name.into()).or_default().push((key.to_vec(), value)),
                RowOf::Editors => {
                    let number = value.try_into().map_err(|_| "the number of its editors has not eight bytes")?;
                    editors.reserved = u64::from_be_bytes(number);
                    editors.next = editors.reserved;
                }
                RowOf::Other => {}
            }
        }
        let tree = Tree::load(limits.tree(), tree).map_err(|damaged| format!("its tree: {damaged}"))?;
        let load = |(name, rows): (Arc<str>, Vec<_>)| match YDocument::load(limits.yjs(), rows) {
            Ok(document) => Ok((name, document)),
            Err(damaged) => Err(format!("its document of Yjs {name:?}: {damaged}")),
        };
        let yjs = yjs.into_iter().map(load).collect::<Result<_, _>>()?;
        let (limits, compared, marks) = (Arc::clone(limits), Compared::default(), Marks::default());
        Ok(RoomState { tree, yjs, limits, compared, marks, editors, is_broken: false, writing: None })
    }

    /// Whether something can be done here.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`]: it is over, or too much waits to be written.
    pub fn goes_on(&self) -> Result<(), Refusal> {
        let has_room = self.writing.as_ref().is_none_or(Writing::has_room);
        if self.is_broken || !has_room { Err(Refusal::Unavailable) } else { Ok(()) }
    }

    /// Editors' numbers are given away up to this one.
    pub fn reserve(&mut self, number: u64) {
        self.editors.reserved = self.editors.reserved.max(number);
    }

    /// Nobody edits by this connection any more.
    pub fn goes(&mut self, connection: ConnectionId) {
        self.editors.connections.remove(&connection);
    }

    /// The connections of those who edit.
    pub fn editors(&self) -> Vec<ConnectionId> {
        self.editors.connections.iter().copied().collect()
    }

    /// The document of Yjs called `name`, made if need be; `None` where there are too many.
    pub fn yjs_mut(&mut self, name: &YName) -> Option<&mut YDocument> {
        let name = name.as_deref().unwrap_or_default();
        if !self.yjs.contains_key(name) {
            if self.yjs.len() >= self.limits.max_subdocuments {
                return None;
            }
            self.yjs.insert(name.into(), YDocument::new(self.limits.yjs()));
        }
        self.yjs.get_mut(name)
    }
}
