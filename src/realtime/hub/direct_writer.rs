//! The seam of direct writes: whoever fans out writes what waits for a sleeping session to its link itself, so that a
//! message costs a client a write, not a task's turn.

use std::collections::VecDeque;

use super::outbox::{Item, OutboxEntry};
use crate::realtime::vocabulary::EncodedFrames;

/// The way to a client past its session. It belongs to the mailbox for as long as the session lives.
pub trait DirectWriter: Send + Sync {
    /// Takes what is queued and writes it. `None` where the session has to: it is at work, or what is queued is for its
    /// machine.
    fn write_queued(&self, queued: Queued<'_>) -> Option<Written>;
}

/// The result of one direct write, or of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    pub messages: u64,
    /// Bytes, with headers.
    pub bytes: u64,
    /// Not all went out: the session writes the rest.
    pub is_stuck: bool,
}

/// The waiting entries of a mailbox, lent until they are taken.
pub struct Queued<'a> {
    /// Moves it out of the mailbox where it is nothing but encoded frames, and says whether it did.
    pub(super) take: &'a mut dyn FnMut(&mut VecDeque<OutboxEntry>) -> bool,
    pub(super) entries: &'a mut VecDeque<OutboxEntry>,
}

impl<'a> Queued<'a> {
    /// All of it, in order, where it is nothing but encoded frames. What comes from now on is for the next round.
    pub fn take(self) -> Option<impl Iterator<Item = EncodedFrames> + 'a> {
        let Queued { take, entries } = self;
        take(entries).then(|| {
            entries.drain(..).filter_map(|entry| match entry.item {
                Item::Encoded(encoded) => Some(encoded),
                _ => None,
            })
        })
    }
}
