//! JSON Patch (RFC 6902) on a tree: all of its operations, or none.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::op::{Content, Id, Op, Place, What};
use super::{Kind, Node, ROOT, Tree, position};

/// An operation of a patch.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum PatchOp {
    Add { path: String, value: Value },
    Remove { path: String },
    Replace { path: String, value: Value },
    Move { from: String, path: String },
    Copy { from: String, path: String },
    Test { path: String, value: Value },
}

/// A patch that cannot be applied: which of its operations, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("operation {number}: {what}")]
pub struct PatchError {
    pub number: usize,
    pub what: String,
}

/// Where a path leads.
struct Target {
    parent: Id,
    /// The last token of the path.
    token: String,
}

impl Tree {
    /// The operations that this patch comes to. `ids` gives names for nodes that nobody else makes.
    ///
    /// # Errors
    /// [`PatchError`]: nothing is to be done then.
    pub fn patch(&self, patch: &[PatchOp], ids: &mut dyn FnMut() -> Id) -> Result<Vec<Op>, PatchError> {
        // Tried on a tree of its own, step by step: a later one sees what the earlier ones did.
        let mut tried = self.copied();
        let mut all = Vec::new();
        for (number, op) in patch.iter().enumerate() {
            let ops = tried.step(op, ids).map_err(|what| PatchError { number, what })?;
            let applied = tried.apply(ops.clone());
            if applied.heals {
                return Err(PatchError { number, what: "it is over a limit".to_owned() });
            }
            all.extend(ops);
        }
        Ok(all)
    }

    fn copied(&self) -> Tree {
        let nodes = self.nodes.iter().map(|(id, node)| (Arc::clone(id), node.clone())).collect();
        Tree { nodes, limits: self.limits, bytes: self.bytes }
    }

    fn step(&self, op: &PatchOp, ids: &mut dyn FnMut() -> Id) -> Result<Vec<Op>, String> {
        match op {
            PatchOp::Add { path, value } => self.put(path, value, false, ids),
            PatchOp::Replace { path, value } => {
                self.value_at(path)?;
                self.put(path, value, true, ids)
            }
            PatchOp::Remove { path } => self.take_away(path),
            PatchOp::Test { path, value } => {
                let known = self.value_at(path)?;
                if known == *value { Ok(Vec::new()) } else { Err(format!("{path} is {known}")) }
            }
            PatchOp::Copy { from, path } => self.put(path, &self.value_at(from)?, false, ids),
            PatchOp::Move { from, path } => {
                let value = self.value_at(from)?;
                if path.strip_prefix(from.as_str()).is_some_and(|rest| rest.starts_with('/')) {
                    return Err(format!("{from} cannot move below itself"));
                }
                if from == path {
                    return Ok(Vec::new());
                }
                let mut ops = self.take_away(from)?;
                let mut without = self.copied();
                without.apply(ops.clone());
                ops.extend(without.put(path, &value, false, ids)?);
                Ok(ops)
            }
        }
    }

    /// Where a path leads: all above it must be nodes.
    fn target(&self, path: &str) -> Result<Target, String> {
        let tokens = tokens(path)?;
        let Some((last, above)) = tokens.split_last() else { return Err("the root itself stays".to_owned()) };
        let mut parent: Id = ROOT.into();
        for token in above {
            let node = self.node(&parent)?;
            let key = self.key_of(node, token)?;
            let child =
                node.children.get(&*key).ok_or_else(|| format!("{path}: there is no node {token:?} on the way"))?;
            parent = Arc::clone(child);
        }
        Ok(Target { parent, token: last.clone() })
    }

    fn node(&self, id: &Id) -> Result<&Node, String> {
        self.nodes.get(id).ok_or_else(|| format!("there is no node {id:?}"))
    }

    /// The key of what `token` names: of a list's item its position.
    fn key_of(&self, node: &Node, token: &str) -> Result<Arc<str>, String> {
        match node.kind {
            Kind::List => {
                let index = index(token)?;
                let key = node.children.keys().nth(index);
                key.cloned().ok_or_else(|| format!("the list has no item {index}"))
            }
            Kind::Object(_) | Kind::Map => Ok(token.into()),
            Kind::Register(_) | Kind::Text(_) => Err(format!("nothing is below a value: {token:?}")),
        }
    }

    /// The value that a path leads to, as plain JSON.
    fn value_at(&self, path: &str) -> Result<Value, String> {
        let mut whole: &Value = &serde_json::from_str(&self.to_json()).map_err(|error| error.to_string())?;
        for token in tokens(path)? {
            let next = match whole {
                Value::Array(items) => items.get(index(&token)?),
                Value::Object(fields) => fields.get(&token),
                _ => None,
            };
            whole = next.ok_or_else(|| format!("there is nothing at {path}"))?;
        }
        Ok(whole.clone())
    }

