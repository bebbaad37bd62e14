//! How a client of Liveblocks speaks: one room, arrays of messages, and the word `ping`.

mod encode;
mod member;
mod message;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

pub use encode::{LiveblocksEncoder, Sight};
pub use member::{ACTOR, known, member};
pub use message::{ClientMessage, read_messages};
pub use write::SIGNALS;

use super::scopes::Scopes;
use crate::realtime::dialect::{Dialect, Encoding, Step};
use crate::realtime::document::tree::Op;
use crate::realtime::document::ydoc::Coding;
use crate::realtime::vocabulary::{
    Audience, Breach, Channel, CloseFrame, Command, ConnectionId, DisconnectReason, DocumentChange, DocumentContent,
    DocumentQuery, Draft, Edit, EditOutcome, Event, Extras, Fetch, Frame, Moment, Payload, Publish, Ref, Refusal,
    Signal, SignalBody, Subscribe, Subscribed, Text, Violation,
};

const SUBSCRIBE: Ref = 1;
const EDIT: Ref = 2;
const FETCH: Ref = 3;

/// A client says `ping` at least this often, also in a tab that nobody sees.
const IDLE_AFTER: Duration = Duration::from_secs(100);

/// The encodings that all clients of the protocol share, by what they compare documents of Yjs in, and by what they see of documents.
pub struct LiveblocksEncodings([[Encoding; 3]; 2]);

impl Default for LiveblocksEncodings {
    fn default() -> Self {
        let all = |coding| Sight::ALL.map(|sight| Encoding::new(LiveblocksEncoder { coding, sight }));
        LiveblocksEncodings([all(Coding::V1), all(Coding::V2)])
    }
}

impl LiveblocksEncodings {
    fn of(&self, coding: Coding, sight: Sight) -> Encoding {
        self.0[usize::from(coding == Coding::V2)][sight as usize].clone()
    }
}

/// Who a client is in its room.
#[derive(Debug, Clone, PartialEq)]
pub struct Editor {
    /// Its number in the room.
    pub actor: u64,
    pub user: Option<Arc<str>>,
    /// What it shows of itself, as JSON.
    pub info: Option<Text>,
    pub scopes: Scopes,
}

/// One client.
pub struct LiveblocksMachine {
    encodings: Arc<LiveblocksEncodings>,
    channel: Channel,
    editor: Box<Editor>,
    /// How it compares documents of Yjs.
    coding: Coding,
    connection: ConnectionId,
    /// The room's state was its first word.
    has_state: bool,
    /// It has asked for the storage. Before, it hears of no change there: one that comes back would make it part of what it had.
    has_storage: bool,
    heard: Instant,
}

impl LiveblocksMachine {
    pub fn new(
        encodings: &Arc<LiveblocksEncodings>,
        channel: Channel,
        editor: Editor,
        connection: ConnectionId,
        now: Moment,
    ) -> LiveblocksMachine {
        LiveblocksMachine {
            encodings: Arc::clone(encodings),
            channel,
            editor: Box::new(editor),
            coding: Coding::V1,
            connection,
            has_state: false,
            has_storage: false,
            heard: now.instant,
        }
    }

    fn subscription(&self) -> Command {
        let member = member(&self.editor, self.connection.to_string(), None);
        Command::Subscribe(Subscribe {
            ticket: SUBSCRIBE,
            member: Some(member),
            notices: true,
            enters: true,
            ..Subscribe::to(self.channel.clone())
        })
    }

    /// From now on it hears of the room in another encoding. Whoever is not in yet is asked for it when that is decided.
    fn change_encoding(&self, step: &mut Step) {
        if self.has_state {
            step.agreed(self.subscription());
        }
    }

