//! A sleeping session's link, lent to whoever fans out: a message that is the same for everybody is written without
//! waking the session.
#![expect(clippy::disallowed_methods, reason = "flushers end with the runtime, after all sessions")]

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;

use super::link_state::LinkState;
use super::{Metrics, Session};
use crate::realtime::hub::{DirectWriter, FlushBatch, Hub, Queued, Written};
use crate::realtime::link::Link;

/// The link that session and flusher share. The lock is held for one write at most.
#[derive(Default)]
pub struct SharedLink(Mutex<Option<LentLink>>);

struct LentLink {
    link: Box<dyn Link>,
    /// Bytes are left that only the session can write.
    is_stuck: bool,
}

impl DirectWriter for SharedLink {
    fn write_queued(&self, queued: Queued<'_>) -> Option<Written> {
        let mut lent = self.0.try_lock()?;
        let LentLink { link, is_stuck } = lent.as_mut().filter(|lent| !lent.is_stuck)?;
        let encoded = queued.take()?;
        let before = link.traffic();
        encoded.for_each(|encoded| link.push_encoded(encoded));
        // Where it cannot be written at once the session goes on, and sees to being woken.
        let flushed = link.poll_flush(&mut Context::from_waker(Waker::noop()));
        *is_stuck = !matches!(flushed, Poll::Ready(Ok(())));
        let after = link.traffic();
        Some(Written {
            messages: after.messages_out.wrapping_sub(before.messages_out),
            bytes: after.bytes_out.wrapping_sub(before.bytes_out),
            is_stuck: *is_stuck,
        })
    }
}

impl Session {
    /// Lends the link where nothing is under way. Only of a client that hears something: others need no such memory.
    pub(super) fn lend(&mut self) {
        let is_quiet =
            self.unwritten == 0 && self.close_timer.is_none() && self.resume.is_none() && self.pending.is_none();
        if !is_quiet || !self.client.has_all() || !matches!(&self.link_state, LinkState::Open(link) if link.is_quiet())
        {
            return;
        }
        if self.shared_link.is_none() && self.has_heard {
            self.shared_link = self.client.write_directly_by(Arc::<SharedLink>::default);
        }
        if let Some(loan) = &self.shared_link
            && let LinkState::Open(link) = std::mem::replace(&mut self.link_state, LinkState::Lent)
        {
            *loan.0.lock() = Some(LentLink { link, is_stuck: false });
        }
    }

    pub(super) fn take_back(&mut self) {
        if !matches!(self.link_state, LinkState::Lent) {
            return;
        }
        let lent = self.shared_link.as_ref().and_then(|loan| loan.0.lock().take());
        let Some(LentLink { link, is_stuck }) = lent else { return };
        self.unwritten = usize::from(is_stuck);
        if let Some(record) = &mut self.record {
            record.counted(link.traffic());
        }
        self.link_state = LinkState::Open(link);
    }
}

/// How long what passes lingers at most: about a frame of a screen.
const PAUSE: Duration = Duration::from_millis(20);

/// Starts a flusher for each shard of the hub. They hold no guard: they end with the runtime, after all sessions.
pub fn start_flushers(hub: &Arc<Hub>, metrics: &Arc<Metrics>) {
    for shard in 0..hub.shards() {
        let (hub, metrics) = (Arc::clone(hub), Arc::clone(metrics));
        let mut round = FlushBatch::default();
        let mut pause = None;
        // What one round writes is bounded by the hub, so that a runtime's own bound would only be taken for a slow client.
        tokio::spawn(tokio::task::unconstrained(std::future::poll_fn(move |context| -> Poll<()> {
            if let Poll::Ready(written) = hub.poll_flush(shard, &mut round, context) {
                metrics.written(written);
                context.waker().wake_by_ref();
            } else if hub.lingers(shard) {
                let paused = pause.get_or_insert_with(|| Box::pin(sleep(PAUSE)));
                if paused.as_mut().poll(context).is_ready() {
                    pause = None;
                    hub.hurry(shard);
                    context.waker().wake_by_ref();
                }
            }
            Poll::Pending
        })));
    }
    hub.has_flushers();
}
