//! Who may do what in which room: by the public key, by a token, and by what the room's record says.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::config::Config;
use super::room::{ORGANIZATION, RoomRecord};
use super::scopes::Scopes;
use super::token::{self, RoomClaims, RoomGrant, RoomTokenError};
use crate::realtime::vocabulary::{Channel, Moment, Resource, Rights, Text, Word};
use crate::settings::{Live, Pattern};

/// The keys of the app, and what they open.
pub struct Access {
    config: Live<Config>,
}

/// What a client comes with.
#[derive(Debug, Clone, Copy)]
pub enum RoomCredentials<'a> {
    PublicKey(&'a str),
    Token(&'a str),
}

/// Who a client is, and what it may in the room that it comes for.
#[derive(Debug, Clone)]
pub struct Visitor {
    pub user: Option<Arc<str>>,
    pub info: Option<Text>,
    pub scopes: Scopes,
    /// Whose rooms it comes for, where its token says so.
    pub organization: Option<String>,
    /// Those of its token; nothing where it has the public key.
    pub rights: Option<Rights>,
}

/// Why a client may not be in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessDenied {
    #[error("the token has expired")]
    Expired,
    #[error("no token and no public key is given")]
    Nothing,
    #[error("this is not the public key")]
    WrongKey,
    #[error("this token is not one of ours")]
    WrongToken,
    #[error("no access to this room")]
    NoAccess,
}

impl Access {
    pub fn new(config: &Config) -> Access {
        Access { config: Live::new(config.clone()) }
    }

    pub fn reload(&self, config: &Config) {
        self.config.set(config.clone());
    }

    /// Whether the protocol is spoken.
    pub fn is_on(&self) -> bool {
        let config = self.config.get();
        config.public_key.is_some() || !config.secrets.is_empty()
    }

    /// A room's record as it counts: where it does not say what everybody may, the config does.
    pub fn complete(&self, mut record: RoomRecord) -> RoomRecord {
        let config = self.config.get();
        let by_key = || config.public_key.as_ref().map(|_| Scopes::of_base(config.public_access.base()).list());
        record.accesses.default_accesses = record.accesses.default_accesses.take().or_else(by_key);
        record
    }

    /// Whether this is a secret key of the app's.
    pub fn is_secret(&self, key: &str) -> bool {
        let is_it = |known: &String| verify_slices_are_equal(known.as_bytes(), key.as_bytes()).is_ok();
        self.config.get().secrets.iter().filter(|known| is_it(known)).count() > 0
    }

    /// Whether one of the secret keys has signed this, however long ago.
    pub fn has_signed(&self, token: &str) -> bool {
        !matches!(token::verify(&self.config.get().secrets, token, 0), Err(RoomTokenError::Forged))
    }

    /// A token for a user. `None` where there is no secret key to sign it.
    pub fn sign(
        &self,
        user: &str,
        info: Option<String>,
        grant: RoomGrant,
        organization: Option<String>,
        now: Moment,
    ) -> Option<String> {
        let config = self.config.get();
        let issued = now.unix_ms / 1000;
        let expires = issued + config.token_life.as_secs().max(1);
        let claims = RoomClaims { user: user.into(), info, grant, organization, issued, expires };
        config.secrets.first().map(|secret| token::sign(secret, &claims))
    }

    /// What who comes with these may in `room`, which has this record if it has one.
    ///
    /// # Errors
    /// [`AccessDenied`].
    pub fn admit(
        &self,
        credentials: RoomCredentials<'_>,
        room: &Channel,
        record: Option<RoomRecord>,
        now: Moment,
    ) -> Result<Visitor, AccessDenied> {
        let config = self.config.get();
        let record = record.map(|record| self.complete(record));
        match credentials {
            RoomCredentials::PublicKey(key) => {
                if config.public_key.as_deref() != Some(key) {
                    return Err(AccessDenied::WrongKey);
                }
                let scopes = match record {
                    None => Some(Scopes::of_base(config.public_access.base())),
                    Some(record) if record.organization_id != ORGANIZATION => None,
                    Some(record) => record.accesses.of_anybody(),
                };
                let scopes = scopes.ok_or(AccessDenied::NoAccess)?;
                Ok(Visitor { user: None, info: None, scopes, organization: None, rights: None })
            }
            RoomCredentials::Token(token) => {
                let claims =
                    token::verify(&config.secrets, token, now.unix_ms / 1000).map_err(|error| match error {
                        RoomTokenError::Expired => AccessDenied::Expired,
                        _ => AccessDenied::WrongToken,
                    })?;
                let scopes = claims.scopes_in(room.as_str(), record.as_ref());
                let scopes = scopes.filter(|scopes| !scopes.is_empty()).ok_or(AccessDenied::NoAccess)?;
                let rights = Some(rights(&claims, room, now));
                let RoomClaims { user, info, organization, .. } = claims;
                Ok(Visitor { user: Some(user), info: info.map(Text::from), scopes, organization, rights })
            }
        }
    }
}

/// What a token gives in the hub: the room, until it is over.
fn rights(claims: &RoomClaims, room: &Channel, now: Moment) -> Rights {
    let room = Some(Arc::new(vec![Resource::Glob(Pattern::new(room.as_str()))]));
    let left = (claims.expires * 1000).saturating_sub(now.unix_ms);
    Rights {
        subscribe: room.clone(),
        publish: room.clone(),
        enter: room.clone(),
        history: room.clone(),
        look: room,
        word: Word::Signed,
        until: Some(now.instant + std::time::Duration::from_millis(left)),
    }
}