    fn hear(&mut self, message: ClientMessage, step: &mut Step) -> Result<(), Violation> {
        match message {
            ClientMessage::Presence { data, target } => {
                let data = write::presence(self.editor.actor, target, &data);
                let to = target.and_then(|actor| u64::try_from(actor).ok());
                let body = SignalBody::Words { to, data: data.into() };
                let signal = Signal { ticket: 0, channel: self.channel.clone(), kind: SIGNALS, body };
                step.command(Command::Signal(Box::new(signal)));
            }
            ClientMessage::Event { event } => {
                let extras = Extras::new([(ACTOR.into(), Bytes::from(self.editor.actor.to_string()))]);
                let draft = Draft { extras, ..Draft::new(Payload::Json(event)) };
                let audience = Audience::Channel(self.channel.clone());
                step.command(Command::Publish(Box::new(Publish { ticket: 0, audience, draft, echo: false })));
            }
            ClientMessage::FetchStorage if !self.editor.scopes.may_read_storage() => {
                write::empty_storage().into_iter().for_each(|frame| step.send(frame));
            }
            ClientMessage::FetchStorage => {
                if !std::mem::replace(&mut self.has_storage, true) {
                    self.change_encoding(step);
                }
                self.fetch(DocumentQuery::Tree, step);
            }
            ClientMessage::UpdateStorage { ops } if !self.editor.scopes.may_write_storage() => {
                let ids = ops.iter().filter_map(Op::op_id).map(Arc::clone).collect::<Vec<_>>();
                let reason = "You have no permission to change the storage of this room";
                step.send(Frame::text(write::rejected(&ids, reason)));
            }
            ClientMessage::UpdateStorage { ops } if ops.is_empty() => {}
            ClientMessage::UpdateStorage { ops } => self.edit(DocumentChange::Tree(ops), step),
            ClientMessage::FetchYjs { guid, coding, .. } if !self.editor.scopes.may_read_storage() => {
                step.send(Frame::text(write::empty_yjs(guid, coding)));
            }
            ClientMessage::FetchYjs { vector, guid, coding } => {
                if coding != self.coding {
                    self.coding = coding;
                    self.change_encoding(step);
                }
                let (name, compares) = (guid, Some(coding));
                self.fetch(DocumentQuery::Yjs { name, vector, coding, compares }, step);
            }
            ClientMessage::UpdateYjs { .. } if !self.editor.scopes.may_write_storage() => {}
            ClientMessage::UpdateYjs { update, guid, coding } => {
                self.edit(DocumentChange::Yjs { name: guid, update, coding }, step);
            }
            ClientMessage::Feed { request } => step.send(Frame::text(write::no_feeds(&request))),
        }
        Ok(())
    }

    fn fetch(&self, what: DocumentQuery, step: &mut Step) {
        step.command(Command::Fetch(Box::new(Fetch { ticket: FETCH, channel: self.channel.clone(), what })));
    }

    fn edit(&self, change: DocumentChange, step: &mut Step) {
        step.command(Command::Edit(Box::new(Edit { ticket: EDIT, channel: self.channel.clone(), change, echo: true })));
    }

    fn subscribed(&mut self, subscribed: &Subscribed, step: &mut Step) {
        // Another time it was only for another encoding.
        if !std::mem::replace(&mut self.has_state, true) {
            step.send(Frame::text(write::room_state(&self.editor, &subscribed.members)));
            // Others show themselves to a newcomer; those without a connection are shown to it.
            let shown = subscribed.members.iter().filter_map(|member| write::shown(member, Some(self.editor.actor)));
            shown.for_each(|text| step.send(Frame::text(text)));
        }
    }

    fn refused(&self, ticket: Ref, refusal: &Refusal, step: &mut Step) {
        let reason = Text::from(refusal.to_string());
        step.close(match (ticket, refusal) {
            (SUBSCRIBE, Refusal::TooMany { .. }) => DisconnectReason::Kicked { code: Some(ROOM_FULL), reason },
            (_, Refusal::Unavailable) if ticket != SUBSCRIBE => DisconnectReason::Failed,
            (_, Refusal::Unavailable) => DisconnectReason::Overloaded,
            (SUBSCRIBE, Refusal::App { code, .. }) => {
                DisconnectReason::Kicked { code: code.filter(|code| is_own(*code)).or(Some(NO_ACCESS)), reason }
            }
            (SUBSCRIBE, _) => DisconnectReason::Kicked { code: Some(NO_ACCESS), reason },
            (EDIT | FETCH, Refusal::Malformed(what)) => {
                DisconnectReason::Violation(Violation::new(Breach::Protocol, what.clone()))
            }
            // It comes back after a while, with what it may by then, and with what was not acknowledged.
            (EDIT, Refusal::Forbidden | Refusal::Closed | Refusal::TooMany { .. } | Refusal::Unknown) => {
                DisconnectReason::Kicked { code: Some(KICKED), reason }
            }
            _ => return,
        });
    }
}

/// Close codes of the protocol: a client asks for a token again and comes back, or gives up.
const KICKED: u16 = 4100;
const NOT_UNDERSTOOD: u16 = 4000;
/// Who may not be in the room.
pub const NO_ACCESS: u16 = 4001;
/// The room has no place left.
pub const ROOM_FULL: u16 = 4005;
/// The room goes by another name, which is the reason.
pub const RENAMED: u16 = 4006;
/// A token that is no longer good: the client asks for another at once.
pub const EXPIRED: u16 = 4109;

