//! The sections `[[realtime.pusher]]`: one app each.

use std::collections::HashSet;
use std::time::Duration;

use super::hook::Hook;
use super::key::AppKey;
use super::name;
use crate::realtime::door::ProtocolConfig;
use crate::realtime::hub::parts::Part;
use crate::realtime::hub::policy::{Allowed, Demand};
use crate::settings::{GivenSecret, Pattern, Section, Size, keywords};

/// All apps of Pusher Channels, in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// In the order of the file; the first shares the names of its channels with the other dialects. Default none: the
    /// dialect is not spoken.
    pub apps: Vec<AppConfig>,
}

impl ProtocolConfig for Config {
    /// No app: the dialect is not spoken.
    fn at(_hub: &str) -> Config {
        Config::default()
    }

    fn read(realtime: &Section, _hub: &str) -> Config {
        let mut config = Config::default();
        let (mut ids, mut keys, mut prefixes) = (HashSet::new(), HashSet::new(), HashSet::new());
        for section in realtime.sections("pusher") {
            let app = AppConfig::read(&section, config.apps.is_empty());
            if !ids.insert(app.id.clone()) {
                section.problem("id", format!("there are two apps with the id {:?}", app.id), None);
            }
            if !prefixes.insert(app.prefix.clone()) {
                section.problem("prefix", format!("two apps have the prefix {:?}", app.prefix), None);
            }
            for key in &app.keys {
                if !keys.insert(key.id().to_owned()) {
                    section.problem("key", format!("there are two keys {:?}", key.id()), None);
                }
            }
            config.apps.push(app);
        }
        config
    }

    /// Whose channels are whose, where there are several apps.
    fn parts(&self) -> Vec<Part> {
        if self.apps.len() > 1 { self.apps.iter().map(AppConfig::part).collect() } else { Vec::new() }
    }

    /// What the apps need of the hub's channels.
    fn demands(&self) -> Vec<Demand> {
        self.apps.iter().flat_map(AppConfig::demands).collect()
    }
}

/// One app, as Pusher has them: its keys, its limits, and which features it has.
#[derive(Debug, Clone, PartialEq)]
pub struct AppConfig {
    /// What the server library calls `appId`. No default.
    pub id: String,
    /// The first is the one that Doorway signs with; all of them are accepted. No default.
    pub keys: Vec<AppKey>,
    /// An app that is not enabled refuses clients with 4003. Default true.
    pub enabled: bool,
    /// What stands before the names of its channels in the hub. Default nothing for the first app, so that its channels
    /// are those that clients of other dialects name; the app's id and a slash for the others.
    pub prefix: String,
    /// Who signs for clients that want into private and presence channels. Default the app's own routes.
    pub auth: Auth,
    /// Whether clients may send events to each other. Default true.
    pub client_events: bool,
    /// Client events a second of one connection; more get error 4301. Default 10.
    pub client_event_rate: u32,
    /// Whether clients are told how many subscribe to a channel. Default false.
    pub subscription_counts: bool,
    /// A client that says nothing for this long is pinged. Whole seconds. Default 2 minutes.
    pub activity_timeout: Duration,
    /// How long after that it may stay silent. Default 30 s.
    pub pong_timeout: Duration,
    /// Clients connected at a time, of one address no more than it leaves free; 0: any number. Default 0.
    pub max_connections: usize,
    /// The longest data of one event. Default 10 KiB.
    pub max_event: Size,
    /// How many channels one event may be for. Default 100.
    pub max_event_channels: usize,
    /// How many events a batch may have. Default 10.
    pub max_batch: usize,
    /// Members of one presence channel. Default 100.
    pub max_members: usize,
    /// The longest `user_info` of a member. Default 2 KiB.
    pub max_member: Size,
    /// Users on one watchlist. Default 100.
    pub max_watchlist: usize,
    /// How long a cache channel remembers its last event. Default 30 minutes.
    pub cache_age: Duration,
    /// Who is told of what happens. Default nobody.
    pub webhooks: Vec<Hook>,
    /// How long a channel is empty, or a member gone, before that is told: a page reload is silent. Default 3 s.
    pub webhook_quiet: Duration,
    /// How long it is tried to deliver an event. Default 1 hour.
    pub webhook_deadline: Duration,
}

/// Who answers `/pusher/auth` and `/pusher/user-auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// The app.
    App,
    /// Doorway, for connections whose identity it knows.
    Doorway,
}

keywords!(Auth { "app" => App, "doorway" => Doorway });

