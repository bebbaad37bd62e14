//! A document as JSON for programs. Updates do not say what the types at its root are: that is seen from what is in them.

use serde_json::{Map, Value};
use yrs::branch::BranchPtr;
use yrs::types::ToJson;
use yrs::types::text::YChange;
use yrs::{Any, Array, ArrayRef, GetString, MapRef, Out, ReadTxn, Text, TextRef, Transact};
use yrs::{XmlFragment, XmlFragmentRef, XmlOut, XmlTextRef};

use super::{UpdateError, YDocument, guarded};

/// How deep types may lie in each other where they are read as JSON.
const MAX_DEPTH: usize = 100;

/// What a type at the root of a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YKind {
    Text,
    Array,
    Map,
    XmlFragment,
    XmlText,
}

impl YDocument {
    /// The types at its root by their names, `formatted` or as plain text.
    ///
    /// # Errors
    /// [`UpdateError::Malformed`]: it cannot be read so.
    pub fn to_json(&mut self, formatted: bool) -> Result<Value, UpdateError> {
        let doc = self.doc()?;
        guarded(|| {
            let txn = doc.transact();
            let mut roots = Map::new();
            for (name, root) in txn.root_refs() {
                if let Some(branch) = branch(&root) {
                    roots.insert(name.to_owned(), read(&txn, branch, kind_of(&txn, branch), formatted)?);
                }
            }
            Ok::<_, String>(Value::Object(roots))
        })
    }

    /// One of these, read as what it is said to be; `None` where there is none of this name.
    ///
    /// # Errors
    /// As [`YDocument::to_json`].
    pub fn root_to_json(
        &mut self,
        name: &str,
        kind: Option<YKind>,
        formatted: bool,
    ) -> Result<Option<Value>, UpdateError> {
        let doc = self.doc()?;
        guarded(|| {
            let txn = doc.transact();
            let Some(branch) = txn.get(name).and_then(|root| branch(&root)) else { return Ok(None) };
            let kind = kind.unwrap_or_else(|| kind_of(&txn, branch));
            read(&txn, branch, kind, formatted).map(Some)
        })
    }
}

fn branch(out: &Out) -> Option<BranchPtr> {
    out.try_branch().map(BranchPtr::from)
}

/// What is in it says what it is.
fn kind_of<T: ReadTxn>(txn: &T, branch: BranchPtr) -> YKind {
    let array = ArrayRef::from(branch);
    let first = array.get(txn, 0);
    if matches!(first, Some(Out::YXmlElement(_) | Out::YXmlText(_) | Out::YXmlFragment(_))) {
        return YKind::XmlFragment;
    }
    if !TextRef::from(branch).get_string(txn).is_empty() {
        return YKind::Text;
    }
    if first.is_some() {
        return YKind::Array;
    }
    // What was emptied was mostly a text.
    if yrs::Map::len(&MapRef::from(branch), txn) > 0 { YKind::Map } else { YKind::Text }
}

fn read<T: ReadTxn>(txn: &T, branch: BranchPtr, kind: YKind, formatted: bool) -> Result<Value, String> {
    let root = match kind {
        YKind::Text => Out::YText(TextRef::from(branch)),
        YKind::Array => Out::YArray(ArrayRef::from(branch)),
        YKind::Map => Out::YMap(MapRef::from(branch)),
        YKind::XmlFragment => Out::YXmlFragment(XmlFragmentRef::from(branch)),
        YKind::XmlText => Out::YXmlText(XmlTextRef::from(branch)),
    };
    is_shallow(txn, root.clone())?;
    if let (Out::YText(text), true) = (&root, formatted) {
        return delta(txn, text);
    }
    any(&root.to_json(txn))
}

/// A text with its formats, as Yjs' own `toDelta` has it.
fn delta<T: ReadTxn>(txn: &T, text: &TextRef) -> Result<Value, String> {
    let mut pieces = Vec::new();
    for piece in text.diff(txn, YChange::identity) {
        is_shallow(txn, piece.insert.clone())?;
        let mut told = Map::from_iter([("insert".to_owned(), any(&piece.insert.to_json(txn))?)]);
        if let Some(attributes) = piece.attributes.filter(|attributes| !attributes.is_empty()) {
            let mut all = Map::new();
            for (key, value) in attributes.iter() {
                all.insert(key.to_string(), any(value)?);
            }
            told.insert("attributes".to_owned(), Value::Object(all));
        }
        pieces.push(Value::Object(told));
    }
    Ok(Value::Array(pieces))
}

fn any(any: &Any) -> Result<Value, String> {
    serde_json::to_value(any).map_err(|error| error.to_string())
}

/// Whether nothing lies so deep that reading it takes more stack than there is: its depth is its editors' choice.
fn is_shallow<T: ReadTxn>(txn: &T, root: Out) -> Result<(), String> {
    let mut waiting = vec![(root, 0)];
    while let Some((out, depth)) = waiting.pop() {
        if depth > MAX_DEPTH {
            return Err(format!("its types lie more than {MAX_DEPTH} deep in each other"));
        }
        let mut below = |out: Out| waiting.push((out, depth + 1));
        match out {
            Out::YArray(array) => array.iter(txn).for_each(below),
            Out::YMap(map) => yrs::Map::values(&map, txn).flatten().for_each(below),
            Out::YXmlFragment(fragment) => fragment.children(txn).for_each(|child| below(of_xml(child))),
            Out::YXmlElement(element) => XmlFragment::children(&element, txn).for_each(|child| below(of_xml(child))),
            Out::Any(Any::Array(values)) => values.iter().for_each(|value| below(Out::Any(value.clone()))),
            Out::Any(Any::Map(values)) => values.values().for_each(|value| below(Out::Any(value.clone()))),
            _ => {}
        }
    }
    Ok(())
}

fn of_xml(child: XmlOut) -> Out {
    match child {
        XmlOut::Element(element) => Out::YXmlElement(element),
        XmlOut::Fragment(fragment) => Out::YXmlFragment(fragment),
        XmlOut::Text(text) => Out::YXmlText(text),
    }
}
