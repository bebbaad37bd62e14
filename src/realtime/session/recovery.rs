//! A session whose link is lost goes on without one, and over the next one that its client brings.

use std::sync::Arc;
use std::task::Context;

use super::berth::{Mooring, Return};
use super::ending::Closing;
use super::line::Line;
use super::{End, Session};
use crate::realtime::dialect::Step;
use crate::realtime::entrance::authorizer::ConnectionInfo;
use crate::realtime::vocabulary::{Frame, Moment, Parcel};

impl Session {
    /// Its client may come back to it by another link.
    pub fn moored(mut self, mooring: Option<Mooring>) -> Session {
        self.mooring = mooring.map(Box::new);
        self
    }

    /// The link is lost. True where the session goes on without it. A link that `speaks` has last words.
    pub(super) fn stays(&mut self, end: &End, speaks: bool, now: Moment) -> bool {
        if self.ending.is_some() || self.line.link().is_none() {
            return false;
        }
        let Some(mooring) = &mut self.mooring else { return false };
        let mut step = Step::default();
        if !self.dialect.resumable().is_some_and(|machine| machine.link_lost(end.word(), now, &mut step)) {
            return false;
        }
        mooring.leave();
        self.client.away(now);
        if let Line::Open(mut link) = std::mem::replace(&mut self.line, Line::Away) {
            if let Some(mut record) = self.record.take() {
                record.count(link.traffic());
                record.ended(end.clone());
            }
            if speaks {
                // Told to whoever still reads; nothing is waited for.
                link.push(Frame::Close(None));
                mooring.closing = Some(Closing::new(link, self.patience));
            }
        }
        self.unwritten = 0;
        self.perform(step, now);
        true
    }

    /// Gives link and client to the session that this first frame asks for, where there is such a one and the client
    /// has as good a right to it; else gives the frame back.
    pub(super) fn hand_over(&mut self, frame: Frame) -> Option<Frame> {
        let key = self.dialect.resumable().and_then(|machine| machine.resume_key(&frame));
        let found = match (&self.mooring, key) {
            (Some(mooring), Some(key)) => mooring.find(key),
            _ => None,
        };
        let Some(berth) = found else { return Some(frame) };
        // Whoever came with a token is who it says, and comes back as nobody else.
        let other = self.client.hub().identity_of(berth.connection());
        let user = self.client.identity().map(|identity| &identity.user);
        if self.client.rights().is_some() && user != other.as_ref().map(|identity| &identity.user) {
            return Some(frame);
        }
        let Line::Open(link) = std::mem::replace(&mut self.line, Line::Away) else { return Some(frame) };
        let rights = self.client.rights().cloned();
        let back = Return { link, record: self.record.take(), authorizer: self.authorizer.take(), rights, frame };
        match berth.hand_over(Box::new(back)) {
            Ok(()) => {
                self.moved();
                None
            }
            Err(back) => {
                let Return { link, record, authorizer, frame, .. } = *back;
                (self.line, self.record, self.authorizer) = (Line::Open(link), record, authorizer);
                Some(frame)
            }
        }
    }

    /// Keeps something shared for a client that may miss it. False where it is not to be sent now.
    pub(super) fn keep(&mut self, parcel: &Parcel, numbered: bool, now: Moment) -> bool {
        if let Some(mooring) = &self.mooring {
            mooring.make_room();
        }
        let mut step = Step::default();
        let passes = self.dialect.resumable().is_none_or(|machine| machine.record(parcel, numbered, &mut step));
        self.perform(step, now);
        passes
    }

    /// Its client is back, or has another link before this side knows that the old one is lost.
    pub(super) fn poll_return(&mut self, now: Moment, context: &mut Context<'_>) {
        let Some(mooring) = &mut self.mooring else { return };
        let closed = mooring.closing.as_mut().is_some_and(|closing| closing.poll(context).is_ready());
        if closed {
            mooring.closing = None;
        }
        let Some(back) = mooring.poll(context) else {
            if mooring.gives_way() {
                self.lost("others that lost their links later are kept in its place".to_owned(), now);
            }
            return;
        };
        // What waits was said to one that was away, and is kept or not as for such a one.
        while self.line.link().is_none() {
            self.unwritten = 0;
            if !self.hear(now, context).any {
                break;
            }
        }
        if self.ending.is_some() {
            return;
        }
        let end = End::Link { word: "transport close", detail: "the client came back by another link".to_owned() };
        if self.line.link().is_some() && !self.stays(&end, false, now) {
            // Nothing to come back to: the client finds its new link closed, and begins anew.
            self.lost("the client came back by another link".to_owned(), now);
            return;
        }
        let Return { link, record, authorizer, rights, frame } = *back;
        if let Some(mooring) = &mut self.mooring {
            mooring.arrive(link.beats());
        }
        self.client.back(now);
        if let Some((authorizer, connection)) = authorizer {
            let connection = ConnectionInfo { connection: self.client.id(), ..ConnectionInfo::clone(&connection) };
            self.authorizer = Some((authorizer, Arc::new(connection)));
        }
        if let Some(rights) = rights {
            self.client.grant(rights);
        }
        (self.line, self.record) = (Line::Open(link), record);
        self.unwritten = 0;
        self.receive(frame, now);
    }
}
