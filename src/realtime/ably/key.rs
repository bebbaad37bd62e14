//! A key of an app: `APP.KEYID:SECRET`, as a team has it from its dashboard or makes one up.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

/// A key and its secret. `Debug` does not show the secret.
#[derive(Clone)]
pub struct AblyKey {
    name: Arc<str>,
    /// Where the id of its app ends in its name.
    dot: usize,
    secret: Arc<str>,
    hmac: hmac::Key,
}

/// What is wrong with a key's text. It never says the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAblyKey {
    #[error("a key looks like appid.keyid:secret; this one has no colon")]
    NoSecret,
    #[error("before the colon of a key stand the app's id and the key's id with a dot between them")]
    NoDot,
    #[error("ids of apps and keys are of letters, digits, - and _")]
    BadId,
    #[error("a key's secret is not empty")]
    EmptySecret,
}

impl AblyKey {
    /// Reads `APP.KEYID:SECRET`.
    ///
    /// # Errors
    /// [`BadAblyKey`].
    pub fn parse(text: &str) -> Result<AblyKey, BadAblyKey> {
        let (name, secret) = text.split_once(':').ok_or(BadAblyKey::NoSecret)?;
        AblyKey::new(name, secret)
    }

    /// The key `APP.KEYID` with this secret.
    ///
    /// # Errors
    /// [`BadAblyKey`].
    pub fn new(name: &str, secret: &str) -> Result<AblyKey, BadAblyKey> {
        let (app, id) = name.split_once('.').ok_or(BadAblyKey::NoDot)?;
        let is_id =
            |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !is_id(app) || !is_id(id) {
            return Err(BadAblyKey::BadId);
        }
        if secret.is_empty() {
            return Err(BadAblyKey::EmptySecret);
        }
        let hmac = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        Ok(AblyKey { name: name.into(), dot: app.len(), secret: secret.into(), hmac })
    }

    /// The id of its app.
    pub fn app(&self) -> &str {
        &self.name[..self.dot]
    }

    /// Its own id within the app.
    pub fn id(&self) -> &str {
        &self.name[self.dot + 1..]
    }

    /// `APP.KEYID`: no secret.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it signs with, for the signature of a JWT.
    pub fn secret(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    /// Whether this is its secret. Takes as long whichever of its bytes is wrong.
    pub fn has_secret(&self, secret: &str) -> bool {
        verify_slices_are_equal(self.secret(), secret.as_bytes()).is_ok()
    }

    /// The HMAC-SHA256 of `text`.
    pub fn mac(&self, text: &str) -> hmac::Tag {
        hmac::sign(&self.hmac, text.as_bytes())
    }

    /// Whether `mac` is that of `text`, in constant time.
    pub fn has_signed(&self, text: &str, mac: &[u8]) -> bool {
        hmac::verify(&self.hmac, text.as_bytes(), mac).is_ok()
    }
}

impl PartialEq for AblyKey {
    fn eq(&self, other: &AblyKey) -> bool {
        (&self.name, &self.secret) == (&other.name, &other.secret)
    }
}

impl fmt::Debug for AblyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AblyKey({}:…)", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_whole_and_hides_its_secret() {
        let key = AblyKey::parse("app-1.key_2:a:secret.with/all").unwrap();
        assert_eq!((key.app(), key.id(), &**key.name()), ("app-1", "key_2", "app-1.key_2"));
        assert!(key.has_secret("a:secret.with/all"));
        for wrong in ["", "a", "a:secret.with/alL", "a:secret.with/all2"] {
            assert!(!key.has_secret(wrong), "{wrong}");
        }
        assert_eq!(format!("{key:?}"), "AblyKey(app-1.key_2:…)");
    }

    #[test]
    fn what_is_no_key_says_why() {
        for (text, why) in [
            ("", BadAblyKey::NoSecret),
            ("app.key", BadAblyKey::NoSecret),
            ("app:secret", BadAblyKey::NoDot),
            ("app.:secret", BadAblyKey::BadId),
            (".key:secret", BadAblyKey::BadId),
            ("a b.key:secret", BadAblyKey::BadId),
            ("app.key.more:secret", BadAblyKey::BadId),
            ("app.key:", BadAblyKey::EmptySecret),
        ] {
            assert_eq!(AblyKey::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn what_it_signs_it_knows_again() {
        let key = AblyKey::parse("app.key:secret").unwrap();
        let mac = key.mac("text");
        assert!(key.has_signed("text", mac.as_ref()));
        assert!(
            !key.has_signed("texT", mac.as_ref()) && !key.has_signed("text", b"") && !key.has_signed("text", &[0; 32])
        );
    }
}
