//! A text with attributes that several edit: operations are carried over those that came before them.
//!
//! Places in it are counted in units of UTF-16, as those count who write it.

mod apply;
mod json;
#[cfg(test)]
mod tests;
mod transform;

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;

pub use apply::apply;
pub use json::{read_ops, read_segments, write_ops, write_segments};
pub use transform::transform;

/// Operations that are remembered: who knows less of a text has to read it anew.
pub const MAX_HISTORY: usize = 1000;

/// Changes that one operation may have.
const MAX_OPS: usize = 1000;

/// Attributes by name, each as JSON; `null` takes one away.
pub type Attributes = BTreeMap<Arc<str>, Box<str>>;

/// A piece of text that looks alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub text: Vec<u16>,
    pub attributes: Attributes,
}

impl Segment {
    /// About how many bytes it holds.
    pub fn size(&self) -> usize {
        let attributes = self.attributes.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        self.text.len() * 2 + attributes
    }
}

/// A change of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextOp {
    Insert { index: usize, text: Vec<u16>, attributes: Attributes },
    Delete { index: usize, length: usize },
    Format { index: usize, length: usize, attributes: Attributes },
}

/// A text, and what became of it lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextNode {
    pub segments: Vec<Segment>,
    pub version: u64,
    /// The latest, in order; the last made the text what it is.
    pub history: VecDeque<Accepted>,
}

/// An operation that was accepted, and made the text what it is in `version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub version: u64,
    pub op_id: Option<Arc<str>>,
    pub ops: Vec<TextOp>,
    /// About how many bytes it holds.
    size: usize,
}

impl Accepted {
    pub fn new(version: u64, op_id: Option<Arc<str>>, ops: Vec<TextOp>) -> Accepted {
        let size = size_of::<Accepted>() + ops.iter().map(TextOp::size).sum::<usize>();
        Accepted { version, op_id, ops, size }
    }
}

impl TextOp {
    /// About how many bytes it holds.
    fn size(&self) -> usize {
        let (text, attributes) = match self {
            TextOp::Insert { text, attributes, .. } => (text.len() * 2, Some(attributes)),
            TextOp::Delete { .. } => (0, None),
            TextOp::Format { attributes, .. } => (0, Some(attributes)),
        };
        let attributes = attributes.into_iter().flatten().map(|(key, value)| key.len() + value.len());
        size_of::<TextOp>() + text + attributes.sum::<usize>()
    }
}

/// What became of a change.
#[derive(Debug, PartialEq)]
pub enum TextOutcome {
    /// Made so, with the text in this version now.
    Accepted { ops: Vec<TextOp>, version: u64, forgotten: Vec<u64> },
    /// Nothing is left of it, or it was accepted before. The text stays in this version.
    Nothing { version: u64 },
    /// It cannot be understood.
    Rejected(&'static str),
    /// The text would be too long.
    TooLong,
}

impl TextNode {
    pub fn new(segments: Vec<Segment>, version: u64) -> TextNode {
        TextNode { segments: apply::normalized(segments), version, history: VecDeque::new() }
    }

    /// Changes it by `ops`, whose author knew it as it was in `base`. It may be of `most` bytes then,
    /// and what it remembers of `kept`.
    pub fn update(
        &mut self,
        op_id: Option<&Arc<str>>,
        base: u64,
        ops: &[TextOp],
        (most, kept): (usize, usize),
    ) -> TextOutcome {
        if base > self.version {
            return TextOutcome::Rejected("the base version is not there yet");
        }
        if op_id.is_some() && self.history.iter().any(|accepted| accepted.op_id.as_ref() == op_id) {
            return TextOutcome::Nothing { version: self.version };
        }
        if ops.len() > MAX_OPS {
            return TextOutcome::Rejected("too many changes at once");
        }
        let oldest = self.history.front().map_or(self.version, |accepted| accepted.version.saturating_sub(1));
        if base < oldest {
            return TextOutcome::Rejected("the base version is too old");
        }
        let mut ops = ops.to_vec();
        for accepted in self.history.iter().filter(|accepted| accepted.version > base) {
            match transform(ops, &accepted.ops) {
                Some(carried) => ops = carried,
                None => return TextOutcome::Rejected("it falls into too many pieces"),
            }
        }
        let (segments, ops) = apply(&self.segments, ops);
        if ops.is_empty() {
            return TextOutcome::Nothing { version: self.version };
        }
        let size = |segments: &[Segment]| segments.iter().map(Segment::size).sum::<usize>();
        let after = size(&segments);
        if after > most && after > size(&self.segments) {
            return TextOutcome::TooLong;
        }
        self.segments = segments;
        self.version += 1;
        let version = self.version;
        self.history.push_back(Accepted::new(version, op_id.cloned(), ops.clone()));
        let mut bytes: usize = self.history.iter().map(|accepted| accepted.size).sum();
        let mut forgotten = Vec::new();
        while self.history.len() > MAX_HISTORY || bytes > kept && self.history.len() > 1 {
            let Some(oldest) = self.history.pop_front() else { break };
            bytes -= oldest.size;
            forgotten.push(oldest.version);
        }
        TextOutcome::Accepted { ops, version, forgotten }
    }
}
