//! A change of a text carried out, clipped to what there is.

use super::{Attributes, Segment, TextOp};

/// How long a text is.
fn length(segments: &[Segment]) -> usize {
    segments.iter().map(|segment| segment.text.len()).sum()
}

/// The text after `ops`, and the operations as they were carried out: those that do nothing are left out.
pub fn apply(segments: &[Segment], ops: Vec<TextOp>) -> (Vec<Segment>, Vec<TextOp>) {
    let mut segments = segments.to_vec();
    let mut done = Vec::with_capacity(ops.len());
    for op in ops {
        let all = length(&segments);
        let clip = |index: usize, length: usize| {
            let index = index.min(all);
            (index, length.min(all - index))
        };
        match op {
            TextOp::Insert { text, .. } if text.is_empty() => {}
            TextOp::Insert { index, text, attributes } => {
                let index = index.min(all);
                let place = split(&mut segments, index);
                let attributes: Attributes = attributes.into_iter().filter(|(_, value)| &**value != "null").collect();
                segments.insert(place, Segment { text: text.clone(), attributes: attributes.clone() });
                done.push(TextOp::Insert { index, text, attributes });
            }
            TextOp::Delete { index, length } => {
                let (index, length) = clip(index, length);
                if length == 0 {
                    continue;
                }
                let (from, to) = range(&mut segments, index, length);
                segments.drain(from..to);
                done.push(TextOp::Delete { index, length });
            }
            TextOp::Format { index, length, attributes } => {
                let (index, length) = clip(index, length);
                if length == 0 || attributes.is_empty() {
                    continue;
                }
                let (from, to) = range(&mut segments, index, length);
                for segment in &mut segments[from..to] {
                    for (name, value) in &attributes {
                        if &**value == "null" {
                            segment.attributes.remove(name);
                        } else {
                            segment.attributes.insert(name.clone(), value.clone());
                        }
                    }
                }
                done.push(TextOp::Format { index, length, attributes });
            }
        }
    }
    (normalized(segments), done)
}

/// The same text with no empty piece, and neighbours that look alike as one.
pub fn normalized(segments: Vec<Segment>) -> Vec<Segment> {
    let mut whole: Vec<Segment> = Vec::with_capacity(segments.len());
    for segment in segments {
        match whole.last_mut() {
            _ if segment.text.is_empty() => {}
            Some(last) if last.attributes == segment.attributes => last.text.extend(segment.text),
            _ => whole.push(segment),
        }
    }
    whole
}

/// Has a piece begin at `index`; says which.
fn split(segments: &mut Vec<Segment>, index: usize) -> usize {
    let mut offset = 0;
    for place in 0..segments.len() {
        if offset == index {
            return place;
        }
        let segment = &mut segments[place];
        if index < offset + segment.text.len() {
            let text = segment.text.split_off(index - offset);
            let attributes = segment.attributes.clone();
            segments.insert(place + 1, Segment { text, attributes });
            return place + 1;
        }
        offset += segment.text.len();
    }
    segments.len()
}

fn range(segments: &mut Vec<Segment>, index: usize, length: usize) -> (usize, usize) {
    let from = split(segments, index);
    (from, split(segments, index + length))
}
