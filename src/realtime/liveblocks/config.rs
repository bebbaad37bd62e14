//! The section `[realtime.liveblocks]`: the keys that clients and the app's server come with.

use std::path::PathBuf;
use std::time::Duration;

use super::scopes::BaseAccess;
use crate::realtime::door::ProtocolConfig;
use crate::settings::{self, Section, Size, keywords};

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
    let inline: Option<String> = section.optional("secret");
    let file: Option<PathBuf> = section.optional("secret_file");
    let variable: Option<String> = section.optional("secret_env");
    let (place, secret) = match (inline, file, variable) {
        (None, None, None) => return None,
        (Some(secret), None, None) => ("secret", secret),
        (None, Some(file), None) => ("secret_file", section.text_of("secret_file", &file)?.trim_end().to_owned()),
        (None, None, Some(name)) => match settings::variable(&name) {
            Some(secret) => ("secret_env", secret),
            None => {
                let what = format!("neither the environment nor the project's .env files have {name}");
                section.problem("secret_env", what, None);
                return None;
            }
        },
        _ => {
            section.problem("secret", "a secret is given once", Some("give one of secret, secret_file and secret_env"));
            return None;
        }
    };
    if !is_key(&secret, "sk_") || secret.len() < SHORTEST_SECRET {
        let what = "a secret key is sk_ and at least 16 letters, digits, - and _: it signs tokens";
        section.problem(place, what, Some("as in secret_env = \"LIVEBLOCKS_SECRET_KEY\""));
        return None;
    }
    Some(secret)
}
