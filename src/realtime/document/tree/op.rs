//! Operations on a tree, as they travel: JSON objects with a number for their kind.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::text::{self, Segment, TextOp};
use super::values::{self, Values};
use super::write::{put_number, put_raw, put_text};

/// The name of a node, chosen by who made it.
pub type Id = Arc<str>;

/// An operation on a tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// Its author's name for it, by which it is answered.
    pub op_id: Option<Arc<str>>,
    pub what: What,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// 1: an item of a list moves.
    Move { id: Id, key: Arc<str> },
    /// 2, 4, 7, 8, 9, 11: a node is made.
    Create { id: Id, parent: Id, key: Arc<str>, content: Content, place: Place },
    /// 3: values of an object are set.
    Update { id: Id, values: Values },
    /// 5: a node goes, and all below it.
    Delete { id: Id },
    /// 6: what an object or map has at a key goes.
    DeleteKey { id: Id, key: Arc<str> },
    /// 10: a text changes. `version` is that which it has by then, where it was accepted.
    UpdateText { id: Id, base: u64, ops: Vec<TextOp>, version: Option<u64> },
}

/// What a new node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Object(Values),
    List,
    Map,
    /// One value, as JSON.
    Register(Box<str>),
    Text {
        segments: Vec<Segment>,
        version: u64,
    },
    /// A file, which is kept elsewhere: not offered.
    File(Box<str>),
}

/// Where in a list a new node means to be.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Place {
    /// There, or behind what is there.
    #[default]
    Insert,
    /// At the end.
    Push,
    /// In the place of what is there, which its author takes for this one.
    Set { deleted: Option<Id> },
}

/// An operation that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MalformedOp(String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read<'a> {
    r#type: u8,
    id: Arc<str>,
    op_id: Option<Arc<str>>,
    parent_id: Option<Arc<str>>,
    parent_key: Option<Arc<str>>,
    key: Option<Arc<str>>,
    intent: Option<String>,
    deleted_id: Option<Arc<str>>,
    #[serde(borrow, default, deserialize_with = "values::present")]
    data: Option<&'a RawValue>,
    version: Option<u64>,
    base_version: Option<u64>,
    #[serde(borrow)]
    ops: Option<&'a RawValue>,
}

/// The latest version that a new text may have: clients count in doubles.
const LATEST: u64 = 1 << 52;

