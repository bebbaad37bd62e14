//! What a client (or the app on its behalf) wants done.

use std::sync::Arc;
use std::time::Duration;

use super::rights::allows;
use super::{
    Audience, Channel, DisconnectReason, Edit, Extras, Fetch, Identity, Inquiry, LeaveKind, Member, Payload, Publish,
    PublishSeveral, Ref, Refusal, Rights, Rpc, Signal, Since, Subscribe, Text,
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
    /// Changes a channel's documents. What comes of it is in the channel's order: `Edited` to all who edit there, to the
    /// author too; or `Refused`.
    Edit(Box<Edit>),
    /// Wants to know a document. Comes back as `Document`, in the channel's order, or `Refused`.
    Fetch(Box<Fetch>),
    /// Shows something of itself to others who edit in a channel. Nothing comes back but `Refused`.
    Signal(Box<Signal>),
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

impl Command {
    /// Its dialect's number for it.
    pub fn ticket(&self) -> Ref {
        match self {
            Command::Connect { ticket, .. }
            | Command::Identify { ticket, .. }
            | Command::RefreshToken { ticket, .. }
            | Command::Unsubscribe { ticket, .. }
            | Command::Enter { ticket, .. }
            | Command::Leave { ticket, .. }
            | Command::Members { ticket, .. }
            | Command::History { ticket, .. }
            | Command::Acknowledge { ticket, .. } => *ticket,
            Command::Rpc(call) => call.ticket,
            Command::Subscribe(subscribe) => subscribe.ticket,
            Command::Publish(publish) => publish.ticket,
            Command::PublishSeveral(several) => several.ticket,
            Command::Edit(edit) => edit.ticket,
            Command::Fetch(fetch) => fetch.ticket,
            Command::Signal(signal) => signal.ticket,
            Command::Authorized(command) => command.ticket(),
            Command::Answer { .. } | Command::Ask(_) | Command::Left { .. } | Command::Kick { .. } => 0,
            Command::Close(_) | Command::Grant(_) | Command::SetGrace(_) => 0,
        }
    }

    /// The channel that it is about, if it is about one.
    pub fn channel(&self) -> Option<&Channel> {
        match self {
            Command::Subscribe(subscribe) => Some(&subscribe.channel),
            Command::Unsubscribe { channel, .. }
            | Command::Enter { channel, .. }
            | Command::Leave { channel, .. }
            | Command::Members { channel, .. }
            | Command::History { channel, .. } => Some(channel),
            Command::Publish(publish) => match &publish.audience {
                Audience::Channel(channel) => Some(channel),
                _ => None,
            },
            Command::PublishSeveral(several) => Some(&several.channel),
            Command::Edit(edit) => Some(&edit.channel),
            Command::Fetch(fetch) => Some(&fetch.channel),
            Command::Signal(signal) => Some(&signal.channel),
            Command::Authorized(command) => command.channel(),
            _ => None,
        }
    }

    /// Lets the command pass where these `rights` allow it.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`].
    pub fn permitted_by(&self, rights: &Rights) -> Result<(), Refusal> {
        let is_permitted = match self {
            Command::Subscribe(wish) => {
                let may_hear = !wish.messages && !wish.notices || rights.may_hear(&wish.channel);
                may_hear && (wish.member.is_none() || rights.may_enter(&wish.channel))
            }
            Command::Enter { channel, .. } => rights.may_enter(channel),
            Command::Members { channel, .. } => rights.may_hear(channel),
            Command::History { channel, .. } => rights.may_read(channel),
            Command::Publish(publish) => match &publish.audience {
                Audience::Channel(channel) => rights.may_say(channel),
                Audience::Several { channels, connections, .. } => {
                    channels.iter().all(|channel| rights.may_say(channel))
                        && (connections.is_empty() || rights.publish.is_none())
                }
                Audience::Connection(_) | Audience::User(_) | Audience::Everyone => rights.publish.is_none(),
            },
            Command::PublishSeveral(several) => rights.may_say(&several.channel),
            Command::Edit(edit) => rights.may_say(&edit.channel),
            Command::Fetch(fetch) => rights.may_hear(&fetch.channel),
            Command::Signal(signal) => rights.may_hear(&signal.channel),
            // Whoever is in a namespace hears it.
            Command::Connect { scope, .. } => scope.is_empty() || allows(&rights.subscribe, scope),
            _ => true,
        };
        if is_permitted { Ok(()) } else { Err(Refusal::Forbidden) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::realtime::vocabulary::{Draft, Resource, Resources, Word};
    use crate::settings::Pattern;

    fn globs(names: &[&str]) -> Resources {
        Some(Arc::new(names.iter().map(|name| Resource::Glob(Pattern::new(name))).collect()))
    }

    fn rights(subscribe: Resources, publish: Resources) -> Rights {
        let (enter, history) = (subscribe.clone(), subscribe.clone());
        Rights { subscribe, publish, enter, history, look: None, word: Word::Bearer, until: None }
    }

    fn channel(name: &str) -> Channel {
        Channel::new(name).unwrap()
    }

    #[test]
    fn only_what_is_granted_is_permitted() {
        let rights = rights(globs(&["room-*"]), globs(&["room-1"]));
        let hear = |name| Command::Subscribe(Subscribe::to(channel(name))).permitted_by(&rights).is_ok();
        assert_eq!((hear("room-7"), hear("lobby")), (true, false));
        let say = |audience| {
            let draft = Draft::new(Payload::Text("x".into()));
            Command::Publish(Box::new(Publish { ticket: 0, audience, draft, echo: true })).permitted_by(&rights).is_ok()
        };
        assert!(say(Audience::Channel(channel("room-1"))) && !say(Audience::Channel(channel("room-2"))));
        let several = |names: &[&str]| Audience::Several {
            channels: names.iter().map(|name| channel(name)).collect(),
            connections: Vec::new(),
            except: Vec::new(),
            but: Vec::new(),
        };
        assert!(say(several(&["room-1"])) && !say(several(&["room-1", "room-2"])) && !say(Audience::Everyone));
        assert!(Command::Unsubscribe { ticket: 0, channel: channel("lobby") }.permitted_by(&rights).is_ok());
        let history = Command::History { ticket: 0, channel: channel("lobby"), since: Default::default(), most: 1 };
        assert!(history.permitted_by(&rights).is_err());
        let connect = |scope: &str| Command::Connect {
            ticket: 0,
            scope: scope.into(),
            alias: None,
            credentials: None,
            recovered: false,
        };
        assert!(connect("").permitted_by(&rights).is_ok() && connect("/").permitted_by(&rights).is_err());
        let none = Rights { subscribe: globs(&[]), ..rights.clone() };
        assert!(connect("/").permitted_by(&none).is_err() && !none.lists_to_hear(&channel("/")));
        let any = Rights { subscribe: None, ..rights };
        assert!(connect("/").permitted_by(&any).is_ok() && !any.lists_to_hear(&channel("/")));
    }

    #[test]
    fn each_operation_has_its_own_right() {
        let hears = rights(globs(&["a"]), globs(&[]));
        let enters = Rights { subscribe: globs(&[]), history: globs(&[]), enter: globs(&["a"]), ..hears.clone() };
        let member = Member::new("ann");
        let enter = Command::Enter { ticket: 0, channel: channel("a"), member: member.clone() };
        let read = Command::History { ticket: 0, channel: channel("a"), since: Default::default(), most: 1 };
        let wish = |messages, member| Command::Subscribe(Subscribe { messages, member, ..Subscribe::to(channel("a")) });
        let permitted = |rights: &Rights, command: &Command| command.permitted_by(rights).is_ok();
        assert!(permitted(&hears, &read) && permitted(&hears, &wish(true, None)) && permitted(&hears, &enter));
        assert!(permitted(&enters, &enter) && !permitted(&enters, &read) && !permitted(&enters, &wish(true, None)));
        assert!(permitted(&enters, &wish(false, Some(member.clone()))), "there, and hears nothing");
        let deaf = Rights { enter: globs(&[]), ..hears };
        assert!(!permitted(&deaf, &wish(true, Some(member))) && !permitted(&deaf, &enter));
    }
}
