//! The rows of a channel's documents in the store: a letter for what they are of, and the rest is that document's own.

use crate::documents::Row;

/// The tree's.
const TREE: u8 = b't';
/// A document of Yjs': its name, and a zero.
const YJS: u8 = b'y';
/// How many editors' numbers are given away.
const EDITORS: u8 = b'e';

/// What a row is of, and its key there.
#[derive(Debug, PartialEq, Eq)]
pub enum RowOf<'a> {
    Tree(&'a [u8]),
    Yjs {
        name: &'a str,
        key: &'a [u8],
    },
    Editors,
    /// A protocol's own, which it reads itself.
    Other,
}

/// What the row with this key is of.
pub fn row_of(key: &[u8]) -> RowOf<'_> {
    match key {
        [TREE, rest @ ..] => RowOf::Tree(rest),
        [EDITORS] => RowOf::Editors,
        [YJS, rest @ ..] => {
            let parts = rest.iter().position(|byte| *byte == 0).map(|end| (&rest[..end], &rest[end + 1..]));
            match parts.and_then(|(name, key)| Some((std::str::from_utf8(name).ok()?, key))) {
                Some((name, key)) => RowOf::Yjs { name, key },
                None => RowOf::Other,
            }
        }
        _ => RowOf::Other,
    }
}

/// The key of the row that says how many numbers are given away.
pub fn editors_key() -> Vec<u8> {
    vec![EDITORS]
}

/// Rows of the tree.
pub fn of_tree(rows: Vec<Row>) -> Vec<Row> {
    behind(&[TREE], rows)
}

/// Rows of the document of Yjs called `name`.
pub fn of_yjs(name: &str, rows: Vec<Row>) -> Vec<Row> {
    behind(&[&[YJS], name.as_bytes(), &[0]].concat(), rows)
}

fn behind(prefix: &[u8], rows: Vec<Row>) -> Vec<Row> {
    rows.into_iter().map(|(key, value)| ([prefix, &key].concat(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_found_again_by_its_key() {
        let key = |rows: Vec<Row>| rows.into_iter().next().map(|(key, _)| key).unwrap_or_default();
        assert_eq!(row_of(&key(of_tree(vec![(b"0:1".to_vec(), None)]))), RowOf::Tree(b"0:1"));
        let yjs = key(of_yjs("a-guid", vec![(vec![0, 7], None)]));
        assert_eq!(row_of(&yjs), RowOf::Yjs { name: "a-guid", key: &[0, 7] });
        assert_eq!(row_of(&key(of_yjs("", vec![(Vec::new(), None)]))), RowOf::Yjs { name: "", key: &[] });
        assert_eq!((row_of(&editors_key()), row_of(b"m"), row_of(b"")), (RowOf::Editors, RowOf::Other, RowOf::Other));
    }
}
