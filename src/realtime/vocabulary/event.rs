//! What a client is told.

use std::sync::Arc;

use super::{
    Channel, ConnectionId, DisconnectReason, DocumentState, Draft, Edited, Extras, Identity, Member, Message,
    Occupancy, Payload, Position, Ref, Refusal, Signalled,
};

/// An event that a client is told of, in no dialect's words.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    // To every subscriber of a channel: encoded once a form.
    Message(Arc<Message>),
    /// To those subscribers who want notices.
    Presence {
        channel: Channel,
        change: Presence,
        member: Arc<Member>,
        /// Another member there is the same user: to dialects whose members are users, nothing has happened.
        user_stays: bool,
        /// Milliseconds since the Unix epoch.
        unix_ms: u64,
    },

    /// How many subscribe: to those whose dialect asks the hub to say so. The others' encoders are silent.
    Subscribers {
        channel: Channel,
        subscribers: usize,
    },

    /// How many are in a channel: to those subscribers who want to know.
    Occupancy {
        channel: Channel,
        occupancy: Occupancy,
    },

    /// A channel's documents were changed. To whom it was who changed them it is the answer.
    Edited(Arc<Edited>),

    /// What somebody shows who edits there.
    Signal(Arc<Signalled>),

    // To one client.
    /// A document that was asked for.
    Document(Box<DocumentState>),
    /// To this client only, in no channel.
    Direct(Arc<Draft>),
    Connected {
        ticket: Ref,
        connection: ConnectionId,
        identity: Option<Identity>,
        data: Option<Payload>,
    },
    Subscribed(Box<Subscribed>),
    /// `why` where it was not the client's own wish.
    Unsubscribed {
        ticket: Ref,
        channel: Channel,
        why: Option<Refusal>,
    },
    /// Messages after `after` and up to `upto` were not delivered and are no longer kept. Said before what comes next.
    Lost {
        channel: Channel,
        after: Position,
        upto: Position,
    },
    Accepted {
        ticket: Ref,
        position: Option<Position>,
    },
    /// Each message's, in their order.
    Published {
        ticket: Ref,
        receipts: Vec<Receipt>,
    },
    Refused {
        ticket: Ref,
        channel: Option<Channel>,
        refusal: Refusal,
    },
    Members {
        ticket: Ref,
        channel: Channel,
        members: Vec<Arc<Member>>,
    },
    History {
        ticket: Ref,
        channel: Channel,
        messages: Vec<Arc<Message>>,
        top: Position,
    },
    Answered {
        ticket: Ref,
        data: Option<Payload>,
        extras: Extras,
    },
    /// The app has the client leave this scope.
    Kicked {
        scope: Arc<str>,
    },
    /// The last thing before the link ends, for links without a close frame.
    DisconnectReason(DisconnectReason),
}

/// Where a message is in its channel, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// `None` where it was neither numbered nor kept.
    pub position: Option<Position>,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

/// What became of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Joined,
    Updated,
    Left,
}

/// A subscription stands. What was missed comes after this, then what is new, each once and in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribed {
    pub ticket: Ref,
    pub channel: Channel,
    /// The channel's latest message.
    pub top: Position,
    pub recovery: Recovery,
    /// Who is there, where notices were asked for.
    pub members: Vec<Arc<Member>>,
    /// How many connections are subscribed, this one too.
    pub subscribers: usize,
    /// What is said there may be changed later, and annotated.
    pub is_mutable: bool,
}

impl Subscribed {
    /// Where the client stands before anything follows: a position that is safe to come back with.
    pub fn start(&self) -> Position {
        let missed = if let Recovery::Complete(missed) = self.recovery { missed } else { 0 };
        Position { offset: self.top.offset.saturating_sub(missed), ..self.top }
    }
}

/// Whether a subscriber gets what it asked of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// It did not ask.
    Live,
    /// Exactly what it missed follows: this many messages.
    Complete(u64),
    /// What came after its position is no longer kept, or belongs to another life of the channel.
    /// What is new follows from `top` on.
    Impossible,
}
