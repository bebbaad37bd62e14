//! What bounds a client, besides the channels' own policies: what it came with allows it so much, and for so long.

use std::sync::Arc;
use std::time::Instant;

use super::Channel;
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

/// The channels that something may be done in; `None`: any. One word long: many clients have five of them.
pub type Resources = Option<Arc<Vec<Resource>>>;

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

/// Whether `name` is one of those that `resources` stand for.
pub fn allows(resources: &Resources, name: &str) -> bool {
    resources.as_deref().is_none_or(|resources| resources.iter().any(|resource| resource.fits(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

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
