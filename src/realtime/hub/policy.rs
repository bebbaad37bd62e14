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

/// The policy of a channel: who may do what there, and what is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Default anyone.
    pub subscribe: Allowed,
    /// Default anyone.
    pub publish: Allowed,
    /// Messages kept; 0: none. Default 0.
    pub history: usize,
    /// For how long they are kept. Default 5 minutes.
    pub history_age: Duration,
    /// True if what was said may be changed later, and annotated. Default false.
    pub mutable: bool,
    /// The members of its presence. Default: clients that ask for it.
    pub presence: MemberLimit,
    /// The time before a gone member is announced: a page reload is silent. Default 5 s.
    pub presence_grace: Duration,
    /// True if joins and leaves are sent to clients that want them. Default true.
    pub notices: bool,
    /// True if a sender hears its own messages; `None`: as the client asks. Default `None`.
    pub echo: Option<bool>,
    /// The longest message. Default 1 MiB.
    pub max_message: Size,
    /// How many may be there.
    pub crowd: Crowd,
    /// Messages a second that one connection may publish; 0: any number. Default 0.
    pub publish_rate: u32,
    /// The fate of a client that reads too slowly. Default disconnect.
    pub slow: Slow,
    /// Of a namespace: what those may who are there by their dialect. Default none: it is no namespace.
    pub within: Option<Within>,
}

/// The most that a channel takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crowd {
    /// Subscribers, at most; 0: any number. Default 0.
    pub max_subscribers: usize,
    /// Members of its presence, at most; 0: any number. Default 0.
    pub max_members: usize,
}

/// The rights of a client in a namespace that its protocol has admitted it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within {
    pub subscribe: Allowed,
    pub publish: Allowed,
}

/// The clients allowed to do a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    Anyone,
    /// Clients that the app, a token or a signature has named.
    Identified,
    /// Only the app: its consent to what a client asks for does not make it the client's.
    App,
    /// Whom the app lets in, by its consent or a token's list: where no section says anything, and there is an app to say
    /// it. In no file.
    Admitted,
    /// Likewise, but no token's list lets in: names that belong to a dialect. In no file.
    Reserved,
}

keywords!(Allowed { "anyone" => Anyone, "identified" => Identified, "app" => App });

/// The clients that are members of a channel's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberLimit {
    /// Nobody: there is none.
    Off,
    /// Whom its client enters.
    Asked,
    /// Every subscriber: as its user, or else as its connection.
    All,
}

keywords!(MemberLimit { "off" => Off, "asked" => Asked, "all" => All });

impl Default for Policy {
    fn default() -> Self {
        Policy {
            subscribe: Allowed::Anyone,
            publish: Allowed::Anyone,
            history: 0,
            history_age: Duration::from_secs(300),
            mutable: false,
            presence: MemberLimit::Asked,
            presence_grace: Duration::from_secs(5),
            notices: true,
            echo: None,
            max_message: Size::mib(1),
            crowd: Crowd::default(),
            publish_rate: 0,
            slow: Slow::Disconnect,
            within: None,
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
            mutable: section.value("mutable", default.mutable),
            presence: section.value("presence", default.presence),
            presence_grace: section.value("presence_grace", default.presence_grace),
            notices: section.value("notices", default.notices),
            echo: section.optional("echo"),
            max_message: section.value("max_message", default.max_message),
            crowd: Crowd {
                max_subscribers: section.value("max_subscribers", default.crowd.max_subscribers),
                max_members: section.value("max_members", default.crowd.max_members),
            },
            publish_rate: section.value("publish_rate", default.publish_rate),
            slow: section.value("slow", default.slow),
            within: None,
        };
        Rule { patterns, policy }
    }

    fn fits(&self, channel: &Channel) -> bool {
        self.patterns.iter().any(|pattern| pattern.fits(channel.as_str()))
    }

    /// True if the rule means `channel` as a namespace, and not as one of any names.
    fn names_space(&self, channel: &Channel) -> bool {
        self.patterns.iter().any(|pattern| pattern.as_str().starts_with(SPACE_SIGN) && pattern.fits(channel.as_str()))
    }
}

/// The first character of a namespace's name, and the one before a room's name in it.
const SPACE_SIGN: char = '/';
const ROOM_SIGN: char = '#';

/// A protocol's demand on its own channels, on top of whatever rule fits them.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    pub pattern: Pattern,
    /// The clients allowed to do what the rule leaves to anyone, or to those whom the app admits.
    pub least: Allowed,
    /// The least history: messages, and for how long.
    pub history: usize,
    pub history_age: Duration,
    /// Members at most, where the rule does not say; 0: any number.
    pub max_members: usize,
}

impl Demand {
    fn apply(&self, policy: &mut Policy) {
        for allowed in [&mut policy.subscribe, &mut policy.publish] {
            let is_open = *allowed == Allowed::Anyone;
            if is_open || (*allowed == Allowed::Admitted && self.least == Allowed::Reserved) {
                *allowed = self.least;
            }
        }
        if policy.history < self.history {
            (policy.history, policy.history_age) = (self.history, self.history_age);
        }
        if policy.crowd.max_members == 0 {
            policy.crowd.max_members = self.max_members;
        }
    }
}

