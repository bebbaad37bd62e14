//! What bounds a client, besides the channels' own policies: what it came with allows it so much, and for so long.

use std::sync::Arc;
use std::time::Instant;

use super::{Audience, Channel, Command, Refusal};
use crate::settings::Pattern;

/// Channels by their names.
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    /// `*` stands for any characters, also none.
    Glob(Pattern),
    /// By segments between colons, behind `prefix`: `*` alone any name that begins with no bracket, a last segment `*` any
    /// rest of one or more segments, another segment `*` exactly one; `[*]*` any name. Elsewhere `*` is a character.
    Segments { prefix: Arc<str>, pattern: Box<str> },
}

impl Resource {
    /// Whether `name` is one of those it stands for.
    pub fn fits(&self, name: &str) -> bool {
        match self {
            Resource::Glob(pattern) => pattern.fits(name),
            Resource::Segments { prefix, pattern } => {
                name.strip_prefix(&**prefix).is_some_and(|name| fits_segments(pattern, name))
            }
        }
    }
}

fn fits_segments(pattern: &str, name: &str) -> bool {
    if pattern == "[*]*" {
        return true;
    }
    // What is in brackets says more than a name does.
    let is_bracketed = |text: &str| text.starts_with('[');
    if is_bracketed(pattern) != is_bracketed(name) {
        return false;
    }
    if pattern == "*" {
        return true;
    }
    let (mut wanted, mut given) = (pattern.split(':').peekable(), name.split(':'));
    while let Some(want) = wanted.next() {
        let Some(given) = given.next() else { return false };
        match want {
            "*" if wanted.peek().is_none() => return true,
            "*" => {}
            want if want == given => {}
            _ => return false,
        }
    }
    given.next().is_none()
}

/// The channels that something may be done in; `None`: any.
pub type Resources = Option<Arc<[Resource]>>;

/// Given to a connection by whoever vouches for it. Policies hold besides; what the app does for a client is not bound.
#[derive(Debug, Clone, PartialEq)]
pub struct Rights {
    /// The channels it may hear, and whose members it may know.
    pub subscribe: Resources,
    /// The channels it may publish to.
    pub publish: Resources,
    /// The channels whose presence it may enter.
    pub enter: Resources,
    /// The channels whose past it may read.
    pub history: Resources,
    /// The channels of which it may know how many are there.
    pub look: Resources,
    /// Whose word they are.
    pub word: Word,
    /// When all of it is over; `None`: never.
    pub until: Option<Instant>,
}

/// On whose word a client has its rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// A token that anyone may have made who has the key: what belongs to a dialect, no list of it lets into.
    Bearer,
    /// A list that the app's own key has signed, for a dialect that asks nothing else: it lets into whatever it names.
    Signed,
    /// The app itself, by its key: within these rights it is the app.
    App,
}

impl Rights {
    /// Lets a command of the client pass.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`].
    pub fn permit(&self, command: &Command) -> Result<(), Refusal> {
        let is_permitted = match command {
            Command::Subscribe(wish) => {
                let may_hear = !wish.messages && !wish.notices || self.may_hear(&wish.channel);
                may_hear && (wish.member.is_none() || self.may_enter(&wish.channel))
            }
            Command::Enter { channel, .. } => self.may_enter(channel),
            Command::Members { channel, .. } => self.may_hear(channel),
            Command::History { channel, .. } => self.may_read(channel),
            Command::Publish(publish) => match &publish.audience {
                Audience::Channel(channel) => self.may_say(channel),
                Audience::Several { channels, connections, .. } => {
                    channels.iter().all(|channel| self.may_say(channel))
                        && (connections.is_empty() || self.publish.is_none())
                }
                Audience::Connection(_) | Audience::User(_) | Audience::Everyone => self.publish.is_none(),
            },
            Command::PublishSeveral(several) => self.may_say(&several.channel),
            // Whoever is in a namespace hears it.
            Command::Connect { scope, .. } => scope.is_empty() || allows(&self.subscribe, scope),
            _ => true,
        };
        if is_permitted { Ok(()) } else { Err(Refusal::Forbidden) }
    }

    /// Reserved channels are named by nobody but a dialect: it knows who may hear them.
    pub fn may_hear(&self, channel: &Channel) -> bool {
        channel.is_reserved() || allows(&self.subscribe, channel.as_str())
    }

    /// May it publish there?
    pub fn may_say(&self, channel: &Channel) -> bool {
        allows(&self.publish, channel.as_str())
    }

    /// May it be a member there?
    pub fn may_enter(&self, channel: &Channel) -> bool {
        channel.is_reserved() || allows(&self.enter, channel.as_str())
    }

    /// May it read what was said there?
    pub fn may_read(&self, channel: &Channel) -> bool {
        channel.is_reserved() || allows(&self.history, channel.as_str())
    }

    /// May it know how many are there?
    pub fn may_look(&self, channel: &Channel) -> bool {
        allows(&self.look, channel.as_str())
    }

    /// Whether a list lets it hear `channel`; where there is no list, none does.
    pub fn lists_to_hear(&self, channel: &Channel) -> bool {
        self.subscribe.is_some() && self.may_hear(channel)
    }

