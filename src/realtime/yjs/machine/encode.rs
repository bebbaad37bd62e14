//! What all editors of a document are told alike.

use super::protocol::YFrame;
use crate::realtime::document::ydoc::{Coding, YDocument};
use crate::realtime::vocabulary::{EditOutcome, Encode, Encoded, Event, Frame, SignalBody, SignalKind, Signalled};

/// The mark on the awareness of editors.
pub const SIGNALS: SignalKind = SignalKind("yjs");

/// The encoder of all of them.
#[derive(Debug, Clone, Copy)]
pub struct YjsEncoder;

impl Encode for YjsEncoder {
    fn encode(&self, event: &Event) -> Encoded {
        let frame = match event {
            Event::Edited(edited) => match &edited.outcome {
                EditOutcome::Yjs(update) if update.name.is_none() => {
                    let bytes = match update.coding {
                        Coding::V1 => Some(update.update.clone()),
                        Coding::V2 => YDocument::translate(&update.update, Coding::V2, Coding::V1).ok().map(Into::into),
                    };
                    bytes.map(|bytes| frame(&YFrame::Update(bytes)))
                }
                EditOutcome::Failed => return Encoded::PerClient,
                _ => None,
            },
            Event::Signal(shown) => signal(shown),
            _ => None,
        };
        frame.map_or(Encoded::Skip, |frame| Encoded::Shared(frame.into()))
    }
}

/// The frame of what editors show.
pub fn signal(signal: &Signalled) -> Option<Frame> {
    match &signal.body {
        SignalBody::Marks(marks) if signal.kind == SIGNALS && !marks.is_empty() => {
            Some(frame(&YFrame::Awareness(marks.clone())))
        }
        _ => None,
    }
}

/// A frame as it travels.
pub fn frame(content: &YFrame) -> Frame {
    Frame::Binary(content.write())
}
