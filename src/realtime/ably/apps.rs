//! The apps there are, and who comes in their name: with a key, or with a token. An app lives on when the config is read
//! again.

mod app;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use app::AblyApp;

use parking_lot::Mutex;
use tracing::warn;

use super::capability::Capability;
use super::config::{Config, KeySettings};
use super::token::{Claims, Envelope, Granted, Nonces, Revocation, Revocations, TokenDetails, TokenRequest};
use super::wire::error::AblyError;
use crate::realtime::entrance::token::Tokens;
use crate::realtime::vocabulary::{Moment, Rights, Word};
use crate::settings::Live;

/// The shortest secret of a key that nothing is said of, in bytes.
const SHORTEST_SECRET: usize = 16;

/// The name of the key where it was a token of `[realtime.tokens]`.
const NO_KEY: &str = "[realtime.tokens]";

/// Found by many, changed by a reload.
pub struct AblyApps {
    index: Live<Index>,
    /// Those of `[realtime.tokens]`.
    tokens: Option<Arc<Tokens>>,
    nonces: Mutex<Nonces>,
    revocations: Mutex<Revocations>,
}

#[derive(Debug, Default)]
struct Index {
    /// In the order of the file.
    apps: Vec<Arc<AblyApp>>,
    /// By their names; each with the capabilities of its tokens.
    keys: HashMap<Arc<str>, (Arc<AblyApp>, KeySettings, Mutex<Granted>)>,
}

/// What somebody comes with.
#[derive(Clone, Copy)]
pub enum Credentials<'a> {
    /// `APP.KEYID:SECRET`.
    Key(&'a str),
    /// A token of any kind.
    Token(&'a str),
}

/// As whom somebody may come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientId {
    /// As nobody: a token without a client.
    Nobody,
    /// As this client alone.
    Named(Arc<str>),
    /// As any (`*`), and as another with each message.
    Any,
    /// As whoever it says: it has the key.
    Free,
}

/// Somebody whose credentials are right.
#[derive(Debug, Clone)]
pub struct Authenticated {
    pub app: Arc<AblyApp>,
    pub key_name: Arc<str>,
    /// It has the key itself: it is the app.
    pub is_key: bool,
    pub client_id: ClientId,
    pub capability: Arc<Capability>,
    /// Milliseconds since the Unix epoch; `None`: never.
    pub expires: Option<u64>,
    /// Milliseconds since the Unix epoch; `None` for a key.
    pub issued: Option<u64>,
    pub revocation_key: Option<Arc<str>>,
    /// On whose word it may do what it may do.
    pub word: Word,
}

impl AblyApps {
    /// `tokens`: those that are good for clients of any dialect.
    pub fn new(config: &Config, tokens: Option<Arc<Tokens>>) -> AblyApps {
        let apps = AblyApps {
            index: Live::new(Index::default()),
            tokens,
            nonces: Mutex::default(),
            revocations: Mutex::default(),
        };
        apps.reload(config);
        apps
    }

    /// Takes over other sections. Who is in stays in.
    pub fn reload(&self, config: &Config) {
        let before = self.index.get();
        let kept = |id: &str| before.apps.iter().find(|app| *app.id == *id);
        // An app keeps its place, and no other gets it.
        let taken: Vec<_> =
            config.apps.iter().filter_map(|app| kept(&app.id)).map(|app| Arc::clone(&app.prefix)).collect();
        let mut index = Index::default();
        for settings in &config.apps {
            let mut settings = settings.clone();
            let known = kept(&settings.id);
            let prefix = match known {
                Some(app) => Arc::clone(&app.prefix),
                None if taken.contains(&settings.prefix) => format!("{}:", settings.id).into(),
                None => Arc::clone(&settings.prefix),
            };
            if prefix != settings.prefix {
                warn!(app = %settings.id, "another app is the first of realtime.ably, but that needs a restart");
                settings.prefix = prefix;
            }
            for key in settings.keys.iter().filter(|key| key.key.secret().len() < SHORTEST_SECRET) {
                warn!(key = %key.key.name(), "the secret of a key of realtime.ably is short: it may be guessed");
            }
            let app = match known {
                Some(app) => {
                    app.settings.set(settings.clone());
                    Arc::clone(app)
                }
                None => Arc::new(AblyApp::new(settings.clone())),
            };
            for key in settings.keys {
                index.keys.insert(Arc::clone(key.key.name()), (Arc::clone(&app), key, Mutex::default()));
            }
            index.apps.push(app);
        }
        for app in &index.apps {
            let is_within = |other: &&Arc<AblyApp>| other.id != app.id && other.prefix.starts_with(&*app.prefix);
            app.others.set(index.apps.iter().filter(is_within).map(|other| Arc::clone(&other.prefix)).collect());
        }
        self.index.set(index);
    }

