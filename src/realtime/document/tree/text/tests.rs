//! Two who change a text at once come to the same.

use super::transform::both;
use super::*;

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

fn random_op(random: &mut fastrand::Rng, length: usize, deletes: bool) -> TextOp {
    let index = random.usize(..=length);
    let long = random.usize(..=length - index);
    let name = |random: &mut fastrand::Rng| ["b", "c"][random.usize(..2)].into();
    let value = |random: &mut fastrand::Rng| ["1", "2", "null"][random.usize(..3)].into();
    match random.u8(..if deletes { 3 } else { 2 }) {
        0 => {
            let text = units(["x", "é😀", "abc"][random.usize(..3)]);
            TextOp::Insert { index, text, attributes: Attributes::new() }
        }
        2 => TextOp::Delete { index, length: long },
        _ => {
            let attributes = (0..random.usize(1..3)).map(|_| (name(random), value(random))).collect();
            TextOp::Format { index, length: long, attributes }
        }
    }
}

/// Operations of one author, each meant for the text as the one before left it.
fn random_ops(random: &mut fastrand::Rng, segments: &[Segment], most: usize) -> Vec<TextOp> {
    let mut segments = segments.to_vec();
    let mut ops = Vec::new();
    for _ in 0..random.usize(1..=most) {
        let length = segments.iter().map(|segment| segment.text.len()).sum();
        let op = random_op(random, length, most == 1);
        segments = apply(&segments, vec![op.clone()]).0;
        ops.push(op);
    }
    ops
}

fn converge(runs: u64, most: usize) {
    for seed in 0..runs {
        let mut random = fastrand::Rng::with_seed(seed);
        let bold = Attributes::from([("b".into(), "1".into())]);
        let segments = vec![
            Segment { text: units("ab😀c"), attributes: bold },
            Segment { text: units("defgh"), attributes: Attributes::new() },
        ];
        let first = random_ops(&mut random, &segments, most);
        let second = random_ops(&mut random, &segments, most);
        let (carried, over) = both(second.clone(), &first).expect("few pieces");
        // Clients take the pieces of a deletion around what was inserted for places in the text before it, one after the
        // other: their own text is another then until they read it anew. We say what they foresee.
        let is_cut = |ops: &[TextOp]| ops.len() > 1 && matches!(ops[0], TextOp::Delete { .. });
        if is_cut(&carried) || is_cut(&over) {
            continue;
        }
        let here = apply(&apply(&segments, first.clone()).0, carried).0;
        let there = apply(&apply(&segments, second.clone()).0, over).0;
        assert_eq!(write_segments(&here), write_segments(&there), "seed {seed}: {first:?} then {second:?}");
    }
}

#[test]
fn two_changes_converge() {
    converge(5_000, 1);
}

#[test]
fn two_rows_of_changes_converge() {
    converge(5_000, 4);
}

#[test]
fn halves_of_pairs_are_read_as_they_are_written() {
    for json in [r#"[["a\ud83d"]]"#, r#"[["\ude00b\ud83dx"]]"#, r#"[["😀é"]]"#, "[]"] {
        assert_eq!(write_segments(&read_segments(json).unwrap()), json);
    }
}

#[test]
fn who_changes_what_is_gone_is_told_the_version() {
    let hello = Segment { text: units("Hello"), attributes: Attributes::new() };
    let mut text = TextNode::new(vec![hello], 0);
    let all = [TextOp::Delete { index: 0, length: 5 }];
    let limits = (1 << 10, 1 << 10);
    let first = text.update(Some(&"a".into()), 0, &all, limits);
    assert!(matches!(first, TextOutcome::Accepted { version: 1, .. }));
    // Its author has typed on behind it, and sends that once this is answered.
    assert_eq!(text.update(Some(&"b".into()), 0, &all, limits), TextOutcome::Nothing { version: 1 });
}
