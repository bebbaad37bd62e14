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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use super::*;
    use crate::realtime::hub::mailboxes::{Delivery, MailboxAddress};
    use crate::realtime::hub::outbox::Item;
    use crate::realtime::vocabulary::Frame;
    use crate::settings::Size;

    const LIMITS: OutboxLimits = OutboxLimits { messages: 1_000, bytes: Size(1_000_000) };

    /// Counts how often it is rung.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A mailbox whose session sleeps, in a shard whose flusher waits.
    struct Scene {
        shard: MailboxShard,
        address: MailboxAddress,
        session: Arc<Bell>,
        flusher: Arc<Bell>,
    }

    impl Scene {
        fn new() -> Scene {
            let shard = MailboxShard::new(0, 1, Arc::default());
            let (_, address) = shard.open().unwrap();
            let scene = Scene { shard, address, session: Arc::default(), flusher: Arc::default() };
            let flusher: Waker = Arc::clone(&scene.flusher).into();
            assert!(!scene.shard.due(&mut Vec::new(), 9, &Context::from_waker(&flusher)));
            assert_eq!(scene.take(), None);
            scene
        }

        fn entry(text: &str) -> OutboxEntry {
            OutboxEntry { item: Item::Encoded(Frame::text(text.to_owned()).into()), channel: 1, bytes: 9, offset: 0 }
        }

        fn linger(&self, text: &str) {
            let pushed =
                self.shard.lock().push_lingering(self.address.slot, Scene::entry(text), Slow::Disconnect, &LIMITS);
            assert_eq!(pushed, Pushed::Queued);
        }

        fn push(&self, text: &str) {
            self.shard.lock().push(self.address.slot, Scene::entry(text), Slow::Disconnect, &LIMITS);
        }

        /// What the session takes; it sleeps then.
        fn take(&self) -> Option<Vec<String>> {
            let mut delivery = Delivery::default();
            let waker: Waker = Arc::clone(&self.session).into();
            let taken = self.shard.take(self.address, &mut delivery, 1 << 20, &mut Context::from_waker(&waker));
            let Poll::Ready(()) = taken else { return None };
            let texts = delivery.entries.iter().map(|entry| match &entry.item {
                Item::Encoded(frames) => match frames.frames() {
                    [Frame::Text(text)] => text.to_string(),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            });
            Some(texts.collect())
        }

        fn rung(&self) -> (usize, usize) {
            (self.session.0.load(Ordering::Relaxed), self.flusher.0.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn what_lingers_wakes_nobody_until_its_pause_is_over() {
        let scene = Scene::new();
        scene.linger("a");
        scene.linger("b");
        assert_eq!(scene.rung(), (0, 1), "the flusher alone, once, for its pause");
        assert!(scene.shard.lingers());
        scene.shard.hurry();
        assert_eq!(scene.rung().0, 1);
        assert!(!scene.shard.lingers());
        assert_eq!(scene.take().unwrap(), ["a", "b"]);
        scene.linger("c");
        assert_eq!(scene.rung(), (1, 2), "it sleeps again, and the next pause begins");
    }

    #[test]
    fn what_comes_behind_takes_it_along_in_order() {
        let scene = Scene::new();
        scene.linger("a");
        scene.push("b");
        assert_eq!(scene.rung().0, 1, "at once");
        scene.linger("c");
        assert_eq!(scene.take().unwrap(), ["a", "b", "c"]);
        // The pause is over for nothing.
        scene.shard.hurry();
        assert_eq!((scene.rung().0, scene.take()), (1, None));
    }

    #[test]
    fn a_session_that_is_busy_is_no_sleeper() {
        let scene = Scene::new();
        let waker: Waker = Arc::clone(&scene.session).into();
        scene.shard.busy(scene.address, &Context::from_waker(&waker));
        scene.linger("a");
        assert!(!scene.shard.lingers(), "it looks again by itself");
        assert_eq!(scene.take().unwrap(), ["a"]);
    }

    #[test]
    fn many_that_linger_are_written_before_their_pause_is_over() {
        let scene = Scene::new();
        (0..=MAX_LINGERING).for_each(|n| scene.linger(&n.to_string()));
        assert_eq!(scene.rung().0, 1);
        assert_eq!(scene.take().unwrap().len(), MAX_LINGERING + 1);
    }

    #[test]
    fn where_nobody_carries_nothing_lingers() {
        let shard = MailboxShard::new(0, 1, Arc::default());
        let (_, address) = shard.open().unwrap();
        let session = Arc::<Bell>::default();
        let waker: Waker = Arc::clone(&session).into();
        let mut delivery = Delivery::default();
        assert!(shard.take(address, &mut delivery, 9, &mut Context::from_waker(&waker)).is_pending());
        shard.lock().push_lingering(address.slot, Scene::entry("a"), Slow::Disconnect, &LIMITS);
        assert_eq!((session.0.load(Ordering::Relaxed), shard.lingers()), (1, false));
    }

    #[test]
    fn who_has_left_is_not_hurried() {
        let scene = Scene::new();
        scene.linger("a");
        scene.shard.close(scene.address);
        let (_, next) = scene.shard.open().unwrap();
        assert_eq!(next.slot, scene.address.slot, "another has its place");
        scene.shard.hurry();
        assert!(!scene.shard.lingers());
    }
}