    fn put(&self, path: &str, value: &Value, replaces: bool, ids: &mut dyn FnMut() -> Id) -> Result<Vec<Op>, String> {
        let Target { parent, token } = self.target(path)?;
        let node = self.node(&parent)?;
        let is_node = value.is_object() || value.is_array();
        let (key, place) = match &node.kind {
            Kind::Object(_) if !is_node => {
                let values = vec![(token.as_str().into(), value.to_string().into())];
                return Ok(vec![Op { op_id: None, what: What::Update { id: parent, values } }]);
            }
            Kind::Object(_) | Kind::Map => (Arc::from(token.as_str()), Place::Insert),
            Kind::List if replaces => {
                let key = self.key_of(node, &token)?;
                let deleted = node.children.get(&key).cloned();
                (key, Place::Set { deleted })
            }
            Kind::List => {
                let items = node.children.len();
                let index = if token == "-" { items } else { index(&token)? };
                if index > items {
                    return Err(format!("the list has {items} items: {index} is behind its end"));
                }
                let before = index.checked_sub(1).and_then(|index| node.children.keys().nth(index));
                let next = node.children.keys().nth(index);
                let key = match (before, next) {
                    (Some(before), next) => position::between(before, next.map(|next| &**next)),
                    (None, Some(next)) => position::between("", Some(next)),
                    (None, None) => position::clipped(""),
                };
                (key, Place::Insert)
            }
            Kind::Register(_) | Kind::Text(_) => return Err(format!("nothing is below a value: {path}")),
        };
        Ok(made((parent, key), place, value, ids))
    }

    fn take_away(&self, path: &str) -> Result<Vec<Op>, String> {
        let Target { parent, token } = self.target(path)?;
        let node = self.node(&parent)?;
        let what = match &node.kind {
            Kind::List => {
                let key = self.key_of(node, &token)?;
                let id = node.children.get(&key).cloned().ok_or_else(|| format!("there is nothing at {path}"))?;
                What::Delete { id }
            }
            Kind::Object(values) => {
                if !values.contains_key(token.as_str()) && !node.children.contains_key(token.as_str()) {
                    return Err(format!("there is nothing at {path}"));
                }
                What::DeleteKey { id: parent, key: token.into() }
            }
            Kind::Map => {
                let id = node.children.get(token.as_str()).cloned();
                What::Delete { id: id.ok_or_else(|| format!("there is nothing at {path}"))? }
            }
            Kind::Register(_) | Kind::Text(_) => return Err(format!("nothing is below a value: {path}")),
        };
        Ok(vec![Op { op_id: None, what }])
    }
}

/// The operations that make a value: objects and arrays become nodes.
fn made((parent, key): (Id, Arc<str>), place: Place, value: &Value, ids: &mut dyn FnMut() -> Id) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut waiting = vec![(parent, key, place, value)];
    while let Some((parent, key, place, value)) = waiting.pop() {
        let id = ids();
        let content = match value {
            Value::Object(fields) => {
                let mut values = Vec::new();
                for (key, value) in fields {
                    if value.is_object() || value.is_array() {
                        waiting.push((Arc::clone(&id), key.as_str().into(), Place::Insert, value));
                    } else {
                        values.push((Arc::from(key.as_str()), value.to_string().into()));
                    }
                }
                Content::Object(values)
            }
            Value::Array(items) => {
                let mut last: Option<Arc<str>> = None;
                for value in items {
                    let key = last.as_deref().map_or_else(|| position::clipped(""), position::after);
                    waiting.push((Arc::clone(&id), Arc::clone(&key), Place::Insert, value));
                    last = Some(key);
                }
                Content::List
            }
            value => Content::Register(value.to_string().into()),
        };
        ops.push(Op { op_id: None, what: What::Create { id, parent, key, content, place } });
    }
    ops
}

fn index(token: &str) -> Result<usize, String> {
    let is_plain = token == "0" || !token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit());
    token.parse().ok().filter(|_| is_plain).ok_or_else(|| format!("{token:?} is no place in a list"))
}

/// The tokens of a JSON Pointer (RFC 6901).
fn tokens(path: &str) -> Result<Vec<String>, String> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let rest = path.strip_prefix('/').ok_or_else(|| format!("a path begins with a slash: {path:?}"))?;
    Ok(rest.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect())
}