    /// Likewise for what it may say.
    pub fn lists_to_say(&self, channel: &Channel) -> bool {
        self.publish.is_some() && self.may_say(channel)
    }

    /// Likewise for where it may be a member.
    pub fn lists_to_enter(&self, channel: &Channel) -> bool {
        self.enter.is_some() && self.may_enter(channel)
    }

    /// Likewise for whose past it may read.
    pub fn lists_to_read(&self, channel: &Channel) -> bool {
        self.history.is_some() && self.may_read(channel)
    }
}

fn allows(resources: &Resources, name: &str) -> bool {
    resources.as_deref().is_none_or(|resources| resources.iter().any(|resource| resource.fits(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::vocabulary::{Draft, Member, Payload, Publish, Subscribe};

    fn globs(names: &[&str]) -> Resources {
        Some(names.iter().map(|name| Resource::Glob(Pattern::new(name))).collect())
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
        let hear = |name| rights.permit(&Command::Subscribe(Subscribe::to(channel(name)))).is_ok();
        assert_eq!((hear("room-7"), hear("lobby")), (true, false));
        let say = |audience| {
            let draft = Draft::new(Payload::Text("x".into()));
            rights.permit(&Command::Publish(Box::new(Publish { ticket: 0, audience, draft, echo: true }))).is_ok()
        };
        assert!(say(Audience::Channel(channel("room-1"))) && !say(Audience::Channel(channel("room-2"))));
        let several = |names: &[&str]| Audience::Several {
            channels: names.iter().map(|name| channel(name)).collect(),
            connections: Vec::new(),
            except: Vec::new(),
            but: Vec::new(),
        };
        assert!(say(several(&["room-1"])) && !say(several(&["room-1", "room-2"])) && !say(Audience::Everyone));
        assert!(rights.permit(&Command::Unsubscribe { ticket: 0, channel: channel("lobby") }).is_ok());
        let history = Command::History { ticket: 0, channel: channel("lobby"), since: Default::default(), most: 1 };
        assert!(rights.permit(&history).is_err());
        let connect = |scope: &str| Command::Connect {
            ticket: 0,
            scope: scope.into(),
            alias: None,
            credentials: None,
            recovered: false,
        };
        assert!(rights.permit(&connect("")).is_ok() && rights.permit(&connect("/")).is_err());
        let none = Rights { subscribe: globs(&[]), ..rights.clone() };
        assert!(none.permit(&connect("/")).is_err() && !none.lists_to_hear(&channel("/")));
        let any = Rights { subscribe: None, ..rights };
        assert!(any.permit(&connect("/")).is_ok() && !any.lists_to_hear(&channel("/")));
    }

    #[test]
    fn each_operation_has_its_own_right() {
        let hears = rights(globs(&["a"]), globs(&[]));
        let enters = Rights { subscribe: globs(&[]), history: globs(&[]), enter: globs(&["a"]), ..hears.clone() };
        let member = Member::new("ann");
        let enter = Command::Enter { ticket: 0, channel: channel("a"), member: member.clone() };
        let read = Command::History { ticket: 0, channel: channel("a"), since: Default::default(), most: 1 };
        let wish = |messages, member| Command::Subscribe(Subscribe { messages, member, ..Subscribe::to(channel("a")) });
        let permitted = |rights: &Rights, command: &Command| rights.permit(command).is_ok();
        assert!(permitted(&hears, &read) && permitted(&hears, &wish(true, None)) && permitted(&hears, &enter));
        assert!(permitted(&enters, &enter) && !permitted(&enters, &read) && !permitted(&enters, &wish(true, None)));
        assert!(permitted(&enters, &wish(false, Some(member.clone()))), "there, and hears nothing");
        let deaf = Rights { enter: globs(&[]), ..hears };
        assert!(!permitted(&deaf, &wish(true, Some(member))) && !permitted(&deaf, &enter));
    }

    #[test]
    fn segments_are_between_colons() {
        let fits = |pattern: &str, name: &str| {
            Resource::Segments { prefix: "2:".into(), pattern: pattern.into() }.fits(&format!("2:{name}"))
        };
        for (pattern, name) in [
            ("*", "a"),
            ("*", "a:b"),
            ("a", "a"),
            ("a:*", "a:b"),
            ("a:*", "a:b:c"),
            ("a:*:c", "a:x:c"),
            ("*:b", "x:b"),
            ("foo*", "foo*"),
            ("[*]*", "[meta]x"),
            ("[*]*", "a"),
            ("[meta]*", "[meta]*"),
            ("a:*:*", "a:b:c:d"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*", "[meta]x"),
            ("a", "a:b"),
            ("a:*", "a"),
            ("a:*:c", "a:x:y:c"),
            ("foo*", "foobar"),
            ("*:b", "x:y:b"),
            ("a:*:c", "a:x"),
            ("a:b", "a"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
        assert!(!Resource::Segments { prefix: "2:".into(), pattern: "*".into() }.fits("a"), "another app's");
    }
}
