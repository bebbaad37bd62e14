//! A document of Yjs, merged by `yrs`: updates in, in either coding, and what a client lacks out.
//!
//! It stands in the store as a base and the updates since; an untouched one costs its bytes alone.

mod bounded;
mod json;
mod rows;
mod snapshot;
mod stack;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use yrs::encoding::read::{Cursor, Error};
use yrs::updates::decoder::{Decode, Decoder, DecoderV1, DecoderV2};
use yrs::updates::encoder::Encode;
use yrs::{Doc, OffsetKind, Options, ReadTxn, StateVector, Transact, Update};

use bounded::Bounded;
pub use json::YKind;
pub use rows::DamagedYjs;
use rows::Stored;

/// How an update is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    V1,
    V2,
}

/// What bounds a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YLimits {
    /// All of it, as an update.
    pub bytes: usize,
    /// Updates and deletions that wait for others on which they depend, in bytes.
    pub pending: usize,
}

/// An update that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    #[error("not an update of Yjs: {0}")]
    Malformed(String),
    #[error("the document would be too large")]
    TooBig,
}

/// A row of the store: its key, and what stands there from now on.
pub type Row = (Vec<u8>, Option<Vec<u8>>);

/// What an update did.
#[derive(Debug, PartialEq, Eq)]
pub struct Merged {
    pub rows: Vec<Row>,
    /// False where all of it was there already.
    pub changed: bool,
}

/// One document.
pub struct YDocument {
    limits: YLimits,
    /// Made of what is stored when it is first needed.
    doc: Option<Doc>,
    stored: Stored,
    /// Its types, at most: how deep it may be.
    types: usize,
    /// Of its snapshot, in each coding, while it does not change.
    hashes: [Option<[u8; 32]>; 2],
}

impl YDocument {
    /// An empty one.
    pub fn new(limits: YLimits) -> YDocument {
        YDocument { limits, doc: None, stored: Stored::default(), types: 0, hashes: [None; 2] }
    }