fn is_own(code: u16) -> bool {
    (4000..=4999).contains(&code)
}

impl Dialect for LiveblocksMachine {
    fn open(&mut self, _now: Moment, step: &mut Step) {
        // Who loads its page again is somebody else: the one that it was leaves at once.
        step.agreed(Command::SetGrace(Duration::ZERO));
        step.command(self.subscription());
    }

    fn receive(&mut self, frame: Frame, now: Moment, step: &mut Step) -> Result<(), Violation> {
        self.heard = now.instant;
        match frame {
            Frame::Text(text) if text.as_str() == "ping" => step.send(Frame::text("pong".to_owned())),
            Frame::Text(text) => {
                for message in read_messages(&text)? {
                    self.hear(message, step)?;
                }
            }
            Frame::Binary(_) => return Err(Violation::new(Breach::Unsupported, "only text is spoken here")),
            Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => {}
        }
        Ok(())
    }

    fn deliver(&mut self, event: &Event, _now: Moment, step: &mut Step) {
        match event {
            Event::Subscribed(subscribed) => self.subscribed(subscribed, step),
            Event::Edited(edited) => match &edited.outcome {
                EditOutcome::Tree { ops, is_answer } => step.send(Frame::text(write::ops(ops, *is_answer))),
                EditOutcome::Rejected { ops, reason } => step.send(Frame::text(write::rejected(ops, reason))),
                EditOutcome::Yjs(update) => step.send(Frame::text(write::yjs(update, self.coding, None))),
                EditOutcome::Failed => step.close(DisconnectReason::Failed),
            },
            Event::Document(document) => match &document.content {
                DocumentContent::Tree(nodes) => write::storage(nodes).into_iter().for_each(|frame| step.send(frame)),
                DocumentContent::Yjs { lacking, vector } => {
                    let vector = STANDARD.encode(vector);
                    step.send(Frame::text(write::yjs(lacking, self.coding, Some(&vector))));
                }
            },
            Event::Signal(signal) => write::signal(signal).into_iter().for_each(|text| step.send(Frame::text(text))),
            Event::Direct(draft) => step.send(Frame::text(write::event(None, draft))),
            Event::Refused { ticket, refusal, .. } => self.refused(*ticket, refusal, step),
            Event::Unsubscribed { why: Some(why), .. } => {
                let reason = Text::from(why.to_string());
                step.close(DisconnectReason::Kicked { code: Some(NO_ACCESS), reason });
            }
            Event::Kicked { .. } => {
                let reason = Text::from_static("the app has you leave this room");
                step.close(DisconnectReason::Kicked { code: Some(NO_ACCESS), reason });
            }
            // What was said there meanwhile is kept no longer: it comes back and sees the room as it is.
            Event::Lost { .. } => step.close(DisconnectReason::Slow),
            _ => {}
        }
    }

    fn encoding(&self, _channel: &Channel) -> Encoding {
        let sight = match (self.editor.scopes.may_read_storage(), self.has_storage) {
            (false, _) => Sight::Nothing,
            (true, false) => Sight::Yjs,
            (true, true) => Sight::All,
        };
        self.encodings.of(self.coding, sight)
    }

    fn wake(&mut self, now: Moment, step: &mut Step) {
        if now.instant.saturating_duration_since(self.heard) >= IDLE_AFTER {
            step.close(DisconnectReason::Idle);
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        Some(self.heard + IDLE_AFTER)
    }

    fn close_frames(&mut self, why: &DisconnectReason, _now: Moment, step: &mut Step) {
        step.send(Frame::Close(Some(close_frame(why))));
    }
}

/// How the protocol's clients are told why.
pub fn close_frame(why: &DisconnectReason) -> CloseFrame {
    let own = why.close();
    let code = match why {
        DisconnectReason::Kicked { code, .. } => code.filter(|code| is_own(*code)).unwrap_or(KICKED),
        DisconnectReason::Violation(_) => NOT_UNDERSTOOD,
        // A client that was told 1013 is silent for 2 to 30 seconds.
        DisconnectReason::Slow => 1001,
        DisconnectReason::Expired => EXPIRED,
        _ => own.code,
    };
    CloseFrame { code, reason: own.reason }
}
