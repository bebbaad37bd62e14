//! What bounds a client, besides the channels' own policies: what it came with allows it so much, and for so long.

use std::sync::Arc;
use std::time::Instant;

use super::{Audience, Channel, Command, Refusal};
use crate::settings::Pattern;

/// Given to a connection by whoever vouches for it. Policies hold besides; what the app does for a client is not bound.
#[derive(Debug, Clone, PartialEq)]
pub struct Rights {
    /// The channels it may hear, enter and look at; `None`: any.
    pub subscribe: Option<Arc<[Pattern]>>,
    /// The channels it may publish to; `None`: any.
    pub publish: Option<Arc<[Pattern]>>,
    /// When all of it is over.
    pub until: Instant,
}

impl Rights {
    /// Lets a command of the client pass.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`].
    pub fn permit(&self, command: &Command) -> Result<(), Refusal> {
        let is_permitted = match command {
            Command::Subscribe(wish) => self.may_hear(&wish.channel),
            Command::Enter { channel, .. } | Command::Members { channel, .. } | Command::History { channel, .. } => {
                self.may_hear(channel)
            }
            Command::Publish(publish) => match &publish.audience {
                Audience::Channel(channel) => self.may_say(channel),
                Audience::Several { channels, connections, .. } => {
                    channels.iter().all(|channel| self.may_say(channel))
                        && (connections.is_empty() || self.publish.is_none())
                }
                Audience::Connection(_) | Audience::User(_) | Audience::Everyone => self.publish.is_none(),
            },
            // Whoever is in a namespace hears it.
            Command::Connect { scope, .. } => scope.is_empty() || allows(self.subscribe.as_deref(), scope),
            _ => true,
        };
        if is_permitted { Ok(()) } else { Err(Refusal::Forbidden) }
    }

    /// Reserved channels are named by nobody but a dialect: it knows who may hear them.
    pub fn may_hear(&self, channel: &Channel) -> bool {
        channel.is_reserved() || allows(self.subscribe.as_deref(), channel.as_str())
    }

    pub fn may_say(&self, channel: &Channel) -> bool {
        allows(self.publish.as_deref(), channel.as_str())
    }

    /// Whether a list lets it hear `channel`; where there is no list, none does.
    pub fn lists_to_hear(&self, channel: &Channel) -> bool {
        self.subscribe.is_some() && self.may_hear(channel)
    }

    /// Likewise for what it may say.
    pub fn lists_to_say(&self, channel: &Channel) -> bool {
        self.publish.is_some() && self.may_say(channel)
    }
}

fn allows(patterns: Option<&[Pattern]>, name: &str) -> bool {
    patterns.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.fits(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::vocabulary::{Draft, Payload, Publish, Subscribe};

    #[test]
    fn only_what_is_granted_is_permitted() {
        let patterns = |names: &[&str]| Some(names.iter().map(|name| Pattern::new(name)).collect());
        let rights = Rights { subscribe: patterns(&["room-*"]), publish: patterns(&["room-1"]), until: Instant::now() };
        let channel = |name: &str| Channel::new(name).unwrap();
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
        let none = Rights { subscribe: patterns(&[]), ..rights.clone() };
        assert!(none.permit(&connect("/")).is_err() && !none.lists_to_hear(&channel("/")));
        let any = Rights { subscribe: None, ..rights };
        assert!(any.permit(&connect("/")).is_ok() && !any.lists_to_hear(&channel("/")));
    }
}
