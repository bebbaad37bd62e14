//! A room's documents of Yjs: read as JSON or bytes, and updated.

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Call;
use super::answer::{RestAnswer, RestError};
use crate::realtime::document::ydoc::{Coding, YDocument, YKind};
use crate::realtime::hub::documents::DocumentRoom;
use crate::realtime::liveblocks::LiveblocksDoor;
use crate::realtime::liveblocks::room::Invalid;
use crate::realtime::vocabulary::{DocumentChange, YName};

/// An update that changes nothing.
const EMPTY: [u8; 2] = [0, 0];

impl LiveblocksDoor {
    /// The types at the root of a document, or one of them.
    pub(super) fn read_ydoc(call: &Call, documents: &DocumentRoom) -> Result<RestAnswer, RestError> {
        let formatted = call.parameter("formatting").is_some_and(|value| value != "false");
        let kind = call.said("type").map(|name| kind(&name)).transpose()?;
        let name = guid(call)?;
        let read = match call.said("key") {
            None => documents.with_yjs(&name, |document| document.to_json(formatted)).unwrap_or_else(|| Ok(json!({}))),
            Some(key) => {
                let read = |document: &mut YDocument| document.root_to_json(&key, kind, formatted);
                let value = documents.with_yjs(&name, read).unwrap_or(Ok(None));
                value.map(|value| value.unwrap_or_else(|| empty(kind)))
            }
        };
        Ok(RestAnswer::json(&read.map_err(|error| RestError::invalid(format!("The document: {error}")))?))
    }

    /// Takes an update.
    pub(super) fn update_ydoc(
        &self,
        call: &Call,
        documents: &DocumentRoom,
        update: Bytes,
    ) -> Result<RestAnswer, RestError> {
        let name = guid(call)?;
        let change = DocumentChange::Yjs { name, update, coding: Coding::V1 };
        self.hub.edit_document(documents, None, (change, false))?;
        Ok(RestAnswer::json(&json!({ "success": true })))
    }

    /// All of a document as one update.
    pub(super) fn read_ydoc_binary(call: &Call, documents: &DocumentRoom) -> Result<RestAnswer, RestError> {
        let update = documents.with_yjs(&guid(call)?, |document| document.diff(&[], Coding::V1));
        let update = update.unwrap_or_else(|| Ok(EMPTY.to_vec()));
        Ok(RestAnswer::bytes(update.map_err(|error| RestError::unavailable(error.to_string()))?))
    }
}

/// The subdocument that is meant, if one is.
fn guid(call: &Call) -> Result<YName, RestError> {
    let Some(guid) = call.said("guid") else { return Ok(None) };
    let guid = Uuid::try_parse(&guid).map_err(|error| Invalid::new("guid", error.to_string()))?;
    Ok(Some(guid.hyphenated().to_string().into()))
}

/// What a type at the root of a document is said to be.
fn kind(name: &str) -> Result<YKind, Invalid> {
    let known = [
        ("ytext", YKind::Text),
        ("yarray", YKind::Array),
        ("ymap", YKind::Map),
        ("yxmlfragment", YKind::XmlFragment),
        ("yxmltext", YKind::XmlText),
    ];
    let found = known.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
    found.ok_or_else(|| Invalid::new("type", "ymap, ytext, yxmltext, yxmlfragment and yarray are known"))
}

/// What is read where there is nothing.
fn empty(kind: Option<YKind>) -> Value {
    match kind {
        Some(YKind::Map) => json!({}),
        Some(YKind::Array) => json!([]),
        _ => json!(""),
    }
}
