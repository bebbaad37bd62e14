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
    /// The time by which the link is cut.
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
        // An end that had to wait for the link has used up that time.
        let left = self.client.ends_by().map(|by| by.saturating_duration_since(now.instant));
        let timeout = if why == Why::Dead { Duration::ZERO } else { left.unwrap_or(self.close_timeout) };
        self.go(false, timeout);
        let mut step = Step::default();
        self.dialect.close_frames(&why, now, &mut step);
        self.perform(step, now);
        let close = why.close();
        let backlog = if why == Why::Slow { self.client.backlog() } else { None };
        self.ended(SessionEnd::Us { word: why.label(), code: close.code, backlog });
        // Taken only where the dialect had no close of its own.
        self.link_state.push(Frame::Close(Some(close)));
    }

    fn go(&mut self, is_closed: bool, timeout: Duration) {
        self.close_timer = Some(CloseTimer::new(timeout, is_closed));
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
        self.go(true, self.close_timeout);
    }

    /// The client has said its close, and the link has answered it.
    pub(super) fn closed_by_client(&mut self, code: Option<u16>) {
        if self.close_timer.is_none() {
            self.go(false, self.close_timeout);
            self.ended(SessionEnd::Client { code });
        }
    }

    /// The link has ended the conversation by its own rules, and closes itself.
    pub(super) fn ended_by_link(&mut self, word: &'static str, detail: String, now: Moment) {
        let end = SessionEnd::Link { word, detail };
        if self.close_timer.is_none() && !self.stays(&end, true, now) {
            self.go(false, self.close_timeout);
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
            self.go(true, self.close_timeout);
            self.ended(end);
        }
    }

    /// The link took nothing for as long as an end may wait: what waits is told to it all the same, up to that end.
    /// As much as an outbox holds.
    pub(super) fn hear_out(&mut self, now: Moment, context: &mut Context<'_>) {
        // An order to close comes back by the mailbox: it is in the round behind the last.
        let mut again = true;
        while self.close_timer.is_none() && self.client.poll_fill(now, context).is_ready() {
            while let Some(entry) = self.client.next_entry() {
                self.hand_on(entry, now);
            }
            if let Some(why) = self.client.closing() {
                self.end(why, now);
            } else if self.client.took_all() && !std::mem::take(&mut again) {
                break;
            }
        }
        self.client.goes_on();
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
