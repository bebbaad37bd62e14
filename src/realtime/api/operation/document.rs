//! The documents of channels: the tree as JSON, documents of Yjs as JSON and as updates, and changes of both by the app.

use bytes::Bytes;
use serde_json::Value;

use crate::realtime::document::tree::{PatchError, PatchOp, Tree};
use crate::realtime::document::ydoc::Coding;
use crate::realtime::hub::Hub;
use crate::realtime::hub::documents::{OpenError, RoomLease, TreePatchError};
use crate::realtime::vocabulary::{Channel, DocumentChange, Refusal, YName};

/// Why a document cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// There is none in the channel.
    #[error("the channel has no such document")]
    Absent,
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("{0}")]
    Patch(PatchError),
    #[error("{0}")]
    Refused(Refusal),
    /// It cannot be written as JSON.
    #[error("the document: {0}")]
    Unwritable(String),
}

/// A document of Yjs.
#[derive(Debug, Clone, PartialEq)]
pub struct YjsDocument {
    /// The types at its root, by name; text is plain text.
    pub types: Value,
    /// All of it as one update.
    pub update: Vec<u8>,
}

/// Changes a channel's tree, by a JSON Patch (RFC 6902).
#[derive(Debug, Clone, PartialEq)]
pub struct TreePatch {
    pub channel: Channel,
    pub patch: Vec<PatchOp>,
}

/// Changes a channel's document of Yjs.
#[derive(Debug, Clone, PartialEq)]
pub struct YjsUpdate {
    pub channel: Channel,
    /// The subdocument; `None` is the channel's own document.
    pub name: YName,
    pub update: Bytes,
    pub coding: Coding,
}

/// The tree of a channel, as plain JSON.
///
/// # Errors
/// [`DocumentError`].
pub async fn tree(hub: &Hub, channel: &Channel) -> Result<String, DocumentError> {
    let lease = existing(hub, channel).await?;
    let json = lease.room().with_tree(Tree::to_json);
    settled(&lease).await?;
    Ok(json)
}

/// A document of Yjs of a channel.
///
/// # Errors
/// [`DocumentError`].
pub async fn yjs(hub: &Hub, channel: &Channel, name: &YName) -> Result<YjsDocument, DocumentError> {
    let lease = existing(hub, channel).await?;
    let read = lease.room().with_yjs(name, |document| {
        let types = document.to_json(false).map_err(|error| DocumentError::Unwritable(error.to_string()))?;
        let update = document.diff(&[], Coding::V1).map_err(|error| DocumentError::Unwritable(error.to_string()))?;
        Ok(YjsDocument { types, update })
    });
    let read = read.unwrap_or(Err(DocumentError::Absent))?;
    settled(&lease).await?;
    Ok(read)
}

impl TreePatch {
    /// All of it, or nothing. Whoever edits there hears of it.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub async fn perform(&self, hub: &Hub) -> Result<(), DocumentError> {
        let lease = open(hub, &self.channel).await?;
        hub.patch_tree(lease.room(), &self.patch).await.map_err(|error| match error {
            TreePatchError::Patch(error) => DocumentError::Patch(error),
            TreePatchError::Refused(refusal) => DocumentError::Refused(refusal),
        })?;
        settled(&lease).await
    }
}

impl YjsUpdate {
    /// Merges it. Whoever edits there hears of it.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub async fn perform(self, hub: &Hub) -> Result<(), DocumentError> {
        let lease = open(hub, &self.channel).await?;
        let YjsUpdate { name, update, coding, .. } = self;
        let change = DocumentChange::Yjs { name, update, coding };
        hub.edit_document(lease.room(), None, (change, false)).map_err(DocumentError::Refused)?;
        settled(&lease).await
    }
}

/// What was read or changed is kept, and this door had the documents.
async fn settled(lease: &RoomLease) -> Result<(), DocumentError> {
    lease.room().settled().await.map_err(DocumentError::Refused)
}

async fn open(hub: &Hub, channel: &Channel) -> Result<RoomLease, DocumentError> {
    let documents = hub.documents().ok_or(DocumentError::Refused(Refusal::Unavailable))?;
    Ok(documents.open(channel).await?)
}

/// The documents of a channel that has some, on disk or in memory.
async fn existing(hub: &Hub, channel: &Channel) -> Result<RoomLease, DocumentError> {
    let documents = hub.documents().ok_or(DocumentError::Refused(Refusal::Unavailable))?;
    if documents.open_now(channel).is_none() && !documents.has(channel).await? {
        return Err(DocumentError::Absent);
    }
    Ok(documents.open(channel).await?)
}
