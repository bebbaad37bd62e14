//! A snapshot as Yjs encodes it. Where `yrs` goes by the order of its maps, Yjs goes by descending clients, and clients
//! compare hashes.

use aws_lc_rs::digest::{SHA256, digest};
use yrs::Snapshot;

use super::Coding;

/// SHA-256 over a snapshot.
pub fn hash(snapshot: &Snapshot, coding: Coding) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &encode(snapshot, coding)).as_ref());
    hash
}

/// Deletions of each client, then the clock of each.
fn encode(snapshot: &Snapshot, coding: Coding) -> Vec<u8> {
    let mut out = Vec::new();
    let mut deleted: Vec<_> = snapshot.delete_set.iter().filter(|(_, ranges)| !ranges.is_empty()).collect();
    deleted.sort_by_key(|(client, _)| std::cmp::Reverse(client.get()));
    put(&mut out, deleted.len() as u64);
    for (client, ranges) in deleted {
        put(&mut out, client.get());
        put(&mut out, ranges.len() as u64);
        let mut end_before = 0;
        for range in ranges.iter() {
            let (start, length) = (u64::from(range.start), u64::from(range.end - range.start));
            match coding {
                Coding::V1 => {
                    put(&mut out, start);
                    put(&mut out, length);
                }
                Coding::V2 => {
                    put(&mut out, start - end_before);
                    put(&mut out, length - 1);
                    end_before = start + length;
                }
            }
        }
    }
    let mut clocks: Vec<_> = snapshot.state_map.iter().filter(|(_, clock)| **clock > 0).collect();
    clocks.sort_by_key(|(client, _)| std::cmp::Reverse(client.get()));
    put(&mut out, clocks.len() as u64);
    for (client, clock) in clocks {
        put(&mut out, client.get());
        put(&mut out, u64::from(*clock));
    }
    out
}

/// A number, seven bits a byte.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
