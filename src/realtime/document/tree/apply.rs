//! The rules: what each operation does to the tree as it is, and who is told what.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::op::{Content, Id, Op, Place, What};
use super::text::{TextNode, TextOp, TextOutcome};
use super::values::{self, Values};
use super::{Kind, Node, ROOT, Row, Tree, position, rows};

/// What came of operations.
#[derive(Debug, Default)]
pub struct Applied {
    /// What their author is told, in order.
    pub author: Vec<Op>,
    /// What all others are told: what took effect.
    pub others: Vec<Op>,
    /// What could not be understood where it came: the names of operations, and why.
    pub rejected: Vec<(Vec<Arc<str>>, String)>,
    /// Something was refused that its author has done already: it has to take over the tree as it is.
    pub heals: bool,
    /// The rows that change, for one batch.
    pub rows: Vec<Row>,
}

/// What became of one operation.
enum Outcome {
    /// It took effect, and perhaps otherwise than it was meant.
    Done(What),
    /// The same, in a list where another than was meant went for it: its author has to hear of that first.
    DoneFor { what: What, gone: Id },
    /// It does nothing.
    Ignored,
    /// It is over a limit.
    Refused,
    /// It cannot be understood.
    Rejected(&'static str),
}

/// The nodes whose rows change, and the rows that a text's history changes.
#[derive(Default)]
struct Touched {
    nodes: BTreeSet<Id>,
    rows: Vec<Row>,
}

impl Tree {
    /// Applies operations in their order.
    pub fn apply(&mut self, ops: Vec<Op>) -> Applied {
        let mut applied = Applied::default();
        let mut touched = Touched::default();
        for op in ops {
            let Op { op_id, what } = op;
            // What is refused is answered as it came.
            let as_it_came = what.clone();
            let done = match self.carry_out(what, op_id.as_ref(), &mut touched) {
                Outcome::Done(what) => what,
                Outcome::DoneFor { what, gone } => {
                    applied.author.push(Op { op_id: None, what: What::Delete { id: gone } });
                    what
                }
                Outcome::Ignored => {
                    applied.author.extend(op_id.map(Op::ignored));
                    continue;
                }
                Outcome::Refused => {
                    applied.heals = true;
                    applied.author.push(Op { op_id, what: as_it_came });
                    continue;
                }
                Outcome::Rejected(why) => {
                    applied.rejected.push((op_id.into_iter().collect(), why.to_owned()));
                    continue;
                }
            };
            // Of a text's change that was made before, or of which nothing is left, nobody else need hear.
            if !matches!(&done, What::UpdateText { ops, .. } if ops.is_empty()) {
                applied.others.push(Op { op_id: None, what: done.clone() });
            }
            applied.author.push(Op { op_id, what: done });
        }
        applied.rows = touched.rows;
        for id in touched.nodes {
            if let Some(node) = self.nodes.get(&id) {
                rows::with(&id, node, &mut applied.rows);
            }
        }
        applied
    }

    fn carry_out(&mut self, what: What, op_id: Option<&Arc<str>>, touched: &mut Touched) -> Outcome {
        match what {
            What::Update { id, values } => self.update(id, values, touched),
            What::DeleteKey { id, key } => self.delete_key(id, key, touched),
            What::Delete { id } => {
                if *id == *ROOT || !self.nodes.contains_key(&id) {
                    return Outcome::Ignored;
                }
                self.remove(&id, touched);
                Outcome::Done(What::Delete { id })
            }
            What::Move { id, key } => self.move_to(id, &key, touched),
            What::Create { id, parent, key, content, place } => self.create((id, parent, key), content, place, touched),
            What::UpdateText { id, base, ops, .. } => self.update_text((id, op_id), base, &ops, touched),
        }
    }

    fn update(&mut self, id: Id, values: Values, touched: &mut Touched) -> Outcome {
        let Some(Node { kind: Kind::Object(known), .. }) = self.nodes.get(&id) else { return Outcome::Ignored };
        let replaced = values.iter().filter_map(|(key, _)| known.get(key).map(|value| key.len() + value.len()));
        let (before, replaced) = (size_of_pairs(known), replaced.sum::<usize>());
        let after = before - replaced + values::size(&values);
        if after > self.limits.value && after > before || self.is_full(after.saturating_sub(before)) {
            return Outcome::Refused;
        }
        for (key, value) in &values {
            let child = self.nodes.get(&id).and_then(|node| node.children.get(key)).cloned();
            if let Some(child) = child {
                self.remove(&child, touched);
            }
            if let Some(Node { kind: Kind::Object(known), .. }) = self.nodes.get_mut(&id) {
                known.insert(Arc::clone(key), value.clone());
            }
        }
        self.bytes = self.bytes + after - before;
        touched.nodes.insert(Arc::clone(&id));
        Outcome::Done(What::Update { id, values })
    }

