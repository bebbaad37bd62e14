//! What a client (or the app on its behalf) wants done.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Channel, DisconnectReason, Extras, Identity, Inquiry, LeaveKind, Member, Payload, Publish, PublishSeveral, Ref,
    Rights, Rpc, Since, Subscribe, Text,
};

/// A command of one client to the hub, in no dialect's words.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// May this client be here, in `scope`? Comes back as `Connected` or `Refused`.
    /// `alias` is what its dialect calls the client there; `recovered` where it was let in before, lost its link and
    /// has come back to what it had.
    Connect { ticket: Ref, scope: Arc<str>, alias: Option<Arc<str>>, credentials: Option<Payload>, recovered: bool },
    /// This client is no longer in `scope`, for the reason of these words. Nothing comes back.
    Left { scope: Arc<str>, alias: Option<Arc<str>>, reason: &'static str, kind: LeaveKind },
    /// The app has this client leave `scope`; its connection goes on. The machine is told by `Kicked`.
    Kick { scope: Arc<str> },
    /// This client is now known as `identity`: the dialect has checked it. Comes back as `Connected`.
    Identify { ticket: Ref, identity: Identity },
    /// Another token in place of the one that it came with. Comes back as `Accepted` or `Refused`.
    RefreshToken { ticket: Ref, token: Text },
    /// Comes back as `Subscribed` (and what it missed after that) or `Refused`.
    Subscribe(Subscribe),
    /// Comes back as `Unsubscribed`, also when it was not subscribed.
    Unsubscribe { ticket: Ref, channel: Channel },
    /// Comes back as `Accepted` or `Refused`.
    Publish(Box<Publish>),
    /// Comes back as `Published` or `Refused`.
    PublishSeveral(Box<PublishSeveral>),
    /// The dialect has seen what the client may do from now on, and when it expires. Nothing comes back.
    Grant(Box<Rights>),
    /// How long its memberships outlast the connection, in place of what the channels' policies say. Nothing comes back.
    SetGrace(Duration),
    /// Becomes a member of a channel's presence, or changes what it shows there. `Accepted` or `Refused`.
    Enter { ticket: Ref, channel: Channel, member: Member },
    /// Is no longer that member. `Accepted`, also when it was none.
    /// `parting` is what the member shows as it goes, where that is something else than before.
    Leave { ticket: Ref, channel: Channel, key: Arc<str>, parting: Option<Box<Member>> },
    /// Who is there? Comes back as `Members` or `Refused`.
    Members { ticket: Ref, channel: Channel },
    /// What is kept? Comes back as `History` or `Refused`. At most `most` messages.
    History { ticket: Ref, channel: Channel, since: Since, most: usize },
    /// An event for the app itself, in no channel. Comes back as `Answered` or `Refused`.
    Rpc(Box<Rpc>),
    /// The app's answer to a call, given in its turn among other commands; without data there will be none. Comes back as
    /// `Answered`.
    Acknowledge { ticket: Ref, data: Option<Payload>, extras: Extras },
    /// The app asks clients, in its turn among other commands. Nothing comes back: the app hears what they answer.
    Ask(Box<Inquiry>),
    /// This client's answer to a message that `asks`; without data, nobody is here who could answer. Nothing comes back.
    /// `alias` is what its dialect calls the client that was asked.
    Answer { asks: u64, alias: Option<Arc<str>>, data: Option<Payload>, extras: Extras },
    /// Done on the app's word, which the dialect has seen and checked: a signature of its. Nobody is asked again, and only
    /// limits hold; but what only the app may say in a channel, no signature lets a client say. Comes back as what is inside does.
    Authorized(Box<Command>),
    /// This client's conversation ends.
    Close(DisconnectReason),
}
