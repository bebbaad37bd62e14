//! Who may do what in which room: by the public key, by a token, and by what the room's record says.

use std::sync::Arc;

use super::config::Config;
use super::scopes::Scopes;
use super::token::{self, Claims, TokenError};
use crate::realtime::vocabulary::{Channel, Moment, Resource, Rights, Text, Word};
use crate::settings::{Live, Pattern};

/// The keys of the app, and what they open.
pub struct Access {
    config: Live<Config>,
}

/// What a client comes with.
#[derive(Debug, Clone, Copy)]
pub enum Credentials<'a> {
    PublicKey(&'a str),
    Token(&'a str),
}

/// Who a client is, and what it may in the room that it comes for.
#[derive(Debug, Clone)]
pub struct Visitor {
    pub user: Option<Arc<str>>,
    pub info: Option<Text>,
    pub scopes: Scopes,
    /// Those of its token; nothing where it has the public key.
    pub rights: Option<Rights>,
}

/// Why a client may not be in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
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

    /// What who comes with these may in `room`.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit(&self, credentials: Credentials<'_>, room: &Channel, now: Moment) -> Result<Visitor, Denied> {
        let config = self.config.get();
        match credentials {
            Credentials::PublicKey(key) => {
                if config.public_key.as_deref() != Some(key) {
                    return Err(Denied::WrongKey);
                }
                let scopes = Scopes::of_base(config.public_access.base());
                Ok(Visitor { user: None, info: None, scopes, rights: None })
            }
            Credentials::Token(token) => {
                let claims = token::verify(&config.secrets, token, now.unix_ms / 1000).map_err(|error| match error {
                    TokenError::Expired => Denied::Expired,
                    _ => Denied::WrongToken,
                })?;
                let scopes = claims.scopes_of(room.as_str()).filter(|scopes| !scopes.is_empty());
                let scopes = scopes.ok_or(Denied::NoAccess)?;
                let rights = Some(rights(&claims, room, now));
                Ok(Visitor { user: Some(claims.user), info: claims.info.map(Text::from), scopes, rights })
            }
        }
    }
}

/// What a token gives in the hub: the room, until it is over.
fn rights(claims: &Claims, room: &Channel, now: Moment) -> Rights {
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
