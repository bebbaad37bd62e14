//! A tree on disk: a row a node, and a row for each of the latest operations on a text.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::op::Id;
use super::text::{self, Accepted, TextNode};
use super::values;
use super::write::{put_number, put_raw, put_text, quote};
use super::{Kind, Node, ROOT, Row, Tree, TreeLimits};

/// What stands before the key of a node, and of an operation on a text.
const NODE: u8 = b'n';
const HISTORY: u8 = b'h';

/// The numbers of nodes' kinds, as they travel too.
const OBJECT: u8 = 0;
const LIST: u8 = 1;
const MAP: u8 = 2;
const REGISTER: u8 = 3;
const TEXT: u8 = 4;

/// Rows that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row:?}: {what}")]
pub struct DamagedTree {
    row: String,
    what: String,
}

#[derive(Deserialize)]
struct Stored {
    /// The kind.
    t: u8,
    p: Option<Arc<str>>,
    k: Option<Arc<str>>,
    /// Its data.
    #[serde(default, deserialize_with = "values::present")]
    d: Option<Box<RawValue>>,
    v: Option<u64>,
}

#[derive(Deserialize)]
struct StoredChange {
    #[serde(default)]
    o: Option<Arc<str>>,
    c: Box<RawValue>,
}

/// The row of a node as it is.
pub(super) fn with(id: &str, node: &Node, rows: &mut Vec<Row>) {
    let (kind, data, version) = node.kind.data();
    let mut json = String::from("{");
    put_number(&mut json, "t", kind.into());
    if let Some((parent, key)) = &node.parent {
        put_text(&mut json, "p", parent);
        put_text(&mut json, "k", key);
    }
    if let Some(data) = data {
        put_raw(&mut json, "d", &data);
    }
    if let Some(version) = version {
        put_number(&mut json, "v", version);
    }
    json.push('}');
    rows.push((node_key(id), Some(json.into_bytes())));
}

/// The row of a node that is gone, and of what became of its text.
pub(super) fn without(id: &str, node: &Node, rows: &mut Vec<Row>) {
    rows.push((node_key(id), None));
    if let Kind::Text(text) = &node.kind {
        rows.extend(text.history.iter().map(|accepted| (history_key(id, accepted.version), None)));
    }
}

/// The row of a text's latest operation; and the one that is `forgotten` for it goes.
pub(super) fn with_history(id: &str, text: &TextNode, forgotten: &[u64], rows: &mut Vec<Row>) {
    if let Some(accepted) = text.history.back() {
        let mut json = String::from("{");
        if let Some(op_id) = &accepted.op_id {
            put_text(&mut json, "o", op_id);
        }
        put_raw(&mut json, "c", &text::write_ops(&accepted.ops));
        json.push('}');
        rows.push((history_key(id, accepted.version), Some(json.into_bytes())));
    }
    rows.extend(forgotten.iter().map(|version| (history_key(id, *version), None)));
}

fn node_key(id: &str) -> Vec<u8> {
    [&[NODE], id.as_bytes()].concat()
}

fn history_key(id: &str, version: u64) -> Vec<u8> {
    [&[HISTORY], id.as_bytes(), &[0], &version.to_be_bytes()].concat()
}

impl Kind {
    /// Its number, its data as JSON, and its version, where it has such.
    fn data(&self) -> (u8, Option<String>, Option<u64>) {
        match self {
            Kind::Object(values) => {
                let mut json = String::from("{");
                values.iter().for_each(|(key, value)| put_raw(&mut json, key, value));
                json.push('}');
                (OBJECT, Some(json), None)
            }
            Kind::List => (LIST, None, None),
            Kind::Map => (MAP, None, None),
            Kind::Register(value) => (REGISTER, Some(value.to_string()), None),
            Kind::Text(text) => (TEXT, Some(text::write_segments(&text.segments)), Some(text.version)),
        }
    }
}

