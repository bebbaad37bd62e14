//! Flushing mailboxes by direct writes: one flusher task a shard of the mailboxes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::Hub;
use super::direct_writer::{DirectWriter, Queued, Written};
use super::outbox::OutboxEntry;
use crate::realtime::vocabulary::ConnectionId;

/// The clients that a flusher serves in one go. Memory that is used again and again.
#[derive(Default)]
pub struct FlushBatch {
    due: Vec<(ConnectionId, Arc<dyn DirectWriter>)>,
    entries: VecDeque<OutboxEntry>,
}

/// Clients served before other tasks have a turn.
const MAX_BATCH: usize = 64;

impl Hub {
    /// The number of shards, each flushed by one flusher.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// From now on every shard has a flusher, which calls [`Hub::poll_flush`] until the hub is gone.
    pub fn has_flushers(&self) {
        self.has_direct_writes.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_direct_writes(&self) -> bool {
        self.has_direct_writes.load(Ordering::Relaxed)
    }

    /// Something lingers in a shard, and has a pause before [`Hub::hurry`].
    pub fn lingers(&self, shard: usize) -> bool {
        self.shards[shard].lingers()
    }

    /// What lingers in a shard waits for its flusher, as all else.
    pub fn hurry(&self, shard: usize) {
        self.shards[shard].hurry();
    }

    /// Writes what waits in a shard, for some clients at a time. Pending when nothing waits; then its flusher is woken
    /// when something comes.
    pub fn poll_flush(&self, shard: usize, batch: &mut FlushBatch, context: &Context<'_>) -> Poll<Written> {
        let shard = &self.shards[shard];
        if !shard.due(&mut batch.due, MAX_BATCH, context) {
            return Poll::Pending;
        }
        let mut sum = Written::default();
        for (id, writer) in batch.due.drain(..) {
            batch.entries.clear();
            let mut take = |entries: &mut VecDeque<OutboxEntry>| shard.lock().take_encoded(id, entries);
            let written = writer.write_queued(Queued { take: &mut take, entries: &mut batch.entries });
            if written.is_none_or(|written| written.is_stuck) {
                shard.lock().wake_session(id);
            }
            let written = written.unwrap_or_default();
            sum.messages += written.messages;
            sum.bytes += written.bytes;
        }
        Poll::Ready(sum)
    }
}
