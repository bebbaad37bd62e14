//! What waits is kept, and bad bytes are refused.

use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, Text, Transact, Update};

use super::{Coding, YDocument, YLimits};

const LIMITS: YLimits = YLimits { bytes: 1 << 20, pending: 1 << 16 };

/// Updates that each add a letter, then one that deletes the first.
fn typed(letters: &str) -> Vec<Vec<u8>> {
    let doc = Doc::with_client_id(7);
    let text = doc.get_or_insert_text("text");
    let mut updates: Vec<_> = letters
        .chars()
        .map(|letter| {
            let mut txn = doc.transact_mut();
            text.push(&mut txn, &letter.to_string());
            txn.encode_update_v1()
        })
        .collect();
    let mut txn = doc.transact_mut();
    text.remove_range(&mut txn, 0, 1);
    updates.push(txn.encode_update_v1());
    updates
}

/// Applies these, each by a document that is read anew from the rows, and gives the text at the end.
fn applied_with_restarts(updates: &[&[u8]]) -> String {
    let mut rows = std::collections::BTreeMap::new();
    for update in updates {
        let mut document = YDocument::load(LIMITS, rows.clone()).unwrap();
        for (key, value) in document.apply(update, Coding::V1).unwrap().rows {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
    }
    let whole = YDocument::load(LIMITS, rows).unwrap().diff(&[], Coding::V1).unwrap();
    let doc = Doc::new();
    let text = doc.get_or_insert_text("text");
    doc.transact_mut().apply_update(Update::decode_v1(&whole).unwrap()).unwrap();
    text.get_string(&doc.transact())
}

#[test]
fn all_that_waits_for_the_same_survives_restarts() {
    let updates = typed("abcd");
    // The last letters and the deletion wait for the first.
    let order = [3, 2, 1, 4, 0].map(|place: usize| updates[place].as_slice());
    assert_eq!(applied_with_restarts(&order), "bcd");
    let order = [1, 2, 4, 3, 0].map(|place: usize| updates[place].as_slice());
    assert_eq!(applied_with_restarts(&order), "bcd");
}

#[test]
fn a_cut_update_is_refused_and_changes_nothing() {
    let update = &typed("a𝒳b")[1];
    for end in 0..update.len() {
        for coding in [Coding::V1, Coding::V2] {
            let mut document = YDocument::new(LIMITS);
            if document.apply(&update[..end], coding).is_err() {
                assert_eq!(document.state_vector(), [0]);
            }
        }
    }
    assert!(YDocument::new(LIMITS).apply(&update[..update.len() / 2], Coding::V1).is_err());
}