impl Tree {
    /// The tree that these rows are. What belongs to nobody any more is left out.
    ///
    /// # Errors
    /// [`DamagedTree`]: which row cannot be read.
    pub fn load(limits: TreeLimits, rows: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<Tree, DamagedTree> {
        let mut nodes: HashMap<Id, Node> = HashMap::new();
        let mut histories: HashMap<Id, BTreeMap<u64, Accepted>> = HashMap::new();
        for (key, value) in rows {
            let damaged = |what: String| DamagedTree { row: String::from_utf8_lossy(&key).into_owned(), what };
            let value = std::str::from_utf8(&value).map_err(|error| damaged(error.to_string()))?;
            match key.split_first() {
                Some((&NODE, id)) => {
                    let id = std::str::from_utf8(id).map_err(|error| damaged(error.to_string()))?;
                    nodes.insert(id.into(), node(value).map_err(damaged)?);
                }
                Some((&HISTORY, rest)) => {
                    let (id, accepted) = change(rest, value).map_err(damaged)?;
                    histories.entry(id).or_default().insert(accepted.version, accepted);
                }
                _ => return Err(damaged("there are no such rows".to_owned())),
            }
        }
        for (id, history) in histories {
            if let Some(Node { kind: Kind::Text(text), .. }) = nodes.get_mut(&id) {
                text.history = latest(history, text.version);
            }
        }
        let mut tree = Tree::new(limits);
        tree.take_over(nodes);
        Ok(tree)
    }

    /// Takes over those of `nodes` that are below the root.
    fn take_over(&mut self, mut nodes: HashMap<Id, Node>) {
        let mut below: HashMap<Id, Vec<(Arc<str>, Id)>> = HashMap::new();
        for (id, node) in &nodes {
            if let Some((parent, key)) = &node.parent {
                below.entry(Arc::clone(parent)).or_default().push((Arc::clone(key), Arc::clone(id)));
            }
        }
        if !nodes.contains_key(ROOT) {
            nodes.insert(ROOT.into(), Node::new(None, Kind::Object(BTreeMap::new())));
        }
        self.nodes.clear();
        self.bytes = 0;
        let mut waiting: Vec<Id> = vec![ROOT.into()];
        while let Some(id) = waiting.pop() {
            let Some(mut node) = nodes.remove(&id) else { continue };
            for (key, child) in below.remove(&id).unwrap_or_default() {
                node.children.insert(key, Arc::clone(&child));
                waiting.push(child);
            }
            self.bytes += node.size(&id);
            self.nodes.insert(id, node);
        }
    }
}

/// The latest operations up to `version`, without a gap.
fn latest(history: BTreeMap<u64, Accepted>, version: u64) -> VecDeque<Accepted> {
    let mut latest = VecDeque::new();
    for (number, accepted) in history.into_iter().rev() {
        if number.checked_add(latest.len() as u64) == Some(version) {
            latest.push_front(accepted);
        }
    }
    latest
}

fn node(json: &str) -> Result<Node, String> {
    let stored: Stored = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let data = || stored.d.as_ref().map(|data| data.get()).ok_or("it has no data");
    let kind = match stored.t {
        OBJECT => {
            let values = values::read(data()?)?;
            Kind::Object(values.into_iter().collect())
        }
        LIST => Kind::List,
        MAP => Kind::Map,
        REGISTER => Kind::Register(data()?.into()),
        TEXT => {
            let segments = text::read_segments(data()?)?;
            Kind::Text(Box::new(TextNode::new(segments, stored.v.unwrap_or_default())))
        }
        other => return Err(format!("there is no kind {other}")),
    };
    Ok(Node::new(stored.p.zip(stored.k), kind))
}

fn change(key: &[u8], json: &str) -> Result<(Id, Accepted), String> {
    let (rest, version) = key.split_last_chunk::<8>().ok_or("its key has no version")?;
    let id = rest.strip_suffix(&[0]).ok_or("its key has no node")?;
    let id = std::str::from_utf8(id).map_err(|error| error.to_string())?;
    let stored: StoredChange = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let ops = text::read_ops(stored.c.get())?;
    Ok((id.into(), Accepted::new(u64::from_be_bytes(*version), stored.o, ops)))
}

/// A node as it is told to who wants to know the whole tree.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeRow {
    id: Id,
    parent: Option<(Id, Arc<str>)>,
    kind: u8,
    data: Option<String>,
    version: Option<u64>,
}

impl NodeRow {
    /// How much memory it takes, roughly.
    pub fn bytes(&self) -> usize {
        size_of::<NodeRow>() + self.data.as_ref().map_or(0, String::len)
    }

    pub(super) fn of(id: &Id, node: &Node) -> NodeRow {
        let (kind, data, version) = node.kind.data();
        NodeRow { id: Arc::clone(id), parent: node.parent.clone(), kind, data, version }
    }

    /// As `[id, kind, parent, key, data?, version?]`; the root as `["root", data]`.
    pub fn write_compact(&self, out: &mut String) {
        out.push('[');
        quote(out, &self.id);
        if let Some((parent, key)) = &self.parent {
            out.push(',');
            out.push_str(&self.kind.to_string());
            out.push(',');
            quote(out, parent);
            out.push(',');
            quote(out, key);
        }
        if let Some(data) = &self.data {
            out.push(',');
            out.push_str(data);
        }
        if let Some(version) = self.version {
            out.push(',');
            out.push_str(&version.to_string());
        }
        out.push(']');
    }

    /// As `[id, {"type", "parentId"?, "parentKey"?, "data"?, "version"?}]`.
    pub fn write_long(&self, out: &mut String) {
        out.push('[');
        quote(out, &self.id);
        out.push_str(",{");
        put_number(out, "type", self.kind.into());
        if let Some((parent, key)) = &self.parent {
            put_text(out, "parentId", parent);
            put_text(out, "parentKey", key);
        }
        if let Some(data) = &self.data {
            put_raw(out, "data", data);
        }
        if let Some(version) = self.version {
            put_number(out, "version", version);
        }
        out.push_str("}]");
    }
}
