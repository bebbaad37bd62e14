//! The rules by name, and what random and hostile operations leave.

use std::collections::BTreeMap;

use super::*;

const LIMITS: TreeLimits = TreeLimits { nodes: 10_000, bytes: 1 << 20, value: 1 << 18, depth: 64, id: 128 };

/// A tree and the rows that it has put on disk.
struct Stored {
    tree: Tree,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Stored {
    fn new() -> Stored {
        Stored { tree: Tree::new(LIMITS), rows: BTreeMap::new() }
    }

    fn with(ops: &[&str]) -> Stored {
        let mut stored = Stored::new();
        for op in ops {
            assert!(!stored.apply(&[op]).heals);
        }
        stored
    }

    fn apply(&mut self, ops: &[&str]) -> Applied {
        let ops = ops.iter().map(|op| Op::read(op).unwrap_or_else(|error| panic!("{op}: {error}"))).collect();
        let applied = self.tree.apply(ops);
        for (key, value) in &applied.rows {
            match value {
                Some(value) => self.rows.insert(key.clone(), value.clone()),
                None => self.rows.remove(key),
            };
        }
        applied
    }

    fn loaded(&self) -> Tree {
        Tree::load(LIMITS, self.rows.clone()).expect("its own rows")
    }

    /// What is on disk is what is there, and nothing more.
    fn check(&self) {
        let loaded = self.loaded();
        assert_eq!(loaded.nodes, self.tree.nodes);
        assert_eq!(loaded.bytes, self.tree.bytes);
        let histories = |node: &Node| if let Kind::Text(text) = &node.kind { text.history.len() } else { 0 };
        let kept: usize = self.tree.nodes.values().map(histories).sum();
        let is_root_kept = usize::from(self.rows.contains_key(&b"nroot"[..]));
        assert_eq!(self.rows.len(), self.tree.nodes.len() - 1 + is_root_kept + kept);
    }

    fn json(&self) -> String {
        self.tree.to_json()
    }
}

fn written(ops: &[Op]) -> Vec<String> {
    let write = |op: &Op| {
        let mut out = String::new();
        op.write(true, &mut out);
        out
    };
    ops.iter().map(write).collect()
}

fn ack(op_id: &str) -> Vec<String> {
    vec![format!(r#"{{"type":5,"opId":"{op_id}","id":"ACK"}}"#)]
}

const LIST: &str = r#"{"type":2,"opId":"0:0","id":"l","parentId":"root","parentKey":"l"}"#;

/// An item of the list, at `key`, and what else its operation has.
fn item(id: &str, key: &str, more: &str) -> String {
    format!(r#"{{"type":8,"opId":"op-{id}","id":"{id}","parentId":"l","parentKey":{key:?},"data":"{id}"{more}}}"#)
}

fn list(items: &[(&str, &str)]) -> Stored {
    let mut stored = Stored::with(&[LIST]);
    for (id, key) in items {
        stored.apply(&[&item(id, key, "")]);
    }
    stored
}

fn abc() -> Stored {
    list(&[("a", "!"), ("b", "\""), ("c", "#")])
}

fn text(json: &str) -> Stored {
    Stored::with(&[&format!(
        r#"{{"type":9,"opId":"t","id":"t","parentId":"root","parentKey":"t","data":{json},"version":0}}"#
    )])
}

fn change(op_id: &str, base: u64, ops: &str) -> String {
    format!(r#"{{"type":10,"opId":"{op_id}","id":"t","baseVersion":{base},"ops":{ops}}}"#)
}

#[test]
fn an_object_takes_the_last_that_comes() {
    let set = |op_id, value| format!(r#"{{"type":3,"opId":"{op_id}","id":"root","data":{{"x":{value}}}}}"#);
    let delete = r#"{"type":6,"opId":"d","id":"root","key":"x"}"#;
    for (first, second, is) in [
        (set("a", "1"), set("b", "2"), r#"{"x":2}"#),
        (set("a", "1"), delete.to_owned(), "{}"),
        (delete.to_owned(), set("a", "1"), r#"{"x":1}"#),
        (set("a", "1"), set("b", "null"), r#"{"x":null}"#),
    ] {
        let mut stored = Stored::new();
        for op in [first, second] {
            let applied = stored.apply(&[&op]);
            assert_eq!(applied.author.len(), 1);
            assert_eq!(applied.others.len(), 1);
            stored.check();
        }
        assert_eq!(stored.json(), is);
    }
}

#[test]
fn a_node_and_a_value_at_one_key_take_turns() {
    let child = |id, value| {
        format!(r#"{{"type":4,"opId":"c","id":"{id}","parentId":"root","parentKey":"c","data":{{"n":{value}}}}}"#)
    };
    let value = r#"{"type":3,"opId":"v","id":"root","data":{"c":"s"}}"#;
    let mut stored = Stored::new();
    for (op, is) in [
        (child("1", 1).as_str(), r#"{"c":{"n":1}}"#),
        (value, r#"{"c":"s"}"#),
        (&child("2", 2), r#"{"c":{"n":2}}"#),
        (&child("3", 3), r#"{"c":{"n":3}}"#),
    ] {
        stored.apply(&[op]);
        assert_eq!(stored.json(), is);
        stored.check();
    }
    let late = stored.apply(&[r#"{"type":3,"opId":"late","id":"1","data":{"n":9}}"#]);
    assert_eq!((written(&late.author), late.others.len()), (ack("late"), 0));
}

#[test]
fn what_does_nothing_is_acknowledged_to_its_author() {
    let long = "x".repeat(129);
    for op in [
        r#"{"type":3,"opId":"o","id":"none","data":{}}"#.to_owned(),
        r#"{"type":3,"opId":"o","id":"l","data":{}}"#.to_owned(),
        r#"{"type":5,"opId":"o","id":"none"}"#.to_owned(),
        r#"{"type":5,"opId":"o","id":"root"}"#.to_owned(),
        r#"{"type":6,"opId":"o","id":"none","key":"k"}"#.to_owned(),
        r#"{"type":1,"opId":"o","id":"none","parentKey":"!"}"#.to_owned(),
        r#"{"type":1,"opId":"o","id":"l","parentKey":"!"}"#.to_owned(),
        r#"{"type":1,"opId":"o","id":"root","parentKey":"!"}"#.to_owned(),
        r#"{"type":2,"opId":"o","id":"n","parentId":"none","parentKey":"k"}"#.to_owned(),
        r#"{"type":2,"opId":"o","id":"n","parentId":"n","parentKey":"k"}"#.to_owned(),
        r#"{"type":2,"opId":"o","id":"n","parentId":"a","parentKey":"k"}"#.to_owned(),
        r#"{"type":2,"opId":"o","id":"root","parentId":"l","parentKey":"k"}"#.to_owned(),
        r#"{"type":8,"opId":"o","id":"n","parentId":"root","parentKey":"k","data":1}"#.to_owned(),
        r#"{"type":8,"opId":"o","id":"a","parentId":"l","parentKey":"~","data":1}"#.to_owned(),
        r#"{"type":10,"opId":"o","id":"a","baseVersion":0,"ops":[]}"#.to_owned(),
        format!(r#"{{"type":2,"opId":"o","id":"{long}","parentId":"root","parentKey":"k"}}"#),
    ] {
        let mut stored = abc();
        let before = stored.json();
        let applied = stored.apply(&[&op]);
        assert_eq!(written(&applied.author), ack("o"), "{op}");
        assert!(applied.others.is_empty() && applied.rows.is_empty() && !applied.heals, "{op}");
        assert_eq!(stored.json(), before);
    }
}

#[test]
fn a_place_that_is_taken_is_given_anew() {
    for (items, op, at) in [
        (vec![("a", "!"), ("b", "\"")], item("x", "!", ""), "!O"),
        (vec![("a", "!"), ("b", "\"!")], item("x", "!", r#","intent":"push""#), "\"\""),
        (vec![("a", "!"), ("b", "\"")], item("x", "5 ", ""), "5"),
    ] {
        let mut stored = list(&items);
        let applied = stored.apply(&[&op]);
        let [Op { what: What::Create { key, .. }, .. }] = &applied.author[..] else { panic!("{applied:?}") };
        assert_eq!(&**key, at);
        let [Op { op_id: None, what: What::Create { key, .. } }] = &applied.others[..] else { panic!("{applied:?}") };
        assert_eq!(&**key, at);
        stored.check();
    }
    let mut stored = list(&[("a", "!"), ("b", "\""), ("x", "\"O"), ("c", "#")]);
    let moved = stored.apply(&[r#"{"type":1,"opId":"m","id":"c","parentKey":"\""}"#]);
    assert_eq!(written(&moved.author), [r#"{"type":1,"opId":"m","id":"c","parentKey":"\"7"}"#]);
    assert_eq!(stored.json(), r#"{"l":["a","b","c","x"]}"#);
    stored.check();
}

#[test]
fn pushes_of_two_stay_unmixed() {
    let mut stored = abc();
    for (id, key) in [("A1", "$"), ("A2", "%"), ("A3", "&"), ("B1", "$"), ("B2", "%"), ("B3", "&")] {
        stored.apply(&[&item(id, key, r#","intent":"push""#)]);
    }
    assert_eq!(stored.json(), r#"{"l":["a","b","c","A1","A2","A3","B1","B2","B3"]}"#);
    stored.check();
}

#[test]
fn set_takes_the_place_of_whoever_is_there() {
    let set = |id, deleted| item(id, "\"", &format!(r#","intent":"set","deletedId":"{deleted}""#));
    let mut stored = abc();
    let first = stored.apply(&[&set("A", "b")]);
    assert_eq!(first.author.len(), 1);
    let second = stored.apply(&[&set("B", "b")]);
    assert_eq!(written(&second.author)[0], r#"{"type":5,"id":"A"}"#);
    assert_eq!((second.author.len(), second.others.len()), (2, 1));
    assert_eq!(stored.json(), r#"{"l":["a","B","c"]}"#);
    stored.check();
    // The one meant goes wherever it has moved in this list.
    let mut stored = abc();
    stored.apply(&[r#"{"type":1,"opId":"m","id":"b","parentKey":"5"}"#]);
    let applied = stored.apply(&[&set("B", "b")]);
    assert_eq!((applied.author.len(), stored.json().as_str()), (1, r#"{"l":["a","B","c"]}"#));
    // And not where it is in no list.
    let applied = stored.apply(&[&item("C", "!", r#","intent":"set","deletedId":"l""#)]);
    assert_eq!(written(&applied.author)[0], r#"{"type":5,"id":"a"}"#);
    assert_eq!(stored.json(), r#"{"l":["C","B","c"]}"#);
    stored.check();
}

#[test]
fn what_is_null_is_a_value_everywhere() {
    let op = r#"{"type":8,"opId":"o","id":"n","parentId":"l","parentKey":"!","data":null}"#;
    let mut stored = Stored::with(&[LIST]);
    assert_eq!(written(&stored.apply(&[op]).author), [op]);
    assert_eq!(stored.json(), r#"{"l":[null]}"#);
    stored.check();
}

#[test]
fn texts_meet() {
    let hello = r#"[["Hello world"]]"#;
    for (a, b, is) in [
        (
            r#"[{"type":"insert","index":5,"text":"A"}]"#,
            r#"[{"type":"insert","index":5,"text":"B"}]"#,
            r#"[["HelloAB world"]]"#,
        ),
        (r#"[{"type":"delete","index":0,"length":11}]"#, r#"[{"type":"insert","index":4,"text":"B"}]"#, r#"[["B"]]"#),
        (
            r#"[{"type":"format","index":0,"length":5,"attributes":{"b":1,"c":1}}]"#,
            r#"[{"type":"format","index":3,"length":5,"attributes":{"b":2,"d":2}}]"#,
            r#"[["Hel",{"b":1,"c":1}],["lo",{"b":2,"c":1,"d":2}],[" wo",{"b":2,"d":2}],["rld"]]"#,
        ),
    ] {
        let mut stored = text(hello);
        stored.apply(&[&change("a", 0, a)]);
        let second = stored.apply(&[&change("b", 0, b)]);
        let [Op { what: What::UpdateText { base: 1, version: Some(2), .. }, .. }] = &second.author[..] else {
            panic!("{second:?}")
        };
        assert_eq!(stored.json(), format!(r#"{{"t":{is}}}"#));
        stored.check();
        // Known again, after a restart too, and nobody else hears of it.
        let loaded = stored.loaded();
        for mut tree in [std::mem::replace(&mut stored.tree, Tree::new(LIMITS)), loaded] {
            let again = tree.apply(vec![Op::read(&change("a", 0, a)).unwrap()]);
            assert_eq!(
                written(&again.author),
                [r#"{"type":10,"opId":"a","id":"t","baseVersion":2,"ops":[],"version":2}"#]
            );
            assert!(again.others.is_empty() && again.rows.is_empty());
        }
    }
}

#[test]
fn a_text_rejects_what_it_cannot_know() {
    let insert = r#"[{"type":"insert","index":0,"text":"x"}]"#;
    let mut stored = text("[]");
    let ahead = stored.apply(&[&change("o", 1, insert)]);
    assert_eq!(ahead.rejected[0].0, [std::sync::Arc::<str>::from("o")]);
    for version in 0..=1001 {
        stored.apply(&[&change(&format!("o{version}"), version, insert)]);
    }
    assert_eq!(stored.apply(&[&change("old", 1, insert)]).rejected.len(), 1);
    assert_eq!(stored.apply(&[&change("kept", 2, insert)]).rejected.len(), 0);
    stored.check();
}

#[test]
fn half_a_surrogate_pair_outlives_a_restart() {
    let mut stored = text(r#"[["a😀b"]]"#);
    stored.apply(&[&change("o", 0, r#"[{"type":"delete","index":1,"length":1}]"#)]);
    assert_eq!(stored.json(), r#"{"t":[["a\ude00b"]]}"#);
    stored.check();
}

#[test]
fn the_largest_numbers_break_nothing() {
    let most = u64::MAX;
    let mut stored = Stored::new();
    let create = format!(
        r#"{{"type":9,"opId":"t","id":"t","parentId":"root","parentKey":"t","data":[["ab"]],"version":{most}}}"#
    );
    let Ok(op) = Op::read(&create) else { return text_with_large_places() };
    stored.tree.apply(vec![op]);
    text_with_large_places();
}

fn text_with_large_places() {
    let most = u64::MAX;
    let kinds = [
        format!(r#"[{{"type":"insert","index":{most},"text":"x"}}]"#),
        format!(r#"[{{"type":"delete","index":1,"length":{most}}}]"#),
        format!(r#"[{{"type":"format","index":1,"length":{most},"attributes":{{"b":1}}}}]"#),
        format!(r#"[{{"type":"delete","index":{most},"length":{most}}}]"#),
    ];
    for a in &kinds {
        for b in &kinds {
            let mut stored = text(r#"[["abc"]]"#);
            for (op_id, ops) in [("a", a), ("b", b)] {
                if let Ok(op) = Op::read(&change(op_id, 0, ops)) {
                    let mut text = String::new();
                    op.write(true, &mut text);
                    stored.apply(&[&text]);
                }
            }
            stored.check();
        }
    }
}

#[test]
fn what_is_over_a_limit_is_refused_and_heals() {
    let mut stored = text("[]");
    let much = "x".repeat(LIMITS.value + 1);
    for op in [
        format!(r#"{{"type":3,"opId":"o","id":"root","data":{{"x":"{much}"}}}}"#),
        format!(r#"{{"type":4,"opId":"o","id":"n","parentId":"root","parentKey":"k","data":{{"x":"{much}"}}}}"#),
        r#"{"type":11,"opId":"o","id":"n","parentId":"root","parentKey":"k","data":{}}"#.to_owned(),
        format!(r#"{{"type":7,"opId":"o","id":"n","parentId":"root","parentKey":"{}"}}"#, "k".repeat(5_000)),
    ] {
        let applied = stored.apply(&[&op]);
        assert_eq!(written(&applied.author), [op]);
        assert!(applied.heals && applied.others.is_empty() && applied.rows.is_empty());
    }
    // Deep: each level by itself, until no more.
    let mut refused = 0;
    for depth in 0..5_000 {
        let parent = if depth == 0 { "root".to_owned() } else { format!("m{}", depth - 1) };
        let op = format!(r#"{{"type":7,"opId":"o","id":"m{depth}","parentId":"{parent}","parentKey":"k"}}"#);
        refused += usize::from(stored.apply(&[&op]).heals);
    }
    assert_eq!(refused, 1);
    assert!(stored.tree.size().0 <= LIMITS.depth + 1);
    stored.check();
}

#[test]
fn texts_together_are_no_more_than_a_tree_may_have() {
    let limits = TreeLimits { bytes: 100_000, ..LIMITS };
    let mut tree = Tree::new(limits);
    let much = "x".repeat(20_000);
    for number in 0..50 {
        let create =
            format!(r#"{{"type":9,"opId":"c","id":"t{number}","parentId":"root","parentKey":"{number}","data":[]}}"#);
        let grow = format!(
            r#"{{"type":10,"opId":"u","id":"t{number}","baseVersion":0,"ops":[{{"type":"insert","index":0,"text":"{much}"}}]}}"#
        );
        tree.apply([create, grow].iter().map(|op| Op::read(op).unwrap()).collect());
    }
    assert!(tree.size().1 <= limits.bytes, "{:?}", tree.size());
}

#[test]
fn what_a_text_remembers_is_bounded_in_bytes() {
    let mut stored = text("[]");
    let much = "x".repeat(LIMITS.value / 2 - 10);
    let insert = format!(r#"[{{"type":"insert","index":0,"text":"{much}"}}]"#);
    let delete = format!(r#"[{{"type":"delete","index":0,"length":{}}}]"#, much.len());
    for round in 0..40 {
        stored.apply(&[&change(&format!("i{round}"), round * 2, &insert)]);
        stored.apply(&[&change(&format!("d{round}"), round * 2 + 1, &delete)]);
    }
    let rows: usize = stored.rows.values().map(Vec::len).sum();
    assert!(rows < LIMITS.value * 4, "{rows}");
    stored.check();
}

#[test]
fn after_random_operations_the_rows_are_the_tree() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut stored = Stored::new();
        for step in 0..60 {
            let op = random_op(&mut random, step);
            stored.apply(&[&op]);
            if step % 6 == 0 {
                stored.check();
            }
        }
        stored.check();
        let rows = stored.tree.clear();
        for (key, value) in rows {
            match value {
                Some(value) => stored.rows.insert(key, value),
                None => stored.rows.remove(&key),
            };
        }
        assert!(stored.tree.is_empty());
        stored.check();
    }
}

fn random_op(random: &mut fastrand::Rng, step: u64) -> String {
    let node = |random: &mut fastrand::Rng| match random.u8(..14) {
        0..3 => "root".to_owned(),
        number => format!("n{number}"),
    };
    let (id, parent) = (node(random), node(random));
    let key = ["!", "\"", "#", "k", "!O", "", "é"][random.usize(..7)];
    let intent = match random.u8(..4) {
        0 => r#","intent":"push""#.to_owned(),
        1 => format!(r#","intent":"set","deletedId":"{}""#, node(random)),
        _ => String::new(),
    };
    let head = format!(r#""opId":"o{}","id":"{id}""#, random.u64(step / 2..=step));
    let place = format!(r#""parentId":"{parent}","parentKey":{}"#, serde_json::Value::from(key));
    match random.u8(..12) {
        0 => format!(r#"{{"type":1,{head},"parentKey":{}}}"#, serde_json::Value::from(key)),
        1 | 2 => format!(r#"{{"type":2,{head},{place}{intent}}}"#),
        3 => format!(r#"{{"type":3,{head},"data":{{{}:{step}}}}}"#, serde_json::Value::from(key)),
        4 => format!(r#"{{"type":4,{head},{place}{intent},"data":{{"k":1}}}}"#),
        5 => format!(r#"{{"type":5,{head}}}"#),
        6 => format!(r#"{{"type":6,{head},"key":{}}}"#, serde_json::Value::from(key)),
        7 => format!(r#"{{"type":7,{head},{place}{intent}}}"#),
        8 => format!(r#"{{"type":8,{head},{place}{intent},"data":null}}"#),
        9 => format!(r#"{{"type":9,{head},{place}{intent},"data":[["a😀b",{{"b":1}}],["c"]],"version":0}}"#),
        _ => {
            let (index, length) = (random.u8(..6), random.u8(..4));
            let change = match random.u8(..3) {
                0 => format!(r#"{{"type":"insert","index":{index},"text":"é😀"}}"#),
                1 => format!(r#"{{"type":"delete","index":{index},"length":{length}}}"#),
                _ => {
                    format!(r#"{{"type":"format","index":{index},"length":{length},"attributes":{{"b":null,"i":1}}}}"#)
                }
            };
            format!(r#"{{"type":10,{head},"baseVersion":{},"ops":[{change}]}}"#, random.u8(..3))
        }
    }
}
