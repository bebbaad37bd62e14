//! A session whose link is lost goes on without one, and over the next one that its client brings.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::ending::LastWords;
use super::link_state::LinkState;
use super::resume::{HandedOver, ResumeHandle};
use super::returning::Resumption;
use super::{FRAMES_PER_TURN, Session, SessionEnd};
use crate::realtime::dialect::{Resumable, Step};
use crate::realtime::entrance::authorizer::ConnectionInfo;
use crate::realtime::vocabulary::{EncodedFrames, Frame, Moment};

impl Session {
    /// Its client may come back to it by another link.
    pub fn resumable_by(mut self, resume: Option<ResumeHandle>) -> Session {
        self.resume = resume.map(Box::new);
        self
    }

    /// The link is lost. True where the session goes on without it. A link that `speaks` has last words.
    pub(super) fn stays(&mut self, end: &SessionEnd, speaks: bool, now: Moment) -> bool {
        if self.close_timer.is_some() || self.link_state.link().is_none() {
            return false;
        }
        let Some(resume) = &mut self.resume else { return false };
        let mut step = Step::default();
        if !self.dialect.resumable().is_some_and(|machine| machine.link_lost(end.label(), now, &mut step)) {
            return false;
        }
        resume.leave();
        drop(self.client.take_held());
        self.client.away(now);
        if let LinkState::Open(mut link) = std::mem::replace(&mut self.link_state, LinkState::Away) {
            if let Some(mut record) = self.record.take() {
                record.count(link.traffic());
                record.ended(end.clone());
            }
            if speaks {
                // Told to whoever still reads; nothing is waited for.
                link.push(Frame::Close(None));
                resume.closing = Some(LastWords::new(link, self.close_timeout));
            }
        }
        self.unwritten = 0;
        self.perform(step, now);
        true
    }

    /// Gives link and client to the session that this first frame asks for, where there is such a one and the client
    /// has as good a right to it; else gives the frame back. [`Session::poll_handed`] says whether it was taken.
    pub(super) fn hand_over(&mut self, frame: Frame) -> Option<Frame> {
        let key = self.dialect.resumable().and_then(|machine| machine.resume_key(&frame));
        let found = match (&self.resume, key) {
            (Some(resume), Some(key)) => resume.find(key),
            _ => None,
        };
        let Some(slot) = found else { return self.hand_abroad(frame) };
        // Whoever came with a token is who it says, and comes back as nobody else.
        let other = self.client.hub().identity_of(slot.connection());
        let user = self.client.identity().map(|identity| &identity.user);
        if self.client.rights().is_some() && user != other.as_ref().map(|identity| &identity.user) {
            return Some(frame);
        }
        let back = match self.take_client(frame) {
            Ok(back) => back,
            Err(frame) => return Some(frame),
        };
        if let Some(resume) = &mut self.resume {
            resume.hand_over(&slot, back);
        }
        None
    }

    /// The client with its link, for another session; its frame again where it has no link.
    pub(super) fn take_client(&mut self, frame: Frame) -> Result<Box<Resumption>, Frame> {
        let LinkState::Open(link) = std::mem::replace(&mut self.link_state, LinkState::Away) else {
            return Err(frame);
        };
        let rights = self.client.rights().cloned();
        let held = self.client.take_held();
        let (record, authorizer) = (self.record.take(), self.authorizer.take());
        Ok(Box::new(Resumption { link, record, authorizer, rights, held, frame }))
    }

    /// What came of a hand-over: this session ends, or has its client back and goes on.
    pub(super) fn poll_handed(&mut self, now: Moment, context: &mut Context<'_>) {
        let Some(resume) = &mut self.resume else { return };
        let Poll::Ready(outcome) = resume.poll_handed(context) else { return };
        context.waker().wake_by_ref();
        match outcome {
            HandedOver::Taken if self.close_timer.is_none() => self.moved(),
            HandedOver::Back(back) if self.close_timer.is_none() => {
                let Resumption { link, record, authorizer, held, frame, .. } = *back;
                self.client.hold(held);
                (self.link_state, self.record, self.authorizer) = (LinkState::Open(link), record, authorizer);
                self.heed(frame, now);
            }
            // It ended meanwhile.
            _ => {}
        }
    }

    /// Keeps something shared for a client that may miss it. False where it is not to be sent now.
    pub(super) fn keep(&mut self, encoded: &EncodedFrames, numbered: bool, now: Moment) -> bool {
        if let Some(resume) = &self.resume {
            resume.make_room();
        }
        let mut step = Step::default();
        let passes = self.dialect.resumable().is_none_or(|machine| machine.record(encoded, numbered, &mut step));
        self.perform(step, now);
        passes
    }

    /// A link that was lost closes while the session goes on without it: within the time for that, not when the session
    /// ends.
    pub(super) fn poll_last_words(&mut self, context: &mut Context<'_>) {
        let Some(resume) = &mut self.resume else { return };
        if resume.closing.as_mut().is_some_and(|closing| closing.poll(context).is_ready()) {
            resume.closing = None;
        }
    }

    /// Its client is back, or has another link before this side knows that the old one is lost.
    pub(super) fn poll_return(&mut self, now: Moment, context: &mut Context<'_>) {
        let Some(resume) = &mut self.resume else { return };
        let Some(over) = resume.poll(context) else {
            if resume.is_evicted() {
                self.lost("others that lost their links later are kept in its place".to_owned(), now);
            }
            return;
        };
        // What the client said on its old link it said before: that it leaves, for one.
        let mut left = FRAMES_PER_TURN;
        let _ = self.read(&mut left, now, context);
        // What waits was said to one that was away, and is kept or not as for such a one.
        while self.link_state.link().is_none() {
            self.unwritten = 0;
            if !self.hear(now, context).any {
                break;
            }
        }
        let is_here = |machine: &mut dyn Resumable| over.frame().is_some_and(|frame| machine.is_resumed_by(frame));
        if self.close_timer.is_some() || !self.dialect.resumable().is_some_and(is_here) {
            // It goes back, and begins anew; whoever is here goes on.
            return;
        }
        let Some(back) = over.take() else { return };
        let end =
            SessionEnd::Link { word: "transport close", detail: "the client came back by another link".to_owned() };
        if self.link_state.link().is_some() && !self.stays(&end, false, now) {
            // Nothing to come back to: the client finds its new link closed, and begins anew.
            self.lost("the client came back by another link".to_owned(), now);
            return;
        }
        let Resumption { link, record, authorizer, rights, held, frame } = *back;
        drop(self.client.take_held());
        self.client.hold(held);
        if let Some(resume) = &mut self.resume {
            resume.arrive(link.ping_count());
        }
        self.client.back(now);
        if let Some((authorizer, connection)) = authorizer {
            let connection = ConnectionInfo { connection: self.client.id(), ..ConnectionInfo::clone(&connection) };
            self.authorizer = Some((authorizer, Arc::new(connection)));
        }
        if let Some(rights) = rights {
            self.client.grant(rights);
        }
        (self.link_state, self.record) = (LinkState::Open(link), record);
        self.unwritten = 0;
        self.receive(frame, now);
    }
}