impl AppConfig {
    /// The app of one section; the first of them is `is_first`.
    pub fn read(section: &Section, is_first: bool) -> AppConfig {
        let id: String = section.value("id", String::new());
        if id.is_empty() || !id.bytes().all(name::is_plain) {
            section.problem("id", "an app needs an id of letters, digits, - and _", Some("as in id = \"1\""));
        }
        let mut keys: Vec<AppKey> = read_key(section).into_iter().collect();
        keys.extend(section.sections("more_keys").iter().filter_map(read_key));
        let prefix = section.optional("prefix");
        let prefix = prefix.unwrap_or_else(|| if is_first { String::new() } else { format!("{id}/") });
        if prefix.len() > LONGEST_PREFIX || prefix.chars().any(char::is_control) {
            section.problem(
                "prefix",
                format!("a prefix has at most {LONGEST_PREFIX} characters that can be seen"),
                None,
            );
        }
        let config = AppConfig {
            id,
            keys,
            prefix,
            enabled: section.value("enabled", true),
            auth: section.value("auth", Auth::App),
            client_events: section.value("client_events", true),
            client_event_rate: section.value("client_event_rate", 10),
            subscription_counts: section.value("subscription_counts", false),
            activity_timeout: section.value("activity_timeout", Duration::from_secs(120)),
            pong_timeout: section.value("pong_timeout", Duration::from_secs(30)),
            max_connections: section.value("max_connections", 0),
            max_event: section.value("max_event", Size::kib(10)),
            max_event_channels: section.value("max_event_channels", 100),
            max_batch: section.value("max_batch", 10),
            max_members: section.value("max_members", 100),
            max_member: section.value("max_member", Size::kib(2)),
            max_watchlist: section.value("max_watchlist", 100),
            cache_age: section.value("cache_age", Duration::from_secs(1800)),
            webhooks: section.sections("webhooks").iter().filter_map(Hook::read).collect(),
            webhook_quiet: section.value("webhook_quiet", Duration::from_secs(3)),
            webhook_deadline: section.renamed("webhook_deadline", "webhook_patience", Duration::from_secs(3600)),
        };
        if config.activity_timeout < Duration::from_secs(1) {
            section.problem("activity_timeout", "clients count it in whole seconds: at least 1s", None);
        }
        config
    }

    /// How many clients may be connected.
    pub fn connections(&self) -> usize {
        if self.max_connections == 0 { usize::MAX } else { self.max_connections }
    }

    /// Which of the hub's channels are the app's.
    pub fn part(&self) -> Part {
        Part { prefix: self.prefix.as_str().into(), owner: format!("pusher:{}", self.id).into() }
    }

    /// What an app needs of the hub's channels: nobody hears a private one without the app's word, whatever they speak, and
    /// cache channels keep their last event.
    pub fn demands(&self) -> Vec<Demand> {
        let demand = |kind: &str| Demand {
            pattern: self.pattern(kind),
            least: Allowed::Anyone,
            history: 0,
            history_age: self.cache_age,
            max_members: 0,
        };
        let guarded = name::GUARDED_PREFIXES.iter().map(|kind| Demand { least: Allowed::Reserved, ..demand(kind) });
        let cached = name::CACHE_PREFIXES.iter().map(|kind| Demand { history: 1, ..demand(kind) });
        let presence = Demand { max_members: self.max_members, ..demand("presence-") };
        guarded.chain(cached).chain([presence]).collect()
    }

    /// The names of its channels of one kind, as the hub knows them.
    pub fn pattern(&self, kind: &str) -> Pattern {
        // A star in a prefix would stand for other apps' channels; none of its own has one.
        Pattern::new(&format!("{}{kind}*", self.prefix))
    }
}

const LONGEST_PREFIX: usize = 64;

/// The key that `section` gives in one of three ways.
fn read_key(section: &Section) -> Option<AppKey> {
    let id: String = section.value("key", String::new());
    if id.is_empty() || !id.bytes().all(name::is_plain) {
        section.problem("key", "an app needs a key of letters, digits, - and _", None);
    }
    let Some(GivenSecret { text: secret, .. }) = section.secret().ok()? else {
        let help = Some("give one of secret, secret_file and secret_env");
        section.problem("secret", "a key needs one secret", help);
        return None;
    };
    if secret.is_empty() {
        section.problem("secret", "a secret is not empty", None);
        return None;
    }
    Some(AppKey::new(&id, &secret))
}
