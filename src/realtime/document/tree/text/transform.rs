//! A later operation carried over earlier ones: what it was meant to do, where it is to be done now.
//!
//! Clients do the same over what they have in flight, and mirrored: both must come to the same text.

use super::TextOp;

/// Who of two gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The one carried over comes before the other.
    Before,
    /// It comes behind it.
    After,
}

/// The most operations that one list becomes: cut to pieces by each other they must not grow without bound.
const MAX_PIECES: usize = 10_000;

/// `later` carried over `accepted`. `None` where it falls into too many pieces.
pub fn transform(later: Vec<TextOp>, accepted: &[TextOp]) -> Option<Vec<TextOp>> {
    Some(both(later, accepted)?.0)
}

/// The same, and `accepted` over `later`, as their author carries it.
pub(super) fn both(later: Vec<TextOp>, accepted: &[TextOp]) -> Option<(Vec<TextOp>, Vec<TextOp>)> {
    let mut over = accepted.to_vec();
    let mut carried = Vec::with_capacity(later.len());
    for op in later {
        // Each goes over all that were accepted, and those over it, for the ones behind it.
        let (pieces, after) = over_all(op, over);
        carried.extend(pieces);
        over = after;
        if carried.len() > MAX_PIECES || over.len() > MAX_PIECES {
            return None;
        }
    }
    Some((carried, over))
}

/// One operation over several in a row, and these over it.
fn over_all(op: TextOp, several: Vec<TextOp>) -> (Vec<TextOp>, Vec<TextOp>) {
    let mut pieces = vec![op];
    let mut after = Vec::with_capacity(several.len());
    for base in several {
        let (moved, bent) = pieces_over_one(pieces, base);
        pieces = moved;
        after.extend(bent);
    }
    (pieces, after)
}

/// The pieces of one operation over another, and that over them.
fn pieces_over_one(mut pieces: Vec<TextOp>, base: TextOp) -> (Vec<TextOp>, Vec<TextOp>) {
    if let [piece] = &pieces[..] {
        return (single(piece, &base, Order::After), single(&base, piece, Order::Before));
    }
    let mut bases = vec![base];
    let mut moved = Vec::with_capacity(pieces.len());
    for piece in pieces.drain(..) {
        let (crossed, bent) = over_all(piece, bases);
        moved.extend(crossed);
        bases = bent;
    }
    (moved, bases)
}

fn single(op: &TextOp, over: &TextOp, order: Order) -> Vec<TextOp> {
    match op {
        TextOp::Insert { index, text, attributes } => {
            let index = match over {
                TextOp::Insert { index: at, text: other, .. } => {
                    let shifts = at < index || at == index && order == Order::After;
                    if shifts { index + other.len() } else { *index }
                }
                TextOp::Delete { index: at, length } => over_delete(*index, *at, *length),
                TextOp::Format { .. } => *index,
            };
            vec![TextOp::Insert { index, text: text.clone(), attributes: attributes.clone() }]
        }
        TextOp::Delete { index, length } => {
            ranges(*index, *length, over).into_iter().map(|(index, length)| TextOp::Delete { index, length }).collect()
        }
        TextOp::Format { index, length, attributes } => {
            if let (TextOp::Format { index: at, length: long, attributes: others }, Order::Before) = (over, order) {
                return earlier_format((*index, *length), attributes, (*at, *long), others);
            }
            let format = |(index, length)| TextOp::Format { index, length, attributes: attributes.clone() };
            ranges(*index, *length, over).into_iter().map(format).collect()
        }
    }
}

/// A range over an operation: shifted, shrunk, or in two around what was inserted.
fn ranges(index: usize, length: usize, over: &TextOp) -> Vec<(usize, usize)> {
    let end = index + length;
    match over {
        TextOp::Insert { index: at, text, .. } => {
            let (at, inserted) = (*at, text.len());
            if at <= index {
                vec![(index + inserted, length)]
            } else if at >= end {
                vec![(index, length)]
            } else {
                vec![(index, at - index), (at + inserted, end - at)]
            }
        }
        TextOp::Delete { index: at, length: deleted } => {
            let (from, to) = (over_delete(index, *at, *deleted), over_delete(end, *at, *deleted));
            if to > from { vec![(from, to - from)] } else { Vec::new() }
        }
        TextOp::Format { .. } => vec![(index, length)],
    }
}

fn over_delete(index: usize, at: usize, length: usize) -> usize {
    if at >= index { index } else { at.max(index.saturating_sub(length)) }
}

/// A format that comes before another loses, where they meet, what both set.
fn earlier_format(
    (index, length): (usize, usize),
    attributes: &super::Attributes,
    (at, long): (usize, usize),
    others: &super::Attributes,
) -> Vec<TextOp> {
    let end = index + length;
    let (from, to) = (index.max(at), end.min(at + long));
    let whole = || vec![TextOp::Format { index, length, attributes: attributes.clone() }];
    if from >= to || !attributes.keys().any(|name| others.contains_key(name)) {
        return whole();
    }
    let reduced: super::Attributes = attributes
        .iter()
        .filter(|(name, _)| !others.contains_key(*name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let piece = |from: usize, to: usize, attributes: &super::Attributes| {
        (from < to && !attributes.is_empty()).then(|| TextOp::Format {
            index: from,
            length: to - from,
            attributes: attributes.clone(),
        })
    };
    [piece(index, from, attributes), piece(from, to, &reduced), piece(to, end, attributes)]
        .into_iter()
        .flatten()
        .collect()
}
