//! Documents that several edit at once: what a client asks of them, and what it is told.

use std::sync::Arc;

use bytes::Bytes;

use super::{Channel, Ref, Text};
use crate::realtime::document::tree;
use crate::realtime::document::ydoc::Coding;

/// A change of a channel's documents that a client wants made.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    pub ticket: Ref,
    pub channel: Channel,
    pub change: DocumentChange,
    /// Its author hears of an update of Yjs too, as all others do.
    pub echo: bool,
}

/// The document that is to be changed, and how.
#[derive(Debug, Clone, PartialEq)]
pub enum DocumentChange {
    /// The channel's tree: in this order, and nothing in between.
    Tree(Vec<tree::Op>),
    /// A document of Yjs: an update in one of its two codings.
    Yjs { name: YName, update: Bytes, coding: Coding },
}

/// Which document of Yjs is meant: a channel's own has no name, its subdocuments have.
pub type YName = Option<Arc<str>>;

/// A wish to know a document as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetch {
    pub ticket: Ref,
    pub channel: Channel,
    pub what: DocumentQuery,
}

/// The part of a document that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentQuery {
    /// All of the tree.
    Tree,
    /// What a client lacks whose state is `vector`. It `compares` hashes of snapshots in this coding from now on.
    Yjs { name: YName, vector: Bytes, coding: Coding, compares: Option<Coding> },
    /// The marks that editors show now.
    Marks(SignalKind),
}

/// A change that was made, as all who edit a channel's documents hear it.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    pub channel: Channel,
    pub outcome: EditOutcome,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum EditOutcome {
    /// Operations on the tree as they took effect. To their author they are the answer to its own, each with the id that it
    /// gave them; to all others they have none.
    Tree { ops: Vec<tree::Op>, is_answer: bool },
    /// Operations that could not be understood where they came: they did not happen.
    Rejected { ops: Vec<Arc<str>>, reason: Text },
    /// An update of a document of Yjs, as it came; to its author too.
    Yjs(YUpdate),
    /// The change could not be put on disk: whoever edits has to come back, and sees what is there.
    Failed,
}

/// An update of a document of Yjs.
#[derive(Debug, Clone, PartialEq)]
pub struct YUpdate {
    pub name: YName,
    pub update: Bytes,
    pub coding: Coding,
    pub hashes: SnapshotHashes,
}

/// SHA-256 over a document's snapshot once it has an update, in each coding in which somebody compares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnapshotHashes {
    pub v1: Option<[u8; 32]>,
    pub v2: Option<[u8; 32]>,
}

impl SnapshotHashes {
    /// The one in this coding, if it was asked for.
    pub fn of(&self, coding: Coding) -> Option<&[u8; 32]> {
        match coding {
            Coding::V1 => self.v1.as_ref(),
            Coding::V2 => self.v2.as_ref(),
        }
    }
}

/// A document as it is, or what of it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentState {
    pub channel: Channel,
    pub content: DocumentContent,
}

/// The content of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum DocumentContent {
    /// Every node of the tree, parents first.
    Tree(Vec<tree::NodeRow>),
    /// What was lacking, and the state vector of what there is.
    Yjs { lacking: YUpdate, vector: Bytes },
}

impl DocumentContent {
    /// How much memory it takes, roughly.
    pub fn bytes(&self) -> usize {
        match self {
            DocumentContent::Tree(nodes) => nodes.iter().map(tree::NodeRow::bytes).sum(),
            DocumentContent::Yjs { lacking, vector } => lacking.update.len() + vector.len(),
        }
    }
}

/// What a client shows of itself from moment to moment, where its cursor is: to others who edit with it, by the same
/// protocol. Never kept on disk and not numbered.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    pub ticket: Ref,
    pub channel: Channel,
    pub kind: SignalKind,
    pub body: SignalBody,
}

/// A protocol's mark on its signals. Encoders of other protocols are silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalKind(pub &'static str);

/// What is shown.
#[derive(Debug, Clone, PartialEq)]
pub enum SignalBody {
    /// Passing words: to all others, or to this editor alone; nothing happens where it is gone.
    Words { to: Option<u64>, data: Bytes },
    /// What stays until it is changed, or who shows it has left.
    Marks(Vec<Mark>),
}

/// A thing that an editor shows, known by its id. Of two states the one of the higher version counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    pub id: u64,
    pub version: u64,
    /// `None`: it is shown no longer.
    pub data: Option<Bytes>,
}

/// A signal on its way to those who hear it.
#[derive(Debug, Clone, PartialEq)]
pub struct Signalled {
    pub channel: Channel,
    pub kind: SignalKind,
    pub body: SignalBody,
}
