//! What is published: as its sender wrote it ([`Draft`]), and as its channel took it ([`Message`]).

use std::sync::Arc;

use bytes::Bytes;

use super::{Channel, ConnectionId, Position, Text};

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
}

impl Draft {
    pub fn new(data: Payload) -> Draft {
        Draft { name: None, data, extras: Extras::default(), id: None, volatile: false, passing: false, asks: None }
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
}

impl Message {
    /// Roughly what it holds in memory, in bytes.
    pub fn size(&self) -> usize {
        size_of::<Message>()
            + self.draft.data.len()
            + self.draft.name.as_ref().map_or(0, |name| name.len())
            + self.draft.extras.size()
    }
}

/// Which client sent a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub connection: ConnectionId,
    pub user: Option<Arc<str>>,
}

/// As whom a client speaks: its dialect has seen that it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    pub user: Option<Arc<str>>,
    /// The connection that it speaks for, where it is another's.
    pub connection: Option<ConnectionId>,
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

    /// In bytes.
    pub fn size(&self) -> usize {
        self.0.iter().flat_map(|extras| extras.iter()).map(|(key, bytes)| key.len() + bytes.len()).sum()
    }
}
