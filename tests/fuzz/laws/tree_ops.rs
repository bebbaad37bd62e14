//! Any operations at all on a tree, a line each: one that can be read is written as it was read; what is on disk is the tree; and
//! who is told what took effect has the same tree.

use std::collections::BTreeMap;

use doorway::realtime::document::tree::{Op, Tree, TreeLimits};

const LIMITS: TreeLimits = TreeLimits { nodes: 200, bytes: 64 << 10, value: 4 << 10, depth: 8, id: 128 };

fn written(op: &Op, with_op_id: bool) -> String {
    let mut json = String::new();
    op.write(with_op_id, &mut json);
    json
}

fn nodes(tree: &Tree) -> Vec<String> {
    let compact = |node: doorway::realtime::document::tree::NodeRow| {
        let mut json = String::new();
        node.write_compact(&mut json);
        json
    };
    tree.nodes().map(compact).collect()
}

pub fn holds(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (mut tree, mut told) = (Tree::new(LIMITS), Tree::new(LIMITS));
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let Ok(op) = Op::read(line) else { continue };
        let again = written(&op, true);
        assert_eq!(Op::read(&again).as_ref(), Ok(&op), "{again}");
        let applied = tree.apply(vec![op]);
        for (key, value) in applied.rows {
            match value {
                Some(value) => drop(rows.insert(key, value)),
                None => drop(rows.remove(&key)),
            }
        }
        for op in applied.others {
            let op = written(&op, false);
            let said = told.apply(vec![Op::read(&op).expect("what others are told can be read")]);
            assert!(!said.heals && said.rejected.is_empty(), "{op}");
        }
        assert_eq!(nodes(&tree), nodes(&told));
    }
    let loaded = Tree::load(LIMITS, rows).expect("its own rows");
    assert_eq!((nodes(&loaded), loaded.size()), (nodes(&tree), tree.size()));
}
