//! How a conversation ends: last words, the link's own closing, and a limit to the time for it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use super::{Session, SessionEnd};
use crate::realtime::dialect::Step;
use crate::realtime::link::Link;
use crate::realtime::vocabulary::{DisconnectReason as Why, Frame, Moment};

/// The last phase of a session.
pub struct CloseTimer {
    /// How long the link may take to close.
    deadline: Pin<Box<Sleep>>,
    is_closed: bool,
}

impl CloseTimer {
    fn new(timeout: Duration, is_closed: bool) -> Box<CloseTimer> {
        Box::new(CloseTimer { deadline: Box::pin(tokio::time::sleep(timeout)), is_closed })
    }
}

/// A link that is lost and has its last words to say.
pub struct LastWords {
    link: Box<dyn Link>,
    deadline: Pin<Box<Sleep>>,
}

impl LastWords {
    pub fn new(link: Box<dyn Link>, timeout: Duration) -> LastWords {
        LastWords { link, deadline: Box::pin(tokio::time::sleep(timeout)) }
    }

    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let is_closed = self.link.poll_close(context).is_ready() || self.deadline.as_mut().poll(context).is_ready();
        if is_closed { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Session {
    /// Ends it by this side: the dialect has the last word. The first reason stands.
    pub(super) fn end(&mut self, why: Why, now: Moment) {
        if self.close_timer.is_some() {
            return;
        }
        self.go(false);
        let mut step = Step::default();
        self.dialect.close_frames(&why, now, &mut step);
        self.perform(step, now);
        let close = why.close();
        let backlog = if why == Why::Slow { self.client.backlog() } else { None };
        self.ended(SessionEnd::Us { word: why.label(), code: close.code, backlog });
        // Taken only where the dialect had no close of its own.
        self.link_state.push(Frame::Close(Some(close)));
    }

    fn go(&mut self, is_closed: bool) {
        self.close_timer = Some(CloseTimer::new(self.close_timeout, is_closed));
        self.client.retire();
        if let Some(resume) = &mut self.resume {
            resume.close();
        }
    }

    fn ended(&mut self, end: SessionEnd) {
        if let Some(record) = &mut self.record {
            record.ended(end);
        }
    }

    /// The link is another session's.
    pub(super) fn moved(&mut self) {
        self.go(true);
    }

    /// The client has said its close, and the link has answered it.
    pub(super) fn closed_by_client(&mut self, code: Option<u16>) {
        if self.close_timer.is_none() {
            self.go(false);
            self.ended(SessionEnd::Client { code });
        }
    }

    /// The link has ended the conversation by its own rules, and closes itself.
    pub(super) fn ended_by_link(&mut self, word: &'static str, detail: String, now: Moment) {
        let end = SessionEnd::Link { word, detail };
        if self.close_timer.is_none() && !self.stays(&end, true, now) {
            self.go(false);
            self.ended(end);
        }
    }

    /// The connection is gone: nothing more can be said.
    pub(super) fn lost(&mut self, detail: String, now: Moment) {
        if let Some(close_timer) = &mut self.close_timer {
            close_timer.is_closed = true;
            return;
        }
        let end = SessionEnd::Lost { detail };
        if !self.stays(&end, false, now) {
            self.go(true);
            self.ended(end);
        }
    }

    /// Over when the link is closed and the authorizer has judged what the client still wanted.
    pub(super) fn poll_ending(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(close_timer) = &mut self.close_timer else { return Poll::Pending };
        if !close_timer.is_closed {
            let closed = self.link_state.link().is_none_or(|link| link.poll_close(context).is_ready());
            close_timer.is_closed = closed || close_timer.deadline.as_mut().poll(context).is_ready();
        }
        if close_timer.is_closed && self.pending.is_none() { Poll::Ready(()) } else { Poll::Pending }
    }
}
