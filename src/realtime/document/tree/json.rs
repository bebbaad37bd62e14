//! A tree as JSON for programs: plain, or with what each node is; and a tree made of such.

use std::sync::Arc;

use serde_json::Value;

use super::op::{Content, Id, Op, Place, What};
use super::text;
use super::write::{put_raw, quote};
use super::{Kind, Node, ROOT, Tree, position};

/// JSON that says what each node is, and does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotTyped(pub(super) String);

/// The names of what nodes are, behind the key that a protocol has for them.
const OBJECT: &str = "LiveObject";
const LIST: &str = "LiveList";
const MAP: &str = "LiveMap";
const TEXT: &str = "LiveText";

impl Tree {
    /// The tree as plain JSON.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(self.root(), None, &mut out);
        out
    }

    /// The same with what each node is, under the key `tag`: `{tag: "LiveList", "data": […]}`.
    pub fn to_typed_json(&self, tag: &str) -> String {
        let mut out = String::new();
        self.write(self.root(), Some(tag), &mut out);
        out
    }

    /// No deeper than the tree may be.
    fn write(&self, node: &Node, tag: Option<&str>, out: &mut String) {
        let name = match &node.kind {
            Kind::Register(value) => return out.push_str(value),
            Kind::Object(_) => OBJECT,
            Kind::List => LIST,
            Kind::Map => MAP,
            Kind::Text(_) => TEXT,
        };
        if let Some(tag) = tag {
            out.push('{');
            put_raw(out, tag, "");
            quote(out, name);
            put_raw(out, "data", "");
        }
        let children = || node.children.iter().filter_map(|(key, id)| Some((key, self.nodes.get(id)?)));
        match &node.kind {
            Kind::Object(_) | Kind::Map => {
                out.push('{');
                if let Kind::Object(values) = &node.kind {
                    values.iter().for_each(|(key, value)| put_raw(out, key, value));
                }
                for (key, child) in children() {
                    put_raw(out, key, "");
                    self.write(child, tag, out);
                }
                out.push('}');
            }
            Kind::List => {
                out.push('[');
                for (place, (_, child)) in children().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    self.write(child, tag, out);
                }
                out.push(']');
            }
            Kind::Text(text) => out.push_str(&text::write_segments(&text.segments)),
            Kind::Register(_) => {}
        }
        if tag.is_some() {
            out.push('}');
        }
    }

    /// The operations that make the tree of this typed JSON out of an empty one. `ids` gives names for nodes that nobody
    /// else makes.
    ///
    /// # Errors
    /// [`NotTyped`]: what is wrong.
    pub fn ops_of_typed_json(tag: &str, json: &Value, ids: &mut dyn FnMut() -> Id) -> Result<Vec<Op>, NotTyped> {
        let Some((OBJECT, Some(fields))) = typed(tag, json)?.map(|(name, data)| (name, data.as_object())) else {
            return Err(NotTyped(format!("the root is {{\"{tag}\": \"{OBJECT}\", \"data\": {{…}}}}")));
        };
        let mut ops = Vec::new();
        let mut waiting = Vec::new();
        let mut values = Vec::new();
        for (key, value) in fields {
            match typed(tag, value)? {
                Some(_) => waiting.push((Id::from(ROOT), Arc::<str>::from(key.as_str()), value)),
                None => values.push((Arc::from(key.as_str()), value.to_string().into())),
            }
        }
        if !values.is_empty() {
            ops.push(Op { op_id: None, what: What::Update { id: ROOT.into(), values } });
        }
        while let Some((parent, key, value)) = waiting.pop() {
            let id = ids();
            let content = match typed(tag, value)? {
                Some((OBJECT, data)) => {
                    let fields = data.as_object().ok_or_else(|| NotTyped(format!("{OBJECT} has an object as data")))?;
                    let mut values = Vec::new();
                    for (key, value) in fields {
                        match typed(tag, value)? {
                            Some(_) => waiting.push((Arc::clone(&id), key.as_str().into(), value)),
                            None => values.push((Arc::from(key.as_str()), value.to_string().into())),
                        }
                    }
                    Content::Object(values)
                }
                Some((MAP, data)) => {
                    let fields = data.as_object().ok_or_else(|| NotTyped(format!("{MAP} has an object as data")))?;
                    waiting.extend(fields.iter().map(|(key, value)| (Arc::clone(&id), key.as_str().into(), value)));
                    Content::Map
                }
                Some((LIST, data)) => {
                    let items = data.as_array().ok_or_else(|| NotTyped(format!("{LIST} has an array as data")))?;
                    let mut last: Option<Arc<str>> = None;
                    for value in items {
                        let key = last.as_deref().map_or_else(|| position::clipped(""), position::after);
                        waiting.push((Arc::clone(&id), Arc::clone(&key), value));
                        last = Some(key);
                    }
                    Content::List
                }
                Some((_, data)) => {
                    let segments = text::read_segments(&data.to_string()).map_err(NotTyped)?;
                    Content::Text { segments, version: 0 }
                }
                None => Content::Register(value.to_string().into()),
            };
            ops.push(Op { op_id: None, what: What::Create { id, parent, key, content, place: Place::Insert } });
        }
        Ok(ops)
    }
}

/// What a value is and its data, where it says so.
fn typed<'a>(tag: &str, value: &'a Value) -> Result<Option<(&'static str, &'a Value)>, NotTyped> {
    let Some(name) = value.get(tag) else { return Ok(None) };
    let known = [OBJECT, LIST, MAP, TEXT].into_iter().find(|known| name == known);
    let name = known.ok_or_else(|| NotTyped(format!("there is no {tag} {name}")))?;
    let data = value.get("data").ok_or_else(|| NotTyped(format!("{name} has no data")))?;
    Ok(Some((name, data)))
}