    /// The one that these rows are.
    ///
    /// # Errors
    /// [`DamagedYjs`]: which row cannot be read.
    pub fn load(limits: YLimits, rows: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<YDocument, DamagedYjs> {
        let stored = Stored::load(rows)?;
        // Now, and not when it is first needed: a document that cannot be read would seem to be an empty one.
        for (number, update) in stored.updates().enumerate() {
            read(update, Coding::V1).map_err(|error| DamagedYjs::Unreadable {
                number,
                bytes: update.len(),
                what: error.to_string(),
            })?;
        }
        Ok(YDocument { stored, ..YDocument::new(limits) })
    }

    /// Takes an update. What depends on others that have not come yet is kept for when they do.
    ///
    /// # Errors
    /// [`UpdateError`]: nothing was done.
    pub fn apply(&mut self, update: &[u8], coding: Coding) -> Result<Merged, UpdateError> {
        let (read, types) = read(update, coding)?;
        let as_v1 = match coding {
            Coding::V1 => update.to_vec(),
            Coding::V2 => read.encode_v1(),
        };
        if self.stored.bytes() + as_v1.len() > self.limits.bytes {
            let whole = self.doc()?.transact().encode_state_as_update_v1(&StateVector::default());
            if whole.len() + as_v1.len() > self.limits.bytes {
                return Err(UpdateError::TooBig);
            }
        }
        let pending = self.limits.pending;
        self.doc()?;
        let types = self.types_with(types)?;
        let doc = self.doc()?;
        // It is read again where it is merged on a thread of its own, which it cannot be handed.
        drop(read);
        let merged = stack::with_room(types, || {
            catch_unwind(AssertUnwindSafe(|| {
                let (read, _) = self::read(update, coding)?;
                let mut txn = doc.transact_mut();
                let (vector, waits) = (txn.state_vector(), waiting(&txn));
                txn.apply_update(read).map_err(|error| UpdateError::Malformed(error.to_string()))?;
                let now = waiting(&txn);
                let is_new = !txn.delete_set().is_empty() || txn.state_vector() != vector || now != waits;
                let waiting = [now.0, now.1].into_iter().flatten().map(|waiting| waiting.len()).sum::<usize>();
                Ok::<_, UpdateError>((is_new, waiting))
            }))
        });
        let outcome = match merged {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(UpdateError::Malformed("it cannot be merged".to_owned())),
            Err(error) => Err(error),
        };
        let is_too_much = |(_, waits): &(bool, usize)| *waits > pending;
        let changed = match outcome {
            Ok(outcome) if !is_too_much(&outcome) => outcome.0,
            refused => {
                // It may have been merged in part: the document is what is stored.
                self.doc = None;
                return Err(refused.err().unwrap_or(UpdateError::TooBig));
            }
        };
        if !changed {
            return Ok(Merged { rows: Vec::new(), changed });
        }
        self.hashes = [None; 2];
        let mut rows = vec![self.stored.append(as_v1)];
        if self.stored.is_long() {
            let whole = self.doc()?.transact().encode_state_as_update_v1(&StateVector::default());
            rows = self.stored.merge(whole);
        }
        Ok(Merged { rows, changed })
    }

    /// What a client lacks whose state is `vector`.
    ///
    /// # Errors
    /// [`UpdateError::Malformed`]: it is no state vector.
    pub fn diff(&mut self, vector: &[u8], coding: Coding) -> Result<Vec<u8>, UpdateError> {
        let vector = match vector {
            // What clients send that have nothing.
            [] => StateVector::default(),
            vector if !bounded::is_counted(vector) => {
                return Err(UpdateError::Malformed("it has more editors than bytes".to_owned()));
            }
            vector => guarded(|| StateVector::decode_v1(vector))?,
        };
        let doc = self.doc()?;
        let txn = doc.transact();
        Ok(match coding {
            Coding::V1 => txn.encode_state_as_update_v1(&vector),
            Coding::V2 => txn.encode_state_as_update_v2(&vector),
        })
    }

    /// What it has.
    pub fn state_vector(&mut self) -> Vec<u8> {
        self.doc().map(|doc| doc.transact().state_vector().encode_v1()).unwrap_or_else(|_| vec![0])
    }

    /// SHA-256 over its snapshot in this coding, as Yjs itself encodes it.
    pub fn snapshot_hash(&mut self, coding: Coding) -> [u8; 32] {
        let place = usize::from(coding == Coding::V2);
        if let Some(hash) = self.hashes[place] {
            return hash;
        }
        let hash = self.doc().map(|doc| snapshot::hash(&doc.transact().snapshot(), coding)).unwrap_or_default();
        self.hashes[place] = Some(hash);
        hash
    }

    /// An update in the other coding.
    ///
    /// # Errors
    /// [`UpdateError::Malformed`].
    pub fn translate(update: &[u8], from: Coding, to: Coding) -> Result<Vec<u8>, UpdateError> {
        let (read, _) = read(update, from)?;
        Ok(match to {
            Coding::V1 => read.encode_v1(),
            Coding::V2 => read.encode_v2(),
        })
    }

    /// How many types there are at most, with so many more. Counted anew where they seem too many: what came twice, and what
    /// is gone, counts until then.
    fn types_with(&mut self, more: usize) -> Result<usize, UpdateError> {
        if self.types + more > stack::MAX_TYPES {
            let whole = self.doc()?.transact().encode_state_as_update_v1(&StateVector::default());
            self.types = read(&whole, Coding::V1)?.1;
        }
        let types = self.types + more;
        if types > stack::MAX_TYPES {
            return Err(UpdateError::TooBig);
        }
        self.types = types;
        Ok(types)
    }

    /// The document itself, made of what is stored where it is not in memory.
    fn doc(&mut self) -> Result<&Doc, UpdateError> {
        if self.doc.is_none() {
            let mut types = 0;
            for update in self.stored.updates() {
                types += read(update, Coding::V1)?.1;
            }
            let (doc, stored) = (empty(), &self.stored);
            stack::with_room(types, || {
                guarded(|| {
                    let mut txn = doc.transact_mut();
                    for update in stored.updates() {
                        let (update, _) = read(update, Coding::V1).map_err(|error| error.to_string())?;
                        txn.apply_update(update).map_err(|error| error.to_string())?;
                    }
                    Ok::<_, String>(())
                })
            })??;
            self.types = types;
            self.doc = Some(doc);
        }
        Ok(self.doc.get_or_insert_with(empty))
    }
}

fn empty() -> Doc {
    let options = Options {
        offset_kind: OffsetKind::Utf16,
        // What nobody did must not become a change of the document's own: clients compare what they have.
        cleanup_formatting: false,
        ..Options::default()
    };
    Doc::with_options(options)
}

/// What waits for what has not come: changes, and deletions. All of it, as one that waits for the same as another is new too.
fn waiting<T: ReadTxn>(txn: &T) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let store = txn.store();
    (store.pending_update().map(|pending| pending.update.encode_v1()), store.pending_ds().map(Encode::encode_v1))
}

/// An update, and how many types it has.
fn read(update: &[u8], coding: Coding) -> Result<(Update, usize), UpdateError> {
    fn decoded<D: Decoder>(inner: D, json_is_any: bool, bytes: usize) -> Result<(Update, usize), Error> {
        let mut decoder = Bounded::new(inner, json_is_any, bytes);
        Ok((Update::decode(&mut decoder)?, decoder.types))
    }
    guarded(|| match coding {
        Coding::V1 => decoded(DecoderV1::from(update), false, update.len()),
        Coding::V2 => decoded(DecoderV2::new(Cursor::new(update))?, true, update.len()),
    })
}

/// What a library does that was never tried with hostile bytes: an error, whatever becomes of it.
fn guarded<T, E: ToString>(act: impl FnOnce() -> Result<T, E>) -> Result<T, UpdateError> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(UpdateError::Malformed(error.to_string())),
        Err(_) => Err(UpdateError::Malformed("it cannot be read".to_owned())),
    }
}
