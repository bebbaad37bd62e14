//! What a client (or the app on its behalf) wants done.

use std::sync::Arc;

use super::{Channel, Closing, ConnectionId, Draft, Extras, Identity, Inquiry, Member, Parting, Payload, Since, Text};

/// A dialect's own number for a command, given back with whatever comes of it. 0 where it does not care.
pub type Ticket = u64;

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// May this client be here, in `scope`? Comes back as `Connected` or `Refused`.
    /// `alias` is what its dialect calls the client there; `recovered` where it was let in before, lost its link and
    /// has come back to what it had.
    Connect { ticket: Ticket, scope: Arc<str>, alias: Option<Arc<str>>, credentials: Option<Payload>, recovered: bool },
    /// This client is no longer in `scope`, for the reason of these words. Nothing comes back.
    Depart { scope: Arc<str>, alias: Option<Arc<str>>, reason: &'static str, parting: Parting },
    /// The app has this client leave `scope`; its connection goes on. The machine is told by `Dismissed`.
    Dismiss { scope: Arc<str> },
    /// This client is now known as `identity`: the dialect has checked it. Comes back as `Connected`.
    Identify { ticket: Ticket, identity: Identity },
    /// Another token in place of the one that it came with. Comes back as `Accepted` or `Refused`.
    Renew { ticket: Ticket, token: Text },
    /// Comes back as `Subscribed` (and what it missed after that) or `Refused`.
    Subscribe(Subscribe),
    /// Comes back as `Unsubscribed`, also when it was not subscribed.
    Unsubscribe { ticket: Ticket, channel: Channel },
    /// Comes back as `Accepted` or `Refused`.
    Publish(Box<Publish>),
    /// Becomes a member of a channel's presence, or changes what it shows there. `Accepted` or `Refused`.
    Enter { ticket: Ticket, channel: Channel, member: Member },
    /// Is no longer that member. `Accepted`, also when it was none.
    Leave { ticket: Ticket, channel: Channel, key: Arc<str> },
    /// Who is there? Comes back as `Members` or `Refused`.
    Members { ticket: Ticket, channel: Channel },
    /// What is kept? Comes back as `History` or `Refused`. At most `most` messages.
    History { ticket: Ticket, channel: Channel, since: Since, most: usize },
    /// An event for the app itself, in no channel. Comes back as `Answered` or `Refused`.
    Call(Box<Call>),
    /// The app's answer to a call, given in its turn among other commands; without data there will be none. Comes back as
    /// `Answered`.
    Settle { ticket: Ticket, data: Option<Payload>, extras: Extras },
    /// The app asks clients, in its turn among other commands. Nothing comes back: the app hears what they answer.
    Ask(Box<Inquiry>),
    /// This client's answer to a message that `asks`; without data, nobody is here who could answer. Nothing comes back.
    /// `alias` is what its dialect calls the client that was asked.
    Answer { asks: u64, alias: Option<Arc<str>>, data: Option<Payload>, extras: Extras },
    /// Done on the app's word, which the dialect has seen and checked: a signature of its. Nobody is asked again, and only
    /// limits hold; but what only the app may say in a channel, no signature lets a client say. Comes back as what is inside does.
    Vouched(Box<Command>),
    /// This client's conversation ends.
    Close(Closing),
}

/// What a client says to the app itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub ticket: Ticket,
    pub scope: Arc<str>,
    /// What its dialect calls the client in this scope.
    pub alias: Option<Arc<str>>,
    pub name: Arc<str>,
    pub data: Payload,
    pub extras: Extras,
    /// The client waits for the answer.
    pub answer: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    pub ticket: Ticket,
    pub channel: Channel,
    pub since: Since,
    /// Enters the channel's presence in the same breath.
    pub member: Option<Member>,
    /// Wants to hear who comes and goes, and who is there.
    pub notices: bool,
    /// What shows a right to it, where the app is to judge.
    pub credentials: Option<Payload>,
}

impl Subscribe {
    pub fn to(channel: Channel) -> Subscribe {
        Subscribe { ticket: 0, channel, since: Since::Now, member: None, notices: false, credentials: None }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Publish {
    pub ticket: Ticket,
    pub audience: Audience,
    pub draft: Draft,
    /// The sender hears it too, where it is in the audience; a channel's policy may say otherwise.
    pub echo: bool,
}

/// Who is to hear a message: each client once, however many of the conditions it meets.
#[derive(Debug, Clone, PartialEq)]
pub enum Audience {
    /// The subscribers of a channel. The usual case: kept, numbered, in one order for all.
    Channel(Channel),
    /// The subscribers of any of `channels` and these `connections`, but for those of `except` and `but`.
    Several { channels: Vec<Channel>, connections: Vec<ConnectionId>, except: Vec<Channel>, but: Vec<ConnectionId> },
    /// One connection.
    Connection(ConnectionId),
    /// Every connection of one user.
    User(Arc<str>),
    /// Every connection.
    Everyone,
}
