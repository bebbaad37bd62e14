//! The section `[realtime.liveblocks]`: the keys that clients and the app's server come with.

use std::time::Duration;

use super::hook::RoomHook;
use super::scopes::BaseAccess;
use crate::realtime::door::ProtocolConfig;
use crate::settings::{GivenSecret, Section, Size, keywords};

/// What clients and the app's server come with, and what bounds them.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The key of pages that ask nobody for a token, `pk_…`. Default none: every client shows a token.
    pub public_key: Option<String>,
    /// What those may do in a room whose record says nothing else. Default `"write"`.
    pub public_access: PublicAccess,
    /// The secret keys of the app's server, `sk_…`. The first signs tokens; all of them are accepted. Default none: the
    /// dialect is not spoken, unless there is a public key.
    pub secrets: Vec<String>,
    /// How long a token is good. Default 1 hour.
    pub token_life: Duration,
    /// The longest frame of a client. Default 16 MiB.
    pub max_frame: Size,
    /// Who is told of what happens in rooms. Default nobody.
    pub webhooks: Vec<RoomHook>,
    /// How often at most it is told that a room's storage was changed, or its documents of Yjs. Default 60 s.
    pub webhook_throttle: Duration,
    /// How long it is tried to deliver an event. Default 1 hour.
    pub webhook_deadline: Duration,
}

/// What clients with the public key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicAccess {
    /// See and change everything.
    Write,
    /// See everything.
    Read,
}

keywords!(PublicAccess { "write" => Write, "read" => Read });

impl PublicAccess {
    /// The same in the protocol's words.
    pub fn base(self) -> BaseAccess {
        match self {
            PublicAccess::Write => BaseAccess::Write,
            PublicAccess::Read => BaseAccess::Read,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            public_key: None,
            public_access: PublicAccess::Write,
            secrets: Vec::new(),
            token_life: Duration::from_secs(3600),
            max_frame: Size::mib(16),
            webhooks: Vec::new(),
            webhook_throttle: Duration::from_secs(60),
            webhook_deadline: Duration::from_secs(3600),
        }
    }
}

impl Config {
    /// Whether somebody has set something up, and forgotten the keys.
    pub fn lets_nobody_in(&self) -> bool {
        self.public_key.is_none() && self.secrets.is_empty() && *self != Config::default()
    }
}

impl ProtocolConfig for Config {
    fn edits_documents(&self) -> bool {
        self.public_key.is_some() || !self.secrets.is_empty()
    }

    /// No key: the dialect is not spoken.
    fn at(_hub: &str) -> Config {
        Config::default()
    }

    fn read(realtime: &Section, _hub: &str) -> Config {
        let section = realtime.section("liveblocks");
        let default = Config::default();
        let public_key: Option<String> = section.optional("public_key");
        if public_key.as_deref().is_some_and(|key| !is_key(key, "pk_")) {
            let help = Some("as in public_key = \"pk_mine\"");
            section.problem("public_key", "a public key is pk_ and letters, digits, - and _", help);
        }
        let mut secrets: Vec<String> = read_secret(&section).into_iter().collect();
        secrets.extend(section.sections("more_secrets").iter().filter_map(read_secret));
        Config {
            public_key,
            public_access: section.value("public_access", default.public_access),
            secrets,
            token_life: section.value("token_life", default.token_life),
            max_frame: section.value("max_frame", default.max_frame),
            webhooks: section.sections("webhooks").iter().filter_map(RoomHook::read).collect(),
            webhook_throttle: section.value("webhook_throttle", default.webhook_throttle),
            webhook_deadline: section.value("webhook_deadline", default.webhook_deadline),
        }
    }
}

/// The shortest secret key, in bytes: it signs tokens.
const SHORTEST_SECRET: usize = 19;

/// What client libraries take for a key.
fn is_key(key: &str, prefix: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    key.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain))
}

/// The secret key that `section` gives in one of three ways, if it gives one.
fn read_secret(section: &Section) -> Option<String> {
    let GivenSecret { key, text: secret } = section.secret().ok()??;
    if !is_key(&secret, "sk_") || secret.len() < SHORTEST_SECRET {
        let what = "a secret key is sk_ and at least 16 letters, digits, - and _: it signs tokens";
        section.problem(key, what, Some("as in secret_env = \"LIVEBLOCKS_SECRET_KEY\""));
        return None;
    }
    Some(secret)
}
