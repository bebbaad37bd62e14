//! How an editor of Yjs speaks: y-protocols over binary frames, one document a connection.

mod encode;
mod protocol;

use std::time::{Duration, Instant};

use bytes::Bytes;

pub use encode::YjsEncoder;
use encode::{SIGNALS, frame};
pub use protocol::YFrame;

use crate::realtime::dialect::{Dialect, Encoding, Step};
use crate::realtime::document::ydoc::Coding;
use crate::realtime::vocabulary::{
    Breach, Channel, CloseFrame, Command, DisconnectReason, DocumentChange, DocumentContent, DocumentQuery, Edit,
    EditOutcome, Event, Fetch, Frame, Moment, Ref, Refusal, Signal, SignalBody, Subscribe, Violation,
};

const SUBSCRIBE: Ref = 1;
const EDIT: Ref = 2;
const FETCH: Ref = 3;

/// A client that has heard nothing for 30 s takes its line for dead: it hears something at least this often.
const SAY_AFTER: Duration = Duration::from_secs(20);
/// A client says at least every 15 s that it is still there, or every minute in a tab that nobody sees.
const IDLE_AFTER: Duration = Duration::from_secs(150);

/// Codes from 4400 to 4499 end it for good in the client.
const FORBIDDEN: u16 = 4403;

/// One client.
pub struct YjsMachine {
    encoding: Encoding,
    channel: Channel,
    may_edit: bool,
    /// That it may not change anything it was told.
    was_told: bool,
    heard: Instant,
    says_at: Instant,
}

impl YjsMachine {
    pub fn new(encoding: &Encoding, channel: Channel, may_edit: bool, now: Moment) -> YjsMachine {
        let encoding = encoding.clone();
        let (heard, says_at) = (now.instant, now.instant + SAY_AFTER);
        YjsMachine { encoding, channel, may_edit, was_told: false, heard, says_at }
    }

    fn hear(&mut self, frame: YFrame, step: &mut Step) {
        match frame {
            YFrame::Vector(vector) => {
                self.fetch(DocumentQuery::Yjs { name: None, vector, coding: Coding::V1, compares: None }, step);
            }
            YFrame::Lacking(update) | YFrame::Update(update) => self.edit(update, step),
            YFrame::Awareness(marks) => {
                let body = SignalBody::Marks(marks);
                let signal = Signal { ticket: 0, channel: self.channel.clone(), kind: SIGNALS, body };
                step.command(Command::Signal(Box::new(signal)));
            }
            YFrame::WhoIsThere => self.fetch(DocumentQuery::Marks(SIGNALS), step),
            // Clients have nothing to deny.
            YFrame::Denied(_) => {}
        }
    }

    fn edit(&mut self, update: Bytes, step: &mut Step) {
        // What a client sends that has nothing: two zeros.
        if *update == [0, 0] {
            return;
        }
        if !self.may_edit {
            if !std::mem::replace(&mut self.was_told, true) {
                step.send(frame(&YFrame::Denied("this document is not yours to change")));
            }
            return;
        }
        let change = DocumentChange::Yjs { name: None, update, coding: Coding::V1 };
        let edit = Edit { ticket: EDIT, channel: self.channel.clone(), change, echo: false };
        step.command(Command::Edit(Box::new(edit)));
    }

    fn fetch(&self, what: DocumentQuery, step: &mut Step) {
        step.command(Command::Fetch(Box::new(Fetch { ticket: FETCH, channel: self.channel.clone(), what })));
    }

    fn refused(&self, ticket: Ref, refusal: &Refusal, step: &mut Step) {
        let reason = refusal.to_string();
        step.close(match (ticket, refusal) {
            (EDIT | FETCH, Refusal::Malformed(what)) => {
                DisconnectReason::Violation(Violation::new(Breach::Protocol, what.clone()))
            }
            (EDIT, Refusal::TooBig { .. }) => DisconnectReason::Violation(Violation::new(Breach::TooBig, reason)),
            (_, Refusal::Unavailable | Refusal::TooMany { .. }) => DisconnectReason::Overloaded,
            (SUBSCRIBE | EDIT | FETCH, _) => DisconnectReason::Kicked { code: Some(FORBIDDEN), reason: reason.into() },
            _ => return,
        });
    }
}

impl Dialect for YjsMachine {
    fn open(&mut self, _now: Moment, step: &mut Step) {
        step.command(Command::Subscribe(Subscribe { ticket: SUBSCRIBE, ..Subscribe::to(self.channel.clone()) }));
    }

    fn receive(&mut self, received: Frame, now: Moment, step: &mut Step) -> Result<(), Violation> {
        self.heard = now.instant;
        match received {
            Frame::Binary(bytes) => {
                let read = YFrame::read(bytes).map_err(|what| Violation::new(Breach::Protocol, what))?;
                self.hear(read, step);
            }
            Frame::Text(_) => return Err(Violation::new(Breach::Unsupported, "only binary frames are spoken here")),
            Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => {}
        }
        Ok(())
    }

    fn deliver(&mut self, event: &Event, _now: Moment, step: &mut Step) {
        match event {
            Event::Subscribed(_) => self.fetch(DocumentQuery::Marks(SIGNALS), step),
            Event::Document(document) => {
                if let DocumentContent::Yjs { lacking, vector } = &document.content {
                    step.send(frame(&YFrame::Lacking(lacking.update.clone())));
                    if self.may_edit {
                        step.send(frame(&YFrame::Vector(vector.clone())));
                    }
                }
            }
            Event::Signal(signal) => encode::signal(signal).into_iter().for_each(|frame| step.send(frame)),
            Event::Edited(edited) if edited.outcome == EditOutcome::Failed => step.close(DisconnectReason::Failed),
            Event::Refused { ticket, refusal, .. } => self.refused(*ticket, refusal, step),
            Event::Unsubscribed { why: Some(why), .. } => {
                let reason = why.to_string().into();
                step.close(DisconnectReason::Kicked { code: Some(FORBIDDEN), reason });
            }
            Event::Kicked { .. } => {
                let reason = "the app has you leave this document".into();
                step.close(DisconnectReason::Kicked { code: Some(FORBIDDEN), reason });
            }
            _ => {}
        }
    }

    fn encoding(&self, _channel: &Channel) -> Encoding {
        self.encoding.clone()
    }

    fn wake(&mut self, now: Moment, step: &mut Step) {
        if now.instant.saturating_duration_since(self.heard) >= IDLE_AFTER {
            step.close(DisconnectReason::Idle);
        } else if now.instant >= self.says_at {
            self.says_at = now.instant + SAY_AFTER;
            step.send(frame(&YFrame::Awareness(Vec::new())));
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        Some(self.says_at.min(self.heard + IDLE_AFTER))
    }

    fn close_frames(&mut self, why: &DisconnectReason, _now: Moment, step: &mut Step) {
        let own = why.close();
        let code = match why {
            DisconnectReason::Expired => 4401,
            _ => own.code,
        };
        step.send(Frame::Close(Some(CloseFrame { code, reason: own.reason })));
    }
}
