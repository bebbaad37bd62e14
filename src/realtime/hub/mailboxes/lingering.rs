//! What may wait a little, so that a reader gets it with what comes soon after, in one write.

use std::collections::VecDeque;

use super::{MAX_SPARE, Mailbox, MailboxShard, Mailboxes, SessionTurn};
use crate::realtime::hub::outbox::{OutboxEntry, OutboxLimits, Pushed, Slow};

/// Entries of a mailbox that may linger: one more, and all are written.
const MAX_LINGERING: usize = 64;

impl MailboxShard {
    /// Something lingers here: [`MailboxShard::hurry`] is to be called after a pause.
    pub fn lingers(&self) -> bool {
        !self.lock().lingering.is_empty()
    }

    /// What lingers is due.
    pub fn hurry(&self) {
        let mut inner = self.lock();
        while let Some(slot) = inner.lingering.pop_front() {
            inner.hurry(slot);
        }
        if inner.lingering.capacity() > MAX_SPARE {
            inner.lingering = VecDeque::new();
        }
    }
}

impl Mailboxes {
    /// Like [`Mailboxes::push`], but a sleeping session is left asleep: the entry is written with whatever comes next, or
    /// when the flusher has had its pause. The order of a mailbox stays what it is.
    pub fn push_lingering(&mut self, slot: u32, entry: OutboxEntry, slow: Slow, limits: &OutboxLimits) -> Pushed {
        let may_linger = |mailbox: &&mut Mailbox| {
            mailbox.turn == SessionTurn::Asleep && !mailbox.is_ended && mailbox.outbox.len() < MAX_LINGERING
        };
        let may_linger = self.flusher.is_some().then(|| self.slots.get_mut(slot as usize).filter(may_linger)).flatten();
        let Some(mailbox) = may_linger.filter(|_| !entry.ends()) else {
            return self.push(slot, entry, slow, limits);
        };
        let pushed = mailbox.outbox.push(entry, slow, limits);
        if !std::mem::replace(&mut mailbox.lingers, true) {
            self.lingering.push_back(slot);
            if self.lingering.len() == 1
                && let Some(flusher) = &self.flusher
            {
                flusher.wake_by_ref();
            }
        }
        pushed
    }

    fn hurry(&mut self, slot: u32) {
        let Some(mailbox) = self.slots.get_mut(slot as usize) else { return };
        mailbox.lingers = false;
        if mailbox.turn != SessionTurn::Asleep || mailbox.outbox.is_empty() {
            return;
        }
        if mailbox.writer.is_some() {
            mailbox.turn = SessionTurn::Woken;
            self.make_due(slot);
        } else {
            mailbox.wake();
        }
    }
}
