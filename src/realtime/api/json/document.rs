//! Documents of channels: what is read of them, and what changes them.

use std::cell::RefCell;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Object;
use super::read::{channel, whole};
use super::write::text;
use crate::json;
use crate::realtime::api::operation::{TreePatch, YjsDocument, YjsUpdate};
use crate::realtime::api::problem::{ApiProblem, Wrong};
use crate::realtime::document::tree::PatchOp;
use crate::realtime::document::ydoc::Coding;
use crate::realtime::vocabulary::{Channel, YName};

/// The most operations of a patch.
const MOST_OPERATIONS: usize = 10_000;

/// Reads a change of a tree.
///
/// # Errors
/// 400 with all that is wrong.
pub fn tree_patch(body: &[u8]) -> Result<TreePatch, ApiProblem> {
    whole(|wrongs: &RefCell<Vec<Wrong>>| {
        let object = Object::read(body, "#".to_owned(), wrongs)?;
        let channel = needed(&object, "channel").and_then(|()| channel(&object, "channel"));
        needed(&object, "patch");
        let listed = object.list("patch").unwrap_or_default();
        if listed.len() > MOST_OPERATIONS {
            object.wrong("patch", format!("must have at most {MOST_OPERATIONS} operations"));
            return None;
        }
        let operation = |(place, raw): (usize, &RawValue)| {
            let read = json::from_str::<PatchOp>(raw.get());
            read.map_err(|error| object.wrong_at("patch", place, format!("must be an operation of RFC 6902: {error}")))
                .ok()
        };
        let patch = listed.into_iter().enumerate().map(operation).collect::<Option<Vec<_>>>()?;
        Some(TreePatch { channel: channel?, patch })
    })
}

/// Reads an update of a document of Yjs.
///
/// # Errors
/// 400 with all that is wrong.
pub fn yjs_update(body: &[u8]) -> Result<YjsUpdate, ApiProblem> {
    whole(|wrongs: &RefCell<Vec<Wrong>>| {
        let object = Object::read(body, "#".to_owned(), wrongs)?;
        let channel = needed(&object, "channel").and_then(|()| channel(&object, "channel"));
        let name = match object.text("document") {
            None => None,
            Some(guid) => guid_of(&guid).map_err(|what| object.wrong("document", what)).ok(),
        };
        let coding = match object.text("coding").as_deref() {
            None | Some("v1") => Coding::V1,
            Some("v2") => Coding::V2,
            Some(_) => {
                object.wrong("coding", "must be \"v1\" or \"v2\"");
                return None;
            }
        };
        needed(&object, "update");
        let update = STANDARD.decode(object.text("update")?);
        let update = update.map_err(|error| object.wrong("update", format!("must be base64: {error}"))).ok()?;
        Some(YjsUpdate { channel: channel?, name, update: update.into(), coding })
    })
}

/// The name of a subdocument that a query gives.
///
/// # Errors
/// 400: it is none.
pub fn document_name(guid: &str) -> Result<Arc<str>, ApiProblem> {
    guid_of(guid).map_err(|what| ApiProblem::bad(format!("document {what}")))
}

fn guid_of(guid: &str) -> Result<Arc<str>, String> {
    let guid = Uuid::try_parse(guid).map_err(|error| format!("must be a UUID: {error}"))?;
    Ok(guid.hyphenated().to_string().into())
}

/// Notes where a field is not there.
fn needed(object: &Object, key: &'static str) -> Option<()> {
    if object.raw(key).is_none() {
        object.wrong(key, "is needed");
        return None;
    }
    Some(())
}

pub fn tree(channel: &Channel, tree: &str) -> String {
    #[derive(Serialize)]
    struct Shape<'a> {
        channel: &'a str,
        tree: Option<&'a RawValue>,
    }
    text(&Shape { channel: channel.as_str(), tree: serde_json::from_str(tree).ok() }) + "\n"
}

pub fn yjs(channel: &Channel, name: &YName, document: &YjsDocument) -> String {
    #[derive(Serialize)]
    struct Shape<'a> {
        channel: &'a str,
        document: Option<&'a str>,
        types: &'a Value,
        update: String,
    }
    let update = STANDARD.encode(&document.update);
    text(&Shape { channel: channel.as_str(), document: name.as_deref(), types: &document.types, update }) + "\n"
}