    /// True when there are none: nothing of the dialect is served.
    pub fn is_empty(&self) -> bool {
        self.index.get().apps.is_empty()
    }

    /// Whether there is a key of this name.
    pub fn has_key(&self, name: &str) -> bool {
        self.index.get().keys.contains_key(name)
    }

    /// In the order of the file.
    pub fn all(&self) -> Vec<Arc<AblyApp>> {
        self.index.get().apps.clone()
    }

    /// Who comes with these credentials.
    ///
    /// # Errors
    /// 40005 for what is no key, 40101 for a wrong one, 40400 where there is no such key, 40131 for one that is disabled;
    /// for a token 40141 to 40144, and 40160 for one that allows nothing.
    pub fn authenticate(&self, credentials: Credentials, now: Moment) -> Result<Authenticated, AblyError> {
        match credentials {
            Credentials::Key(key) => self.by_key(key),
            Credentials::Token(token) => self.by_token(token, now, true),
        }
    }

    fn by_key(&self, text: &str) -> Result<Authenticated, AblyError> {
        let malformed = || AblyError::new(40005, 400, "Invalid key: it looks like appid.keyid:secret");
        let (name, secret) = text.split_once(':').ok_or_else(malformed)?;
        let (app, _) = name.split_once('.').ok_or_else(malformed)?;
        let index = self.index.get();
        let Some((app, key, _)) = index.keys.get(name) else {
            let is_app = index.apps.iter().any(|known| *known.id == *app);
            return Err(if is_app {
                AblyError::new(40400, 401, format!("No key found with id {name}"))
            } else {
                wrong()
            });
        };
        if !key.key.has_secret(secret) {
            return Err(wrong());
        }
        check_enabled(key)?;
        Ok(Authenticated {
            app: Arc::clone(app),
            key_name: Arc::clone(key.key.name()),
            is_key: true,
            client_id: ClientId::Free,
            capability: Arc::clone(&key.capability),
            expires: None,
            issued: None,
            revocation_key: None,
            word: Word::App,
        })
    }

    fn by_token(&self, token: &str, now: Moment, may_hold: bool) -> Result<Authenticated, AblyError> {
        let envelope = Envelope::open(token);
        let envelope = envelope.ok_or_else(|| AblyError::new(40143, 401, "The token is not recognised"))?;
        if let Some(inner) = &envelope.inner {
            if !may_hold {
                return Err(AblyError::new(40144, 401, "Invalid JWT: the token that it holds holds another"));
            }
            return self.by_token(inner, now, false);
        }
        let index = self.index.get();
        let Some((app, key, granted)) = envelope.key_name.as_deref().and_then(|name| index.keys.get(name)) else {
            return self.by_other_token(&index, token, envelope.key_name.as_deref(), now);
        };
        let claims = Claims::check(token, &key.key, now.unix_ms)?;
        check_enabled(key)?;
        let capability = match &claims.capability {
            None => Arc::clone(&key.capability),
            Some(text) => granted.lock().of(text, &key.capability)?,
        };
        if capability.is_empty() {
            return Err(AblyError::new(40160, 401, "The key allows nothing of the token's capability"));
        }
        let authenticated = Authenticated {
            app: Arc::clone(app),
            key_name: Arc::clone(key.key.name()),
            is_key: false,
            client_id: ClientId::of(claims.client_id.as_deref()),
            capability,
            expires: Some(claims.expires),
            issued: Some(claims.issued),
            revocation_key: claims.revocation_key.map(Into::into),
            word: Word::Signed,
        };
        if self.is_revoked(&authenticated, now) {
            return Err(AblyError::new(40141, 401, "Token revoked"));
        }
        Ok(authenticated)
    }

