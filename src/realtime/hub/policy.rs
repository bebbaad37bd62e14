//! What may be done in a channel, and how it behaves: `[[realtime.channel]]`, by patterns of names.

use std::time::Duration;

use super::outbox::Slow;
use crate::realtime::broker::memory::Keep;
use crate::realtime::vocabulary::Channel;
use crate::settings::{Pattern, Section, Size, keywords};

/// The policy of all channels whose names fit one of `patterns`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub patterns: Vec<Pattern>,
    pub policy: Policy,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Default anyone.
    pub subscribe: Allowed,
    /// Default anyone.
    pub publish: Allowed,
    /// How many messages are kept; 0: none. Default 0.
    pub history: usize,
    /// For how long they are kept. Default 5 minutes.
    pub history_age: Duration,
    /// Who is a member of its presence. Default those whose client asks for it.
    pub presence: Members,
    /// How long a member may be gone before that is said: a page reload is silent. Default 5 s.
    pub presence_grace: Duration,
    /// Whether members' joining and leaving is told to clients that want to know. Default true.
    pub notices: bool,
    /// Whether a sender hears its own messages; `None`: as its client asks. Default none.
    pub echo: Option<bool>,
    /// The longest message. Default 1 MiB.
    pub max_message: Size,
    /// How many connections may subscribe; 0: any number. Default 0.
    pub max_subscribers: usize,
    /// How many members its presence may have; 0: any number. Default 0.
    pub max_members: usize,
    /// Messages a second that one connection may publish; 0: any number. Default 0.
    pub publish_rate: u32,
    /// What happens to a client that reads too slowly. Default disconnect.
    pub slow: Slow,
}

/// Who may do a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    Anyone,
    /// Clients that the app, a token or a signature has named.
    Identified,
    /// Only the app.
    App,
}

keywords!(Allowed { "anyone" => Anyone, "identified" => Identified, "app" => App });

/// Who is a member of a channel's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Members {
    /// Nobody: there is none.
    Off,
    /// Whom its client enters.
    Asked,
    /// Every subscriber: as its user, or else as its connection.
    All,
}

keywords!(Members { "off" => Off, "asked" => Asked, "all" => All });

impl Default for Policy {
    fn default() -> Self {
        Policy {
            subscribe: Allowed::Anyone,
            publish: Allowed::Anyone,
            history: 0,
            history_age: Duration::from_secs(300),
            presence: Members::Asked,
            presence_grace: Duration::from_secs(5),
            notices: true,
            echo: None,
            max_message: Size::mib(1),
            max_subscribers: 0,
            max_members: 0,
            publish_rate: 0,
            slow: Slow::Disconnect,
        }
    }
}

impl Policy {
    pub fn keep(&self) -> Keep {
        Keep { messages: self.history, age: self.history_age }
    }
}

impl Rule {
    pub fn read(section: &Section) -> Rule {
        let default = Policy::default();
        let patterns: Vec<Pattern> = section.value("match", Vec::new());
        if patterns.is_empty() && !section.has("match") {
            section.problem("match", "a channel section needs names", Some("as in match = \"room-*\""));
        }
        let policy = Policy {
            subscribe: section.value("subscribe", default.subscribe),
            publish: section.value("publish", default.publish),
            history: section.value("history", default.history),
            history_age: section.value("history_age", default.history_age),
            presence: section.value("presence", default.presence),
            presence_grace: section.value("presence_grace", default.presence_grace),
            notices: section.value("notices", default.notices),
            echo: section.optional("echo"),
            max_message: section.value("max_message", default.max_message),
            max_subscribers: section.value("max_subscribers", default.max_subscribers),
            max_members: section.value("max_members", default.max_members),
            publish_rate: section.value("publish_rate", default.publish_rate),
            slow: section.value("slow", default.slow),
        };
        Rule { patterns, policy }
    }

    fn fits(&self, channel: &Channel) -> bool {
        self.patterns.iter().any(|pattern| pattern.fits(channel.as_str()))
    }
}

/// What a dialect needs of its own channels, on top of whatever rule fits them.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    pub pattern: Pattern,
    /// Who may do there what the rule leaves to anyone.
    pub least: Allowed,
    /// It keeps at least so many messages, for so long.
    pub history: usize,
    pub history_age: Duration,
    /// Members at most, where the rule does not say; 0: any number.
    pub max_members: usize,
}

impl Demand {
    fn apply(&self, policy: &mut Policy) {
        for allowed in [&mut policy.subscribe, &mut policy.publish] {
            if *allowed == Allowed::Anyone {
                *allowed = self.least;
            }
        }
        if policy.history < self.history {
            (policy.history, policy.history_age) = (self.history, self.history_age);
        }
        if policy.max_members == 0 {
            policy.max_members = self.max_members;
        }
    }
}

/// The policy of `channel`: the first rule that fits, else the default; then all demands that fit. Reserved channels
/// have neither.
pub fn policy(rules: &[Rule], demands: &[Demand], channel: &Channel) -> Policy {
    if channel.is_reserved() {
        return Policy::default();
    }
    let mut policy = rules.iter().find(|rule| rule.fits(channel)).map(|rule| rule.policy.clone()).unwrap_or_default();
    for demand in demands.iter().filter(|demand| demand.pattern.fits(channel.as_str())) {
        demand.apply(&mut policy);
    }
    policy
}