impl Op {
    /// Reads one of JSON.
    ///
    /// # Errors
    /// [`MalformedOp`]: what is wrong.
    pub fn read(json: &str) -> Result<Op, MalformedOp> {
        let bad = |what: &str| MalformedOp(what.to_owned());
        let read: Read<'_> = serde_json::from_str(json).map_err(|error| MalformedOp(error.to_string()))?;
        let Read { id, op_id, .. } = read;
        let place = match (read.intent.as_deref(), read.deleted_id) {
            (None, _) => Place::Insert,
            (Some("push"), _) => Place::Push,
            (Some("set"), deleted) => Place::Set { deleted },
            (Some(_), _) => return Err(bad("intent is push or set")),
        };
        let data = read.data.map(RawValue::get);
        let content = match read.r#type {
            2 => Some(Content::List),
            4 => Some(Content::Object(read_values(data.ok_or_else(|| bad("an object has no data"))?)?)),
            7 => Some(Content::Map),
            8 => Some(Content::Register(data.ok_or_else(|| bad("a register has no data"))?.into())),
            9 => {
                let segments = text::read_segments(data.unwrap_or("[]")).map_err(MalformedOp)?;
                let version = read.version.unwrap_or(0);
                if version > LATEST {
                    return Err(bad("version is too large"));
                }
                Some(Content::Text { segments, version })
            }
            11 => Some(Content::File(data.unwrap_or("{}").into())),
            _ => None,
        };
        let what = match (read.r#type, content) {
            (_, Some(content)) => What::Create {
                id,
                parent: read.parent_id.ok_or_else(|| bad("parentId is missing"))?,
                key: read.parent_key.ok_or_else(|| bad("parentKey is missing"))?,
                content,
                place,
            },
            (1, None) => What::Move { id, key: read.parent_key.ok_or_else(|| bad("parentKey is missing"))? },
            (3, None) => What::Update { id, values: read_values(data.ok_or_else(|| bad("data is missing"))?)? },
            (5, None) => What::Delete { id },
            (6, None) => What::DeleteKey { id, key: read.key.ok_or_else(|| bad("key is missing"))? },
            (10, None) => {
                let ops = read.ops.map_or("[]", RawValue::get);
                let ops = text::read_ops(ops).map_err(MalformedOp)?;
                let base = read.base_version.ok_or_else(|| bad("baseVersion is missing"))?;
                What::UpdateText { id, base, ops, version: None }
            }
            (other, None) => return Err(MalformedOp(format!("there is no operation {other}"))),
        };
        Ok(Op { op_id, what })
    }

    /// The answer to one that does nothing.
    pub fn ignored(op_id: Arc<str>) -> Op {
        Op { op_id: Some(op_id), what: What::Delete { id: "ACK".into() } }
    }

    /// Its author's name for it.
    pub fn op_id(&self) -> Option<&Arc<str>> {
        self.op_id.as_ref()
    }

    /// Writes it as JSON, with its author's name for it or without.
    pub fn write(&self, with_op_id: bool, out: &mut String) {
        let kind = match &self.what {
            What::Move { .. } => "1",
            What::Create { content, .. } => match content {
                Content::List => "2",
                Content::Object(_) => "4",
                Content::Map => "7",
                Content::Register(_) => "8",
                Content::Text { .. } => "9",
                Content::File(_) => "11",
            },
            What::Update { .. } => "3",
            What::Delete { .. } => "5",
            What::DeleteKey { .. } => "6",
            What::UpdateText { .. } => "10",
        };
        out.push_str(r#"{"type":"#);
        out.push_str(kind);
        if let Some(op_id) = self.op_id.as_ref().filter(|_| with_op_id) {
            put_text(out, "opId", op_id);
        }
        match &self.what {
            What::Move { id, key } => {
                put_text(out, "id", id);
                put_text(out, "parentKey", key);
            }
            What::Create { id, parent, key, content, place } => {
                put_text(out, "id", id);
                put_text(out, "parentId", parent);
                put_text(out, "parentKey", key);
                content.write(out);
                match place {
                    Place::Insert => {}
                    Place::Push => put_text(out, "intent", "push"),
                    Place::Set { deleted } => {
                        put_text(out, "intent", "set");
                        if let Some(deleted) = deleted {
                            put_text(out, "deletedId", deleted);
                        }
                    }
                }
            }
            What::Update { id, values } => {
                put_text(out, "id", id);
                put_raw(out, "data", &values::object(values));
            }
            What::Delete { id } => put_text(out, "id", id),
            What::DeleteKey { id, key } => {
                put_text(out, "id", id);
                put_text(out, "key", key);
            }
            What::UpdateText { id, base, ops, version } => {
                put_text(out, "id", id);
                put_number(out, "baseVersion", *base);
                put_raw(out, "ops", &text::write_ops(ops));
                if let Some(version) = version {
                    put_number(out, "version", *version);
                }
            }
        }
        out.push('}');
    }
}

fn read_values(json: &str) -> Result<Values, MalformedOp> {
    values::read(json).map_err(MalformedOp)
}

impl Content {
    /// What of it is data, if anything.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Content::Object(values) => put_raw(out, "data", &values::object(values)),
            Content::List | Content::Map => {}
            Content::Register(value) | Content::File(value) => put_raw(out, "data", value),
            Content::Text { segments, version } => {
                put_raw(out, "data", &text::write_segments(segments));
                put_number(out, "version", *version);
            }
        }
    }

    /// About how many bytes it holds.
    pub(super) fn size(&self) -> usize {
        match self {
            Content::Object(values) => values::size(values),
            Content::List | Content::Map => 0,
            Content::Register(value) | Content::File(value) => value.len(),
            Content::Text { segments, .. } => segments.iter().map(Segment::size).sum(),
        }
    }
}
