//! Tokens for clients that share no cookie with the app: signed JSON Web Tokens (RFC 7519).

mod config;
mod keys;
mod metrics;
mod presented;
mod tokens;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub use config::Config;
pub use keys::{BadKey, Keys};
pub use presented::{presented, subprotocol};
pub use tokens::Tokens;

use crate::realtime::vocabulary::{Identity, Payload, Resource, Resources, Rights, Word};
use crate::settings::{Pattern, Section};

/// Reads `[realtime.tokens]`, and makes its keys ready once, so that bad ones are known at the start.
pub fn read(section: &Section) -> Config {
    let config = Config::read(section);
    match Keys::new(&config) {
        Err(bad) => section.problem(bad.setting, format!("realtime.tokens.{}: {}", bad.setting, bad.why), None),
        Ok(keys) if config.required && keys.is_empty() => {
            let help = Some("give secret, secret_file, public_key or jwks");
            section.problem("required", "realtime.tokens.required needs a key to check tokens with", help);
        }
        Ok(_) => {}
    }
    config
}

/// What a token that was checked gives its bearer.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// From `sub` (and `info`).
    pub identity: Option<Identity>,
    /// From `exp`: since the Unix epoch.
    pub expires: Duration,
    /// From `subscribe`: the channels it may hear; `None` leaves that to the channels' own policies.
    pub subscribe: Resources,
    /// From `publish`: the channels it may publish to; `None` leaves that to the channels' own policies.
    pub publish: Resources,
    /// From `presence`: the channels whose members it may be. Without it those of `subscribe`.
    pub presence: Resources,
    /// From `history`: the channels whose past it may read. Without it those of `subscribe`.
    pub history: Resources,
}

/// Nobody's token counts for longer: the clock of this machine cannot be told any time.
const MAX_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Grant {
    /// Until it expires; zero when it has.
    pub fn remaining(&self) -> Duration {
        self.expires.saturating_sub(since_epoch()).min(MAX_LIFETIME)
    }

    /// What it gives a connection; `leeway` is how much longer than it says it counts.
    pub fn rights(&self, leeway: Duration, now: Instant) -> Rights {
        Rights {
            subscribe: self.subscribe.clone(),
            publish: self.publish.clone(),
            enter: self.presence.clone(),
            history: self.history.clone(),
            look: self.subscribe.clone(),
            word: Word::Bearer,
            until: Some(now + self.remaining() + leeway.min(MAX_LIFETIME)),
        }
    }
}

/// Why a token is not believed. Nothing of it says more than its bearer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("a token is needed here")]
    Missing,
    #[error("more than one token is shown")]
    Several,
    #[error("the token is another user's")]
    AnotherUser,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("the token is for another audience or from another issuer")]
    NotForUs,
    #[error("the token is not one of ours")]
    Invalid,
}

impl TokenError {
    /// One word for logs and counters.
    pub fn label(self) -> &'static str {
        match self {
            TokenError::Missing => "missing",
            TokenError::Several => "several",
            TokenError::AnotherUser => "another_user",
            TokenError::Expired => "expired",
            TokenError::NotYet => "not_yet",
            TokenError::NotForUs => "not_for_us",
            TokenError::Invalid => "invalid",
        }
    }
}

/// The claims that are read; others are ignored, as RFC 7519 section 4 says.
#[derive(Deserialize)]
struct Claims {
    #[serde(default, deserialize_with = "sub")]
    sub: Option<Arc<str>>,
    exp: NumericDate,
    #[serde(default)]
    nbf: Option<NumericDate>,
    #[serde(default)]
    info: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "list")]
    subscribe: Option<Vec<String>>,
    #[serde(default, deserialize_with = "list")]
    publish: Option<Vec<String>>,
    #[serde(default, deserialize_with = "list")]
    presence: Option<Vec<String>>,
    #[serde(default, deserialize_with = "list")]
    history: Option<Vec<String>>,
}

impl Claims {
    /// Whether they count now, where clocks may differ by `leeway`.
    ///
    /// # Errors
    /// Not any more, or not yet.
    fn check_time(&self, leeway: Duration) -> Result<(), TokenError> {
        let now = since_epoch();
        if self.exp.0.saturating_add(leeway) <= now {
            return Err(TokenError::Expired);
        }
        let is_early = self.nbf.is_some_and(|begin| begin.0 > now.saturating_add(leeway));
        if is_early { Err(TokenError::NotYet) } else { Ok(()) }
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A time since the Unix epoch: any JSON number of seconds, with a fraction or an exponent too (RFC 7519 section 2). One
/// before the epoch is as good as the epoch, and one beyond all clocks as good as the last of them.
#[derive(Debug, Clone, Copy, PartialEq)]
struct NumericDate(Duration);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NumericDate, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        let from_float = |seconds: f64| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
        let seconds = number.as_u64().map(Duration::from_secs);
        Ok(NumericDate(seconds.unwrap_or_else(|| from_float(number.as_f64().unwrap_or(f64::MAX)))))
    }
}

/// A list that is there, and not null: null would allow what no list bounds.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    Vec::deserialize(deserializer).map(Some)
}

/// A user that has a name: an empty one would be everybody whose session has none.
fn sub<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<str>>, D::Error> {
    let sub = Option::<Arc<str>>::deserialize(deserializer)?;
    match sub {
        Some(sub) if sub.trim().is_empty() => Err(serde::de::Error::custom("sub is empty")),
        sub => Ok(sub),
    }
}

impl From<Claims> for Grant {
    fn from(claims: Claims) -> Grant {
        let glob = |name: &String| Resource::Glob(Pattern::new(name));
        let resources = |names: Vec<String>| Arc::new(names.iter().map(glob).collect::<Vec<Resource>>());
        let subscribe = claims.subscribe.map(resources);
        let info = claims.info.map(|info| Payload::Json(info.get().into()));
        Grant {
            identity: claims.sub.map(|user| Identity { user, info }),
            expires: claims.exp.0,
            presence: claims.presence.map(resources).or_else(|| subscribe.clone()),
            history: claims.history.map(resources).or_else(|| subscribe.clone()),
            subscribe,
            publish: claims.publish.map(resources),
        }
    }
}