    /// One that no key of ours is said to have signed: of `[realtime.tokens]`, for the first app.
    fn by_other_token(
        &self,
        index: &Index,
        token: &str,
        key_name: Option<&str>,
        now: Moment,
    ) -> Result<Authenticated, AblyError> {
        let plain = self.tokens.as_ref().filter(|tokens| tokens.are_in_use());
        let app = index.apps.iter().find(|app| app.prefix.is_empty());
        if let (Some(tokens), Some(app)) = (plain, app)
            && let Ok((grant, rights)) = tokens.check(token, now.instant)
        {
            let left = rights.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now.instant));
            return Ok(Authenticated {
                app: Arc::clone(app),
                key_name: NO_KEY.into(),
                is_key: false,
                client_id: ClientId::of(grant.identity.as_ref().map(|identity| &*identity.user)),
                capability: Arc::new(Capability::of_grant(&grant)),
                expires: Some((now + left).unix_ms),
                issued: None,
                revocation_key: None,
                word: rights.word,
            });
        }
        let Some(name) = key_name else {
            return Err(AblyError::new(40144, 401, "Invalid JWT: its header names no key (kid)"));
        };
        let app = name.split_once('.').map_or(name, |(app, _)| app);
        let is_app = index.apps.iter().any(|known| *known.id == *app);
        Err(if is_app {
            AblyError::new(40400, 401, "No key found with the id that the JWT names (kid)")
        } else {
            AblyError::new(40400, 404, "No application found with the id that the JWT names (kid)")
        })
    }

    /// The token that is asked for in the name of the key; `asker` is who asks, as far as it has shown.
    ///
    /// # Errors
    /// 40400 where there is no such key, else as [`TokenRequest::grant`] has it.
    pub fn request_token(
        &self,
        key_name: &str,
        request: TokenRequest,
        asker: Option<&Authenticated>,
        now: Moment,
    ) -> Result<TokenDetails, AblyError> {
        let index = self.index.get();
        let (_, key, _) = index
            .keys
            .get(key_name)
            .ok_or_else(|| AblyError::new(40400, 404, format!("No key found with id {key_name}")))?;
        let is_owner = asker.is_some_and(|asker| asker.is_key && *asker.key_name == *key_name);
        request.grant(key, is_owner, &self.nonces, now.unix_ms)
    }

    /// Revokes tokens of a key.
    ///
    /// # Errors
    /// As [`Revocations::revoke`] has it.
    pub fn revoke(&self, key_name: &str, target: &str, revocation: Revocation, now: Moment) -> Result<(), AblyError> {
        self.revocations.lock().revoke(key_name, target, revocation, now.unix_ms)
    }

    /// All that is revoked: key, target, and what holds for it.
    pub fn revocations(&self) -> Vec<(String, String, Revocation)> {
        let revocations = self.revocations.lock();
        revocations.all().map(|(key, target, revocation)| (key.to_owned(), target.to_owned(), revocation)).collect()
    }

    /// Whether its token was revoked meanwhile.
    pub fn is_revoked(&self, client: &Authenticated, now: Moment) -> bool {
        let Some(issued) = client.issued else { return false };
        let revocations = self.revocations.lock();
        if revocations.is_empty() {
            return false;
        }
        let id = match &client.client_id {
            ClientId::Named(id) => Some(&**id),
            ClientId::Any => Some("*"),
            ClientId::Nobody | ClientId::Free => None,
        };
        let ids = id.into_iter().map(|id| ("clientId", id));
        let marks = client.revocation_key.as_deref().into_iter().map(|mark| ("revocationKey", mark));
        let channels = client.capability.resources().map(|resource| ("channel", resource));
        revocations.has(&client.key_name, issued, ids.chain(marks).chain(channels), now.unix_ms)
    }
}

fn wrong() -> AblyError {
    AblyError::new(40101, 401, "Invalid credentials")
}

fn check_enabled(key: &KeySettings) -> Result<(), AblyError> {
    if key.enabled { Ok(()) } else { Err(AblyError::new(40131, 401, "The key is disabled")) }
}

impl ClientId {
    fn of(id: Option<&str>) -> ClientId {
        match id {
            None | Some("") => ClientId::Nobody,
            Some("*") => ClientId::Any,
            Some(id) => ClientId::Named(id.into()),
        }
    }
}

impl Authenticated {
    /// Who it is that says to be `client_id`, or nothing.
    ///
    /// # Errors
    /// 40102: its credentials are for another, or for nobody.
    pub fn assume(&self, client_id: Option<&str>) -> Result<Option<Arc<str>>, AblyError> {
        let wanted = client_id.filter(|id| !id.is_empty());
        let mismatch = |whose: &str| {
            Err(AblyError::new(
                40102,
                401,
                format!("The clientId is not the one of the credentials, which are {whose}"),
            ))
        };
        match (&self.client_id, wanted) {
            (ClientId::Named(id), None) => Ok(Some(Arc::clone(id))),
            (ClientId::Named(id), Some(wanted)) if **id == *wanted => Ok(Some(Arc::clone(id))),
            (ClientId::Named(_), Some(_)) => mismatch("another client's"),
            (ClientId::Nobody, Some(_)) => mismatch("nobody's"),
            (ClientId::Any | ClientId::Free, Some(wanted)) if wanted != "*" => Ok(Some(wanted.into())),
            (ClientId::Any | ClientId::Free, _) | (ClientId::Nobody, None) => Ok(None),
        }
    }

    /// What it may do at the hub, from now on.
    pub fn rights(&self, now: Moment) -> Rights {
        let left = self.expires.map(|expires| Duration::from_millis(expires.saturating_sub(now.unix_ms)));
        self.capability.rights(&self.app.prefix, self.word, left.map(|left| now.instant + left))
    }
}

#[cfg(test)]
mod tests;
