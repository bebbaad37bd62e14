//! What waits is kept, and bad bytes are refused.

use yrs::types::ToJson;
use yrs::updates::decoder::Decode;
use yrs::{Any, Doc, GetString, Map, ReadTxn, StateVector, Text, Transact, Update};

use super::{Coding, UpdateError, YDocument, YLimits};

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

#[test]
fn a_value_too_deep_is_refused() {
    for depth in [100, 300, 100_000] {
        let mut update = vec![1, 1, 7, 0, 8, 1, 1, b'a', 1];
        update.extend([117, 1].repeat(depth));
        update.extend([126, 0]);
        assert_eq!(YDocument::new(LIMITS).apply(&update, Coding::V1).is_ok(), depth == 100);
    }
}

#[test]
fn text_of_json_too_deep_is_refused() {
    let json = [&b"["[..], &b"]"[..]].map(|half| half.repeat(100_000)).concat();
    let mut update = vec![1, 1, 7, 0, 5, 1, 1, b'a'];
    // Its length, as a number of seven bits a byte.
    update.extend([json.len() as u8 | 0x80, (json.len() >> 7) as u8 | 0x80, (json.len() >> 14) as u8]);
    update.extend(json);
    update.push(0);
    assert!(YDocument::new(LIMITS).apply(&update, Coding::V1).is_err());
}

#[test]
fn values_of_all_kinds_come_through_both_codings() {
    let doc = Doc::with_client_id(7);
    let map = doc.get_or_insert_map("map");
    let text = doc.get_or_insert_text("text");
    let mut txn = doc.transact_mut();
    let values = r#"{"a":[1,-2,1.5,1e300,true,false,null,"𝒳",{"b":{}}],"c":9007199254740991}"#;
    map.insert(&mut txn, "value", Any::from_json(values).unwrap());
    text.insert_embed(&mut txn, 0, Any::from_json(values).unwrap());
    let (first, second) = (txn.encode_update_v1(), txn.encode_update_v2());
    for (update, coding) in [(first, Coding::V1), (second, Coding::V2)] {
        let mut document = YDocument::new(LIMITS);
        document.apply(&update, coding).unwrap();
        let read = Doc::new();
        let map = read.get_or_insert_map("map");
        let whole = Update::decode_v1(&document.diff(&[], Coding::V1).unwrap()).unwrap();
        read.transact_mut().apply_update(whole).unwrap();
        assert_eq!(map.to_json(&read.transact()), doc_json(values));
    }
}

fn doc_json(values: &str) -> Any {
    let map = std::collections::HashMap::from([("value".to_owned(), Any::from_json(values).unwrap())]);
    Any::Map(std::sync::Arc::new(map))
}

/// An update with so many maps, each within the one before, and one that takes all of them away.
fn nested(levels: usize) -> [Vec<u8>; 2] {
    use yrs::{MapPrelim, WriteTxn};
    let (doc, other) = (Doc::new(), Doc::new());
    {
        let mut txn = doc.transact_mut();
        let mut at = txn.get_or_insert_map("m").insert(&mut txn, "k", MapPrelim::default());
        for _ in 1..levels {
            at = at.insert(&mut txn, "k", MapPrelim::default());
        }
        let mut txn = other.transact_mut();
        txn.get_or_insert_map("m").insert(&mut txn, "k", 1);
    }
    let whole = |doc: &Doc| doc.transact().encode_state_as_update_v1(&StateVector::default());
    let (deep, without) = (whole(&doc), whole(&other));
    [deep, without]
}

#[test]
fn types_within_each_other_end_no_process() {
    for order in [[0, 1], [1, 0]] {
        let updates = nested(20_000);
        let mut document = YDocument::new(LIMITS);
        for place in order {
            document.apply(&updates[place], Coding::V1).unwrap();
        }
        let mut again = YDocument::new(LIMITS);
        let whole = document.diff(&[0], Coding::V1).unwrap();
        again.apply(&whole, Coding::V1).unwrap();
        // Its editors are in no order.
        let vector = |document: &mut YDocument| StateVector::decode_v1(&document.state_vector()).unwrap();
        assert_eq!(vector(&mut again), vector(&mut document));
    }
}

#[test]
fn numbers_that_no_document_has_are_refused() {
    let most = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let with = |before: &[u8], behind: &[u8]| [before, &most[..], behind].concat();
    let mut document = YDocument::new(LIMITS);
    // Very many editors, for whom room would be made; changes and deletions behind the largest place there is.
    for update in [with(&[], &[1, 1, 0]), with(&[1, 1, 1], &[10, 5, 0]), with(&[0, 1, 1, 1], &most)] {
        let refused = document.apply(&update, Coding::V1);
        assert!(matches!(refused, Err(UpdateError::Malformed(_))), "{update:?}: {refused:?}");
    }
    assert!(matches!(document.apply(&with(&[0; 9], &[0]), Coding::V2), Err(UpdateError::Malformed(_))));
    assert!(matches!(document.diff(&most, Coding::V1), Err(UpdateError::Malformed(_))));
}

#[test]
fn a_row_that_is_no_update_is_damage() {
    let rows =
        |update: &[u8]| [(b"b".to_vec(), typed("a").remove(0)), ([&b"u"[..], &[0; 8]].concat(), update.to_vec())];
    assert!(YDocument::load(LIMITS, rows(&[0, 0])).is_ok());
    for garbage in [&[9, 9, 9][..], &[1], &[]] {
        let damaged = YDocument::load(LIMITS, rows(garbage)).err().expect("damage").to_string();
        assert!(damaged.starts_with(&format!("update 1 of {} bytes: ", garbage.len())), "{damaged}");
    }
}

#[test]
fn deletions_that_wait_are_bounded() {
    let varint = |mut number: u32| {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    };
    // No structs; of one editor, every other of its letters is deleted.
    let deletes = |letters: u32| {
        let ranges = (0..letters).flat_map(|n| [varint(2 * n), vec![1]].concat());
        [vec![0, 1, 7], varint(letters), ranges.collect()].concat()
    };
    let mut document = YDocument::new(LIMITS);
    assert_eq!(document.apply(&deletes(100), Coding::V1).map(|merged| merged.changed), Ok(true));
    assert_eq!(document.apply(&deletes(30_000), Coding::V1), Err(UpdateError::TooBig));
    assert_eq!(document.apply(&typed("a")[0], Coding::V1).map(|merged| merged.changed), Ok(true), "others go on");
}
