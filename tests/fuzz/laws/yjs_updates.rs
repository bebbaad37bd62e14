//! Any bytes at all for a document of Yjs: what is refused changes nothing, what is taken is on disk, and neither a reader nor a
//! document ends by it. The input is pieces: what it is (1: in the second coding; 0: an update, 2: a state vector, 4: an update to be
//! put in the other coding), its length in two bytes, and itself.

use std::collections::BTreeMap;

use doorway::realtime::document::ydoc::{Coding, YDocument, YLimits};

const LIMITS: YLimits = YLimits { bytes: 64 << 10, pending: 16 << 10 };

fn state(document: &mut YDocument) -> (Vec<u8>, [u8; 32]) {
    (document.state_vector(), document.snapshot_hash(Coding::V1))
}

pub fn holds(mut input: &[u8]) {
    let mut document = YDocument::new(LIMITS);
    let mut rows = BTreeMap::new();
    while let [what, low, high, rest @ ..] = input {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (piece, behind) = rest.split_at(length);
        input = behind;
        let (coding, other) = match what & 1 {
            0 => (Coding::V1, Coding::V2),
            _ => (Coding::V2, Coding::V1),
        };
        match what & 6 {
            0 => {
                let before = state(&mut document);
                match document.apply(piece, coding) {
                    Err(_) => assert_eq!(state(&mut document), before, "what is refused changes nothing"),
                    Ok(merged) => {
                        for (key, value) in merged.rows {
                            match value {
                                Some(value) => drop(rows.insert(key, value)),
                                None => drop(rows.remove(&key)),
                            }
                        }
                    }
                }
            }
            2 => {
                if let Ok(update) = document.diff(piece, coding) {
                    let same = YDocument::new(LIMITS).apply(&update, coding);
                    assert!(same.is_ok(), "what is given to a client can be read: {same:?}");
                }
            }
            _ => {
                if let Ok(update) = YDocument::translate(piece, coding, other) {
                    YDocument::translate(&update, other, coding).expect("and back");
                }
            }
        }
    }
    let mut loaded = YDocument::load(LIMITS, rows).expect("its own rows");
    assert_eq!(state(&mut loaded), state(&mut document));
}
