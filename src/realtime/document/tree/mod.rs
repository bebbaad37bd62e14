//! A tree of objects, lists, maps, values and texts that several edit at once. Operations take effect in the order in which
//! they come; what each does then, and what its author and all others are told, is [`Tree::apply`].
//!
//! Whoever edits has made the change already where it is, and takes over what it is told: so all come to the same tree.

mod apply;
mod json;
mod op;
mod patch;
mod position;
mod rows;
mod text;
mod values;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use apply::Applied;
pub use json::NotTyped;
pub use op::{Content, Id, MalformedOp, Op, Place, What};
pub use patch::{PatchError, PatchOp};
pub use rows::{DamagedTree, NodeRow};
pub use values::Values;

use text::TextNode;

/// The node that is always there.
pub const ROOT: &str = "root";

/// What bounds a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeLimits {
    /// Its nodes.
    pub nodes: usize,
    /// All of it, about, in bytes.
    pub bytes: usize,
    /// One value: what an object has beside its nodes, a list's or map's value, a text.
    pub value: usize,
    /// How deep nodes may be.
    pub depth: usize,
    /// The name of a node, in bytes.
    pub id: usize,
}

/// The tree.
#[derive(Debug)]
pub struct Tree {
    nodes: HashMap<Id, Node>,
    limits: TreeLimits,
    /// What all nodes hold, about.
    bytes: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct Node {
    /// Whose it is, and at which key; nobody's is the root alone.
    parent: Option<(Id, Arc<str>)>,
    kind: Kind,
    /// The nodes below it, by their keys: of a list in the order of its items.
    children: BTreeMap<Arc<str>, Id>,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Object(BTreeMap<Arc<str>, Box<str>>),
    List,
    Map,
    Register(Box<str>),
    Text(Box<TextNode>),
}

/// A row of the store: its key, and what stands there from now on.
pub type Row = (Vec<u8>, Option<Vec<u8>>);

impl Node {
    fn new(parent: Option<(Id, Arc<str>)>, kind: Kind) -> Node {
        Node { parent, kind, children: BTreeMap::new() }
    }

    /// About how many bytes it holds.
    fn size(&self, id: &str) -> usize {
        let key = self.parent.as_ref().map_or(0, |(_, key)| key.len());
        size_of::<Node>() + id.len() + key + self.kind.size()
    }
}

impl Kind {
    fn size(&self) -> usize {
        match self {
            Kind::Object(values) => values.iter().map(|(key, value)| key.len() + value.len()).sum(),
            Kind::List | Kind::Map => 0,
            Kind::Register(value) => value.len(),
            Kind::Text(text) => text.segments.iter().map(text::Segment::size).sum(),
        }
    }
}

impl Tree {
    /// An empty one.
    pub fn new(limits: TreeLimits) -> Tree {
        let root = Node::new(None, Kind::Object(BTreeMap::new()));
        let bytes = root.size(ROOT);
        Tree { nodes: HashMap::from([(ROOT.into(), root)]), limits, bytes }
    }

    /// Whether there is nothing but an empty root.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1 && matches!(&self.root().kind, Kind::Object(values) if values.is_empty())
    }

    /// How many nodes there are, and about how many bytes they hold.
    pub fn size(&self) -> (usize, usize) {
        (self.nodes.len(), self.bytes)
    }

    fn root(&self) -> &Node {
        &self.nodes[ROOT]
    }

    /// Every node, each behind the one that it is below.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRow> + '_ {
        let mut waiting: Vec<&Id> = self.nodes.get_key_value(ROOT).map(|(id, _)| id).into_iter().collect();
        std::iter::from_fn(move || {
            let id = waiting.pop()?;
            let node = &self.nodes[id];
            waiting.extend(node.children.values().rev());
            Some(NodeRow::of(id, node))
        })
    }

    /// Takes everything away but an empty root. Gives back the rows that change.
    pub fn clear(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (id, node) in self.nodes.drain() {
            rows::without(&id, &node, &mut rows);
        }
        *self = Tree::new(self.limits);
        rows::with(ROOT, self.root(), &mut rows);
        rows
    }
}

#[cfg(test)]
mod tests;