    fn delete_key(&mut self, id: Id, key: Arc<str>, touched: &mut Touched) -> Outcome {
        let Some(node) = self.nodes.get_mut(&id) else { return Outcome::Ignored };
        match &mut node.kind {
            Kind::Object(values) => {
                if let Some(value) = values.remove(&key) {
                    self.bytes -= key.len() + value.len();
                    touched.nodes.insert(Arc::clone(&id));
                }
            }
            Kind::Map => {}
            Kind::List | Kind::Register(_) | Kind::Text(_) => return Outcome::Ignored,
        }
        if let Some(child) = self.nodes.get(&id).and_then(|node| node.children.get(&key)).cloned() {
            self.remove(&child, touched);
        }
        Outcome::Done(What::DeleteKey { id, key })
    }

    /// The mover gives way, never the one who is there.
    fn move_to(&mut self, id: Id, key: &str, touched: &mut Touched) -> Outcome {
        let Some((parent, before)) = self.nodes.get(&id).and_then(|node| node.parent.clone()) else {
            return Outcome::Ignored;
        };
        let Some(list) = self.nodes.get(&parent).filter(|node| matches!(node.kind, Kind::List)) else {
            return Outcome::Ignored;
        };
        if key.len() > position::LONGEST {
            return Outcome::Refused;
        }
        let mut key = position::clipped(key);
        if list.children.get(&key).is_some_and(|known| *known != id) {
            let next = list.children.range::<str, _>(behind(&key)).find(|(_, known)| **known != id);
            key = position::between(&key, next.map(|(key, _)| &**key));
        }
        self.bytes = self.bytes + key.len() - before.len();
        if let Some(list) = self.nodes.get_mut(&parent) {
            list.children.remove(&before);
            list.children.insert(Arc::clone(&key), Arc::clone(&id));
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.parent = Some((parent, Arc::clone(&key)));
        }
        touched.nodes.insert(Arc::clone(&id));
        Outcome::Done(What::Move { id, key })
    }

    fn create(
        &mut self,
        (id, parent, key): (Id, Id, Arc<str>),
        content: Content,
        place: Place,
        touched: &mut Touched,
    ) -> Outcome {
        let Some(above) = self.nodes.get(&parent) else { return Outcome::Ignored };
        let is_register = matches!(content, Content::Register(_));
        let is_list = match &above.kind {
            Kind::Object(_) if is_register => return Outcome::Ignored,
            Kind::Register(_) | Kind::Text(_) => return Outcome::Ignored,
            Kind::Object(_) | Kind::Map => false,
            Kind::List => true,
        };
        // A repeat, or one that others could not tell from another.
        if self.nodes.contains_key(&id) || id.is_empty() || id.len() > self.limits.id {
            return Outcome::Ignored;
        }
        let size = size_of::<Node>() + id.len() + key.len() + content.size();
        let is_long = key.len() > position::LONGEST;
        let is_over = is_long || content.size() > self.limits.value || matches!(content, Content::File(_));
        if is_over || self.is_full(size) || self.nodes.len() >= self.limits.nodes || !self.may_be_below(&parent) {
            return Outcome::Refused;
        }
        let (key, gone) = if is_list {
            self.make_place(&parent, &key, &place, touched)
        } else {
            let known = above.children.get(&key).cloned();
            if let Some(Node { kind: Kind::Object(values), .. }) = self.nodes.get_mut(&parent)
                && let Some(value) = values.remove(&key)
            {
                self.bytes -= key.len() + value.len();
                touched.nodes.insert(Arc::clone(&parent));
            }
            if let Some(known) = known {
                self.remove(&known, touched);
            }
            (key, None)
        };
        let kind = match &content {
            Content::Object(values) => Kind::Object(values.iter().cloned().collect()),
            Content::List => Kind::List,
            Content::Map => Kind::Map,
            Content::Register(value) => Kind::Register(value.clone()),
            Content::Text { segments, version } => Kind::Text(Box::new(TextNode::new(segments.clone(), *version))),
            Content::File(_) => return Outcome::Refused,
        };
        let node = Node::new(Some((Arc::clone(&parent), Arc::clone(&key))), kind);
        self.bytes += node.size(&id);
        if let Some(above) = self.nodes.get_mut(&parent) {
            above.children.insert(Arc::clone(&key), Arc::clone(&id));
        }
        self.nodes.insert(Arc::clone(&id), node);
        touched.nodes.insert(Arc::clone(&id));
        let what = What::Create { id, parent, key, content, place };
        match gone {
            Some(gone) => Outcome::DoneFor { what, gone },
            None => Outcome::Done(what),
        }
    }

