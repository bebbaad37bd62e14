//! A document of Yjs on disk: a base, and the updates since, each a row.

use super::Row;

/// Updates behind the base, at most: with more all become one.
const MAX_TAIL: usize = 100;
/// A tail as long as this is left alone, however short the base is.
const SHORT_TAIL: usize = 64 * 1024;

const BASE: u8 = b'b';
const TAIL: u8 = b'u';

/// Rows that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DamagedYjs {
    #[error("there is no such row: {0:?}")]
    NoSuchRow(Vec<u8>),
    /// The store has it whole, and it is no update of Yjs.
    #[error("update {number} of {bytes} bytes: {what}")]
    Unreadable { number: usize, bytes: usize, what: String },
}

/// What is stored, in memory too: it is what a document is made of again.
#[derive(Debug, Default)]
pub struct Stored {
    base: Vec<u8>,
    tail: Vec<(u64, Vec<u8>)>,
    tail_bytes: usize,
    next: u64,
}

impl Stored {
    pub fn load(rows: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<Stored, DamagedYjs> {
        let mut stored = Stored::default();
        for (key, value) in rows {
            match (key.split_first(), key.split_last_chunk::<8>()) {
                (Some((&BASE, [])), _) => stored.base = value,
                (Some((&TAIL, _)), Some(([_], number))) => {
                    stored.tail_bytes += value.len();
                    stored.tail.push((u64::from_be_bytes(*number), value));
                }
                _ => return Err(DamagedYjs::NoSuchRow(key)),
            }
        }
        stored.tail.sort_by_key(|(number, _)| *number);
        stored.next = stored.tail.last().map_or(0, |(number, _)| number + 1);
        Ok(stored)
    }

    pub fn bytes(&self) -> usize {
        self.base.len() + self.tail_bytes
    }

    /// All of it, in order.
    pub fn updates(&self) -> impl Iterator<Item = &[u8]> {
        let base = (!self.base.is_empty()).then_some(self.base.as_slice());
        base.into_iter().chain(self.tail.iter().map(|(_, update)| update.as_slice()))
    }

    /// One more update. Gives back its row.
    pub fn append(&mut self, update: Vec<u8>) -> Row {
        let number = self.next;
        self.next += 1;
        self.tail_bytes += update.len();
        self.tail.push((number, update.clone()));
        (tail_key(number), Some(update))
    }

    /// Whether the tail has outgrown the base.
    pub fn is_long(&self) -> bool {
        self.tail.len() > MAX_TAIL || self.tail_bytes > self.base.len().max(SHORT_TAIL)
    }

    /// The `whole` document is the base from now on. Gives back the rows that change; the last update is in none of them.
    pub fn merge(&mut self, whole: Vec<u8>) -> Vec<Row> {
        let mut rows = vec![(vec![BASE], Some(whole.clone()))];
        rows.extend(self.tail.drain(..).map(|(number, _)| (tail_key(number), None)));
        self.base = whole;
        self.tail_bytes = 0;
        rows
    }
}

fn tail_key(number: u64) -> Vec<u8> {
    [&[TAIL][..], &number.to_be_bytes()].concat()
}
