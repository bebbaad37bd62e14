//! What is published: as its sender wrote it ([`Draft`]), and as its channel took it ([`Message`]).

use std::sync::Arc;

use bytes::Bytes;

use super::amendment::{Amended, Amendment, Change};
use super::summary::Summary;
use super::{Channel, Origin, Position, Text};

/// A message before a channel has taken it.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The event's name, where the sender's dialect has such; each dialect has its own default for `None`.
    pub name: Option<Arc<str>>,
    pub data: Payload,
    pub extras: Extras,
    /// The sender's own name for this message, in its channel: published again soon, it is the same message.
    pub id: Option<Arc<str>>,
    /// Not worth waiting for: not numbered, not kept, and not queued behind anything.
    pub volatile: bool,
    /// For those who are there now: queued as any other, but neither numbered nor kept.
    pub passing: bool,
    /// A question: clients that hear it may answer with this number.
    pub asks: Option<u64>,
    /// It changes a message that was said before.
    pub amends: Option<Box<Amendment>>,
}

impl Draft {
    pub fn new(data: Payload) -> Draft {
        Draft {
            name: None,
            data,
            extras: Extras::default(),
            id: None,
            volatile: false,
            passing: false,
            asks: None,
            amends: None,
        }
    }

    /// What it carries, in bytes.
    pub fn len(&self) -> usize {
        self.data.len() + self.extras.size()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A message in its channel. Shared by reference from here on.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub channel: Channel,
    /// Of a volatile message: the position of the last that was not.
    pub position: Position,
    /// Milliseconds since the Unix epoch, when the channel took it.
    pub unix_ms: u64,
    /// `None` for the app and the operator.
    pub origin: Option<Origin>,
    pub draft: Draft,
    /// It changes an earlier one, or has been changed since it was said. Place, time and origin are those of the message
    /// that is shown: of a changed one, what it had when it was said.
    pub amended: Option<Box<Amended>>,
    /// What others have said of it comes to this, where it is known.
    pub summary: Option<Arc<Summary>>,
}

impl Message {
    /// One that is said: nothing has become of it yet.
    pub fn new(channel: Channel, position: Position, unix_ms: u64, origin: Option<Origin>, draft: Draft) -> Message {
        Message { channel, position, unix_ms, origin, draft, amended: None, summary: None }
    }

    /// Roughly what it holds in memory, in bytes.
    pub fn size(&self) -> usize {
        size_of::<Message>()
            + self.draft.data.len()
            + self.draft.name.as_ref().map_or(0, |name| name.len())
            + self.draft.extras.size()
            + self.amended.as_ref().map_or(0, |_| size_of::<Amended>())
    }

    /// The change that it makes of an earlier one, where it is that, and no message of its own.
    pub fn change(&self) -> Option<&Amended> {
        self.amended.as_deref().filter(|amended| amended.version == self.position)
    }

    /// Whether a dialect without words for changes can tell it: it is a message of its own, and nobody has deleted it.
    pub fn is_ordinary(&self) -> bool {
        self.amended.as_ref().is_none_or(|amended| amended.version != self.position && amended.change != Change::Delete)
    }
}

/// What a message carries. A dialect shows each kind in its own way; none of them loses one.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    Text(Text),
    /// One JSON value, as text; whoever makes it has checked it.
    Json(Text),
    Binary(Bytes),
}

impl Payload {
    /// In bytes.
    pub fn len(&self) -> usize {
        match self {
            Payload::Text(text) | Payload::Json(text) => text.len(),
            Payload::Binary(bytes) => bytes.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy that does not keep the buffer alive that it was read into.
    pub fn detached(&self) -> Payload {
        match self {
            Payload::Text(text) => Payload::Text(text.as_str().into()),
            Payload::Json(text) => Payload::Json(text.as_str().into()),
            Payload::Binary(bytes) => Payload::Binary(Bytes::copy_from_slice(bytes)),
        }
    }
}

/// What only one dialect has, carried along unread: its key, and bytes that it alone understands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extras(Option<Arc<[Extra]>>);

type Extra = (Arc<str>, Bytes);

impl Extras {
    pub fn new(extras: impl IntoIterator<Item = Extra>) -> Extras {
        let extras: Arc<[_]> = extras.into_iter().collect();
        Extras((!extras.is_empty()).then_some(extras))
    }

    pub fn of(&self, key: &str) -> Option<&Bytes> {
        self.0.iter().flat_map(|extras| extras.iter()).find(|(known, _)| &**known == key).map(|(_, bytes)| bytes)
    }

    /// Each of them.
    pub fn each(&self) -> impl Iterator<Item = (Arc<str>, Bytes)> + '_ {
        self.0.iter().flat_map(|extras| extras.iter().cloned())
    }

    /// A copy that does not keep the buffers alive that it was read into.
    pub fn detached(&self) -> Extras {
        Extras::new(self.each().map(|(key, bytes)| (key, Bytes::copy_from_slice(&bytes))))
    }

    /// All that was put under `key`, in order.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Bytes> {
        self.0.iter().flat_map(|extras| extras.iter()).filter(move |(known, _)| &**known == key).map(|(_, bytes)| bytes)
    }

    /// What these say, and of `base` what they do not: key by key, and field by field where both are JSON objects.
    pub fn over(&self, base: &Extras) -> Extras {
        let object = |bytes: &Bytes| serde_json::from_slice::<serde_json::Map<_, _>>(bytes).ok();
        let merged = |key: &str, own: Bytes| {
            let (Some(own_fields), Some(mut fields)) = (object(&own), base.of(key).and_then(object)) else {
                return own;
            };
            fields.extend(own_fields);
            serde_json::to_vec(&fields).map_or(own, Bytes::from)
        };
        let own = self.each().map(|(key, bytes)| (Arc::clone(&key), merged(&key, bytes)));
        Extras::new(own.chain(base.each().filter(|(key, _)| self.of(key).is_none())))
    }

    /// In bytes.
    pub fn size(&self) -> usize {
        self.0.iter().flat_map(|extras| extras.iter()).map(|(key, bytes)| key.len() + bytes.len()).sum()
    }
}