    /// The position of a new item of a list, and who went for it that its author did not mean.
    fn make_place(&mut self, list: &Id, key: &str, place: &Place, touched: &mut Touched) -> (Arc<str>, Option<Id>) {
        let mut key = position::clipped(key);
        let mut gone = None;
        if let Place::Set { deleted } = place {
            let there = self.nodes.get(list).and_then(|node| node.children.get(&key)).cloned();
            let meant = deleted.as_ref().filter(|id| {
                self.nodes.get(*id).and_then(|node| node.parent.as_ref()).is_some_and(|(parent, _)| parent == list)
            });
            for id in there.iter().chain(meant) {
                self.remove(id, touched);
            }
            gone = there.filter(|there| deleted.as_ref() != Some(there));
        }
        let Some(items) = self.nodes.get(list).map(|node| &node.children) else { return (key, gone) };
        match place {
            Place::Push => {
                if let Some((last, _)) = items.last_key_value().filter(|(last, _)| **last >= key) {
                    key = position::after(last);
                }
            }
            Place::Insert | Place::Set { .. } if items.contains_key(&key) => {
                let next = items.range::<str, _>(behind(&key)).next();
                key = position::between(&key, next.map(|(key, _)| &**key));
            }
            Place::Insert | Place::Set { .. } => {}
        }
        (key, gone)
    }

    fn update_text(
        &mut self,
        (id, op_id): (Id, Option<&Arc<str>>),
        base: u64,
        ops: &[TextOp],
        touched: &mut Touched,
    ) -> Outcome {
        let (value, free) = (self.limits.value, self.limits.bytes.saturating_sub(self.bytes));
        let Some(Node { kind: Kind::Text(text), .. }) = self.nodes.get_mut(&id) else { return Outcome::Ignored };
        let before = text.segments.iter().map(super::text::Segment::size).sum::<usize>();
        match text.update(op_id, base, ops, (value.min(before + free), value)) {
            TextOutcome::Accepted { ops, version, forgotten } => {
                let after = text.segments.iter().map(super::text::Segment::size).sum::<usize>();
                self.bytes = self.bytes + after - before;
                rows::with_history(&id, text, &forgotten, &mut touched.rows);
                touched.nodes.insert(Arc::clone(&id));
                Outcome::Done(What::UpdateText { id, base: version - 1, ops, version: Some(version) })
            }
            // Answered as a text's change all the same: its author has typed on behind it, and waits for that.
            TextOutcome::Nothing { version } => {
                Outcome::Done(What::UpdateText { id, base: version, ops: Vec::new(), version: Some(version) })
            }
            // Acknowledged it would leave its author a version ahead; refused, it reads the text anew.
            TextOutcome::TooLong => Outcome::Rejected("the text would be too long"),
            TextOutcome::Rejected(why) => Outcome::Rejected(why),
        }
    }

    /// A node goes, and all below it.
    fn remove(&mut self, id: &Id, touched: &mut Touched) {
        let above = self.nodes.get(id).and_then(|node| node.parent.clone());
        if let Some((parent, key)) = above
            && let Some(above) = self.nodes.get_mut(&parent)
        {
            above.children.remove(&key);
        }
        let mut waiting = vec![Arc::clone(id)];
        while let Some(id) = waiting.pop() {
            let Some(node) = self.nodes.remove(&id) else { continue };
            self.bytes -= node.size(&id);
            rows::without(&id, &node, &mut touched.rows);
            touched.nodes.remove(&id);
            waiting.extend(node.children.into_values());
        }
    }

    fn is_full(&self, more: usize) -> bool {
        more > 0 && self.bytes + more > self.limits.bytes
    }

    /// Whether a node may be below this one: the tree is not deep enough yet.
    fn may_be_below(&self, id: &Id) -> bool {
        let above = std::iter::successors(Some(id), |id| {
            self.nodes.get(*id).and_then(|node| node.parent.as_ref()).map(|(parent, _)| parent)
        });
        above.take(self.limits.depth).count() < self.limits.depth
    }
}

fn size_of_pairs(values: &std::collections::BTreeMap<Arc<str>, Box<str>>) -> usize {
    values.iter().map(|(key, value)| key.len() + value.len()).sum()
}

/// Everything behind a key.
fn behind(key: &str) -> (std::ops::Bound<&str>, std::ops::Bound<&str>) {
    (std::ops::Bound::Excluded(key), std::ops::Bound::Unbounded)
}
