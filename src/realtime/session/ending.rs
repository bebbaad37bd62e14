//! How a conversation ends: last words, the link's own closing, and a limit to the patience for it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use super::{End, Session};
use crate::realtime::dialect::Step;
use crate::realtime::vocabulary::{Closing, Frame, Moment};

/// The last phase of a session.
pub struct Ending {
    /// How long the link may take to close.
    patience: Pin<Box<Sleep>>,
    is_closed: bool,
}

impl Ending {
    fn new(patience: Duration, is_closed: bool) -> Box<Ending> {
        Box::new(Ending { patience: Box::pin(tokio::time::sleep(patience)), is_closed })
    }
}

impl Session {
    /// Ends it by this side: the dialect has the last word. The first reason stands.
    pub(super) fn end(&mut self, why: Closing, now: Moment) {
        if self.ending.is_some() {
            return;
        }
        self.go(false);
        let mut step = Step::default();
        self.dialect.farewell(&why, now, &mut step);
        self.perform(step, now);
        let close = why.close();
        self.record.ended(End::Us { word: why.word(), code: close.code });
        // Taken only where the dialect had no close of its own.
        self.line.push(Frame::Close(Some(close)));
    }

    fn go(&mut self, is_closed: bool) {
        self.ending = Some(Ending::new(self.patience, is_closed));
        self.client.retire();
    }

    /// The client has said its close, and the link has answered it.
    pub(super) fn closed_by_client(&mut self, code: Option<u16>) {
        if self.ending.is_none() {
            self.go(false);
            self.record.ended(End::Client { code });
        }
    }

    /// The link has ended the conversation by its own rules, and closes itself.
    pub(super) fn ended_by_link(&mut self, word: &'static str, detail: String) {
        if self.ending.is_none() {
            self.go(false);
            self.record.ended(End::Link { word, detail });
        }
    }

    /// The connection is gone: nothing more can be said.
    pub(super) fn lost(&mut self, detail: String) {
        match &mut self.ending {
            Some(ending) => ending.is_closed = true,
            None => {
                self.go(true);
                self.record.ended(End::Lost { detail });
            }
        }
    }

    /// Over when the link is closed and the gate has judged what the client still wanted.
    pub(super) fn poll_ending(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(ending) = &mut self.ending else { return Poll::Pending };
        if !ending.is_closed {
            let closed = self.line.link().is_none_or(|link| link.poll_close(context).is_ready());
            ending.is_closed = closed || ending.patience.as_mut().poll(context).is_ready();
        }
        if ending.is_closed && self.desk.is_none() { Poll::Ready(()) } else { Poll::Pending }
    }
}
