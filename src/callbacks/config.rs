//! The section `[callbacks]`.

use std::sync::LazyLock;
use std::time::Duration;

use http::HeaderName;

use super::callback::EventKind;
use super::remote::Remote;
use super::signature::Secret;
use crate::settings::{self, GivenSecret, Pattern, Section, Size};

/// The section `[callbacks]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What the app is asked about. Default nothing: the hub does it all alone.
    pub events: Vec<EventKind>,
    /// The app's route that answers, with the app's base path. Nobody outside reaches it. Default: the hub's own path,
    /// `app/api/ws/route.ts`.
    pub path: Option<String>,
    /// Where an app elsewhere answers, in place of the one behind the door. No default.
    pub url: Option<Remote>,
    /// For which channels it is asked about `subscribe` and `message`; `*` stands for any characters. Default `["*"]`.
    pub channels: Vec<Pattern>,
    /// Headers of the upgrade that go along besides `Cookie` and `Authorization`. Default none.
    pub headers: Vec<HeaderName>,
    /// Signs every callback. Default: `DOORWAY_WEBHOOK_SECRET`, else one made at every start, which only an app that
    /// Doorway itself starts gets to know.
    pub secret: Option<Secret>,
    /// For one attempt. Default 5 s.
    pub timeout: Duration,
    /// How often a callback is asked while the app is away, before it counts as unanswered. Default 8.
    pub attempts: u32,
    /// Between the first attempt and the second; twice as long each time after. Default 100 ms.
    pub first_pause: Duration,
    /// How long a client that wants in, or into a channel, waits for the app in all. Default 10 s.
    pub admission_deadline: Duration,
    /// How long a message waits for the app in all, while it restarts say. Default 30 s.
    pub message_deadline: Duration,
    /// How long the news that a client is gone is kept for the app. Default 10 min.
    pub disconnect_deadline: Duration,
    /// Callbacks under way at once, at most half of them about clients of one address. Default 64.
    pub concurrency: usize,
    /// Callbacks waiting at once, at most half of them of one address; one more is refused. Default 10,000.
    pub max_waiting: usize,
    /// The longest answer that is read. Default 1 MiB.
    pub max_answer: Size,
    /// So many failures to reach the app in a row, and it is left alone for `breaker_pause`; callbacks that it has and
    /// does not answer count once for each address. Default 20.
    pub breaker_failures: u32,
    /// Default 2 s.
    pub breaker_pause: Duration,
    /// The hub's path, which the roof fills in.
    pub default_path: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            events: Vec::new(),
            path: None,
            url: None,
            channels: vec![Pattern::new("*")],
            headers: Vec::new(),
            secret: None,
            timeout: Duration::from_secs(5),
            attempts: 8,
            first_pause: Duration::from_millis(100),
            admission_deadline: Duration::from_secs(10),
            message_deadline: Duration::from_secs(30),
            disconnect_deadline: Duration::from_secs(600),
            concurrency: 64,
            max_waiting: 10_000,
            max_answer: Size::mib(1),
            breaker_failures: 20,
            breaker_pause: Duration::from_secs(2),
            default_path: "/api/ws".into(),
        }
    }
}

/// Where the secret may also come from.
pub const SECRET_VARIABLE: &str = "DOORWAY_WEBHOOK_SECRET";

/// The secret of this run, where nobody gave one.
static GENERATED: LazyLock<Secret> = LazyLock::new(|| {
    settings::variable(SECRET_VARIABLE).and_then(|text| Secret::parse(&text).ok()).unwrap_or_else(Secret::generate)
});

impl Config {
    /// Reads `[callbacks]`; `default_path` is the hub's.
    pub fn read(section: &Section, default_path: &str) -> Config {
        let default = Config::default();
        let path: Option<String> = section.optional("path");
        if path.as_deref().is_some_and(|path| !path.starts_with('/')) {
            section.problem("path", "callbacks.path must begin with a slash", None);
        }
        let config = Config {
            events: section.value("events", default.events),
            path,
            url: section.optional("url"),
            channels: section.value("channels", default.channels),
            headers: section.value("headers", default.headers),
            secret: Config::read_secret(section),
            timeout: section.value("timeout", default.timeout),
            attempts: section.value("attempts", default.attempts),
            first_pause: section.value("first_pause", default.first_pause),
            admission_deadline: section.renamed("admission_deadline", "admission_patience", default.admission_deadline),
            message_deadline: section.renamed("message_deadline", "message_patience", default.message_deadline),
            disconnect_deadline: section.renamed(
                "disconnect_deadline",
                "disconnect_patience",
                default.disconnect_deadline,
            ),
            concurrency: section.value("concurrency", default.concurrency),
            max_waiting: section.value("max_waiting", default.max_waiting),
            max_answer: section.value("max_answer", default.max_answer),
            breaker_failures: section.value("breaker_failures", default.breaker_failures),
            breaker_pause: section.value("breaker_pause", default.breaker_pause),
            default_path: default_path.to_owned(),
        };
        if config.path.is_some() && config.url.is_some() {
            section.problem("url", "callbacks.path and callbacks.url exclude each other", None);
        }
        for (key, number) in [
            ("attempts", u64::from(config.attempts)),
            ("concurrency", config.concurrency as u64),
            ("max_waiting", config.max_waiting as u64),
            ("breaker_failures", u64::from(config.breaker_failures)),
        ] {
            if number == 0 {
                section.problem(key, format!("callbacks.{key} must be at least 1"), None);
            }
        }
        config
    }

    fn read_secret(section: &Section) -> Option<Secret> {
        let GivenSecret { key, text } = section.secret().ok()??;
        let secret = Secret::parse(&text);
        if let Err(error) = &secret {
            section.problem(key, error.to_string(), Some("make one with: echo whsec_$(openssl rand -base64 32)"));
        }
        secret.ok()
    }

    /// The keys that differ from `started` and that only a restart can change.
    pub fn needs_restart(&self, started: &Config) -> Vec<&'static str> {
        let differs = [
            ("callbacks.concurrency", self.concurrency != started.concurrency),
            ("callbacks.max_waiting", self.max_waiting != started.max_waiting),
            ("callbacks.breaker_failures", self.breaker_failures != started.breaker_failures),
            ("callbacks.breaker_pause", self.breaker_pause != started.breaker_pause),
        ];
        differs.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }

    /// The secret in use.
    pub fn secret(&self) -> &Secret {
        self.secret.as_ref().unwrap_or(&GENERATED)
    }

    pub(super) fn wants(&self, kind: EventKind, channel: Option<&str>) -> bool {
        let asked = self.events.contains(&kind);
        asked && channel.is_none_or(|channel| self.channels.iter().any(|pattern| pattern.fits(channel)))
    }

    pub(super) fn deadline(&self, kind: EventKind) -> Duration {
        match kind {
            EventKind::Connect | EventKind::Subscribe => self.admission_deadline,
            EventKind::Message | EventKind::Replies => self.message_deadline,
            EventKind::Disconnect => self.disconnect_deadline,
        }
    }

    /// Where a callback goes, for the log.
    pub(super) fn place_of(&self) -> String {
        self.url.as_ref().map_or_else(|| self.path_of().to_owned(), ToString::to_string)
    }

    pub(super) fn path_of(&self) -> &str {
        self.path.as_deref().unwrap_or(&self.default_path)
    }
}
