//! What all clients of a room are told alike.

use super::member::ACTOR;
use super::write;
use crate::realtime::document::ydoc::Coding;
use crate::realtime::vocabulary::{
    DocumentContent, EditOutcome, Encode, Encoded, EncodedFrames, Event, Frame, Presence,
};

/// What clients see of the documents of their room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// They may not.
    Nothing,
    /// They have not asked for the storage.
    Yjs,
    All,
}

impl Sight {
    pub const ALL: [Sight; 3] = [Sight::Nothing, Sight::Yjs, Sight::All];
}

/// The encoder of clients that compare documents of Yjs in this coding.
#[derive(Debug, Clone, Copy)]
pub struct LiveblocksEncoder {
    pub coding: Coding,
    pub sight: Sight,
}

impl Encode for LiveblocksEncoder {
    fn encode(&self, event: &Event) -> Encoded {
        let text = match event {
            Event::Message(message) if message.is_ordinary() => {
                let actor = message.draft.extras.of(ACTOR).and_then(|actor| std::str::from_utf8(actor).ok());
                Some(write::event(actor, &message.draft))
            }
            Event::Presence { change: Presence::Joined, member, .. } => {
                let (joined, shown) = (write::joined(member), write::shown(member, None));
                match (joined, shown) {
                    (Some(joined), Some(shown)) => {
                        let frames = [joined, shown].map(Frame::text).into();
                        return Encoded::Shared(EncodedFrames::several(frames));
                    }
                    (joined, _) => joined,
                }
            }
            Event::Presence { change: Presence::Updated, member, .. } => write::shown(member, None),
            Event::Presence { change: Presence::Left, member, .. } => write::left(member),
            Event::Signal(signal) => write::signal(signal),
            Event::Edited(edited) => match &edited.outcome {
                EditOutcome::Tree { is_answer: false, .. } if self.sight != Sight::All => None,
                EditOutcome::Tree { ops, is_answer: false } => Some(write::ops(ops, false)),
                EditOutcome::Yjs(_) if self.sight == Sight::Nothing => None,
                EditOutcome::Yjs(update) => Some(write::yjs(update, self.coding, None)),
                // What one client alone is told, and what ends it.
                EditOutcome::Tree { .. } | EditOutcome::Rejected { .. } | EditOutcome::Failed => {
                    return Encoded::PerClient;
                }
            },
            Event::Document(document) => match &document.content {
                DocumentContent::Tree(_) if self.sight != Sight::All => None,
                DocumentContent::Tree(nodes) => {
                    return Encoded::Shared(EncodedFrames::several(write::storage(nodes)));
                }
                DocumentContent::Yjs { .. } => return Encoded::PerClient,
            },
            _ => None,
        };
        text.map_or(Encoded::Skip, |text| Encoded::Shared(Frame::text(text).into()))
    }
}