/// The policy of `channel`: the first rule that fits, else the default; then all demands that fit. Reserved channels
/// have neither. `is_apps`: a channel that no rule names is the app's.
pub fn policy(rules: &[Rule], demands: &[Demand], is_apps: bool, channel: &Channel) -> Policy {
    if channel.is_reserved() {
        return Policy::default();
    }
    let rule = rules.iter().find(|rule| rule.fits(channel));
    let mut policy = match rule {
        Some(rule) => rule.policy.clone(),
        None => Policy::unnamed(is_apps),
    };
    if channel.as_str().starts_with(SPACE_SIGN) {
        policy.reserve(channel, rule);
    }
    for demand in demands.iter().filter(|demand| demand.pattern.fits(channel.as_str())) {
        demand.apply(&mut policy);
    }
    policy
}

/// True if no rule speaks of `channel`.
pub fn is_unnamed(rules: &[Rule], channel: &Channel) -> bool {
    !rules.iter().any(|rule| rule.fits(channel))
}

impl Policy {
    fn unnamed(is_apps: bool) -> Policy {
        let allowed = if is_apps { Allowed::Admitted } else { Allowed::Anyone };
        Policy { subscribe: allowed, publish: allowed, ..Policy::default() }
    }

    /// Keeps a namespace to those who are in it by their dialect, which has asked for them: a rule for any names does not
    /// mean it, and only one that says so opens it to others.
    fn reserve(&mut self, channel: &Channel, rule: Option<&Rule>) {
        let is_meant = rule.is_some_and(|rule| rule.names_space(channel));
        let is_whole = !channel.as_str().contains(ROOM_SIGN);
        let hears = match self.subscribe {
            // Who is in a namespace hears it.
            Allowed::App | Allowed::Admitted if is_whole && !is_meant => Allowed::Anyone,
            subscribe => subscribe,
        };
        self.within = Some(Within { subscribe: hears, publish: self.publish });
        for allowed in [&mut self.subscribe, &mut self.publish] {
            if *allowed != Allowed::App && (!is_meant || *allowed == Allowed::Anyone) {
                *allowed = Allowed::Reserved;
            }
        }
    }
}

/// Which channels are open to anyone, a line each; none where none is.
pub fn open(rules: &[Rule], is_apps: bool) -> Vec<String> {
    let what = |policy: &Policy| match (policy.subscribe == Allowed::Anyone, policy.publish == Allowed::Anyone) {
        (true, true) => Some("anyone may hear and speak"),
        (true, false) => Some("anyone may hear"),
        (false, true) => Some("anyone may speak"),
        (false, false) => None,
    };
    let named = rules.iter().filter_map(|rule| {
        let names: Vec<String> = rule.patterns.iter().map(|pattern| format!("{:?}", pattern.as_str())).collect();
        what(&rule.policy).map(|what| format!("{what} in channels {}", names.join(", ")))
    });
    let others = what(&Policy::unnamed(is_apps));
    let others = others.map(|what| format!("{what} in every channel that no [[realtime.channel]] names"));
    named.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(names: &[&str], subscribe: Allowed, publish: Allowed) -> Rule {
        let patterns = names.iter().map(|name| Pattern::new(name)).collect();
        Rule { patterns, policy: Policy { subscribe, publish, ..Policy::default() } }
    }

    fn of(rules: &[Rule], is_apps: bool, name: &str) -> (Allowed, Allowed, Option<(Allowed, Allowed)>) {
        let policy = policy(rules, &[], is_apps, &Channel::new(name).unwrap());
        let within = policy.within.map(|within| (within.subscribe, within.publish));
        (policy.subscribe, policy.publish, within)
    }

    #[test]
    fn what_no_section_names_is_the_apps_where_there_is_one_to_ask() {
        use Allowed::{Admitted, Anyone, App};
        assert_eq!(of(&[], false, "lobby"), (Anyone, Anyone, None));
        assert_eq!(of(&[], true, "lobby"), (Admitted, Admitted, None));
        let rules = [rule(&["lobby"], Anyone, App)];
        assert_eq!(of(&rules, true, "lobby"), (Anyone, App, None));
        assert_eq!(of(&rules, true, "room"), (Admitted, Admitted, None));
    }

    #[test]
    fn namespaces_are_for_those_who_are_in_them() {
        use Allowed::{Admitted, Anyone, App, Identified, Reserved};
        assert_eq!(of(&[], false, "/admin"), (Reserved, Reserved, Some((Anyone, Anyone))));
        assert_eq!(of(&[], true, "/admin"), (Reserved, Reserved, Some((Anyone, Admitted))));
        assert_eq!(of(&[], true, "/admin#x"), (Reserved, Reserved, Some((Admitted, Admitted))));
        let all = |allowed| [rule(&["*"], allowed, allowed)];
        assert_eq!(of(&all(App), true, "/"), (App, App, Some((Anyone, App))));
        assert_eq!(of(&all(App), true, "/#x"), (App, App, Some((App, App))));
        assert_eq!(of(&all(Identified), true, "/"), (Reserved, Reserved, Some((Identified, Identified))));
        assert_eq!(of(&all(Anyone), true, "/"), (Reserved, Reserved, Some((Anyone, Anyone))));
        let named = |allowed| [rule(&["*", "/admin"], allowed, allowed)];
        assert_eq!(of(&named(Identified), true, "/admin").0, Identified);
        assert_eq!(of(&named(Identified), true, "/other").0, Reserved);
        assert_eq!(of(&named(Anyone), true, "/admin").0, Reserved, "an omitted word opens nothing");
        assert_eq!(of(&named(App), true, "/admin").2, Some((App, App)));
    }
}
