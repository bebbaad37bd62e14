//! A sleeping session's link, lent to whoever fans out: a message that is the same for everybody is written without
//! waking the session.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::line::Line;
use super::{Numbers, Session};
use crate::realtime::hub::{Carried, Carrier, Hub, Round, Waiting};
use crate::realtime::link::Link;

/// Where the link lies while it is lent. The lock is held for one write at most.
#[derive(Default)]
pub struct Loan(Mutex<Option<Lent>>);

struct Lent {
    link: Box<dyn Link>,
    /// Bytes are left that only the session can write.
    is_stuck: bool,
}

impl Carrier for Loan {
    fn carry(&self, waiting: Waiting<'_>) -> Option<Carried> {
        let mut lent = self.0.try_lock()?;
        let Lent { link, is_stuck } = lent.as_mut().filter(|lent| !lent.is_stuck)?;
        let parcels = waiting.take()?;
        let before = link.traffic();
        parcels.for_each(|parcel| link.push_parcel(parcel));
        // Where it cannot be written at once the session goes on, and sees to being woken.
        let flushed = link.poll_flush(&mut Context::from_waker(Waker::noop()));
        *is_stuck = !matches!(flushed, Poll::Ready(Ok(())));
        let after = link.traffic();
        Some(Carried {
            messages: after.messages_out.wrapping_sub(before.messages_out),
            bytes: after.bytes_out.wrapping_sub(before.bytes_out),
            is_stuck: *is_stuck,
        })
    }
}

impl Session {
    /// Lends the link where nothing is under way. Only of a client that hears something: others need no such memory.
    pub(super) fn lend(&mut self) {
        let is_quiet = self.unwritten == 0 && self.ending.is_none() && self.mooring.is_none() && self.desk.is_none();
        if !is_quiet || !self.client.has_all() || !matches!(&self.line, Line::Open(link) if link.is_quiet()) {
            return;
        }
        if self.loan.is_none() && self.has_heard {
            self.loan = self.client.carry_by(Arc::<Loan>::default);
        }
        if let Some(loan) = &self.loan
            && let Line::Open(link) = std::mem::replace(&mut self.line, Line::Lent)
        {
            *loan.0.lock() = Some(Lent { link, is_stuck: false });
        }
    }

    pub(super) fn take_back(&mut self) {
        if !matches!(self.line, Line::Lent) {
            return;
        }
        let lent = self.loan.as_ref().and_then(|loan| loan.0.lock().take());
        let Some(Lent { link, is_stuck }) = lent else { return };
        self.unwritten = usize::from(is_stuck);
        if let Some(record) = &mut self.record {
            record.counted(link.traffic());
        }
        self.line = Line::Open(link);
    }
}

/// Starts a courier for each lane of the hub. They hold no guard: they end with the runtime, after all sessions.
pub fn start_couriers(hub: &Arc<Hub>, numbers: &Arc<Numbers>) {
    for lane in 0..hub.lanes() {
        let (hub, numbers) = (Arc::clone(hub), Arc::clone(numbers));
        let mut round = Round::default();
        // What one round writes is bounded by the hub, so that a runtime's own bound would only be taken for a slow client.
        tokio::spawn(tokio::task::unconstrained(std::future::poll_fn(move |context| -> Poll<()> {
            if let Poll::Ready(carried) = hub.poll_carry(lane, &mut round, context) {
                numbers.carried(carried);
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })));
    }
    hub.has_couriers();
}
