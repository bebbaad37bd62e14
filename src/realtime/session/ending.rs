//! How a conversation ends: last words, the link's own closing, and a limit to the patience for it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use super::{End, Session};
use crate::realtime::dialect::Step;
use crate::realtime::link::Link;
use crate::realtime::vocabulary::{Closing as Why, Frame, Moment};

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

/// A link that is lost and has its last words to say.
pub struct Closing {
    link: Box<dyn Link>,
    patience: Pin<Box<Sleep>>,
}

impl Closing {
    pub fn new(link: Box<dyn Link>, patience: Duration) -> Closing {
        Closing { link, patience: Box::pin(tokio::time::sleep(patience)) }
    }

    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let is_closed = self.link.poll_close(context).is_ready() || self.patience.as_mut().poll(context).is_ready();
        if is_closed { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Session {
    /// Ends it by this side: the dialect has the last word. The first reason stands.
    pub(super) fn end(&mut self, why: Why, now: Moment) {
        if self.ending.is_some() {
            return;
        }
        self.go(false);
        let mut step = Step::default();
        self.dialect.farewell(&why, now, &mut step);
        self.perform(step, now);
        let close = why.close();
        self.ended(End::Us { word: why.word(), code: close.code });
        // Taken only where the dialect had no close of its own.
        self.line.push(Frame::Close(Some(close)));
    }

    fn go(&mut self, is_closed: bool) {
        self.ending = Some(Ending::new(self.patience, is_closed));
        self.client.retire();
        if let Some(mooring) = &mut self.mooring {
            mooring.close();
        }
    }

    fn ended(&mut self, end: End) {
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
        if self.ending.is_none() {
            self.go(false);
            self.ended(End::Client { code });
        }
    }

    /// The link has ended the conversation by its own rules, and closes itself.
    pub(super) fn ended_by_link(&mut self, word: &'static str, detail: String, now: Moment) {
        let end = End::Link { word, detail };
        if self.ending.is_none() && !self.stays(&end, true, now) {
            self.go(false);
            self.ended(end);
        }
    }

    /// The connection is gone: nothing more can be said.
    pub(super) fn lost(&mut self, detail: String, now: Moment) {
        if let Some(ending) = &mut self.ending {
            ending.is_closed = true;
            return;
        }
        let end = End::Lost { detail };
        if !self.stays(&end, false, now) {
            self.go(true);
            self.ended(end);
        }
    }

    /// Over when the link is closed and the authorizer has judged what the client still wanted.
    pub(super) fn poll_ending(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(ending) = &mut self.ending else { return Poll::Pending };
        if !ending.is_closed {
            let closed = self.line.link().is_none_or(|link| link.poll_close(context).is_ready());
            ending.is_closed = closed || ending.patience.as_mut().poll(context).is_ready();
        }
        if ending.is_closed && self.desk.is_none() { Poll::Ready(()) } else { Poll::Pending }
    }
}
