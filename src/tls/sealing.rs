//! What doors share of their certificates is sealed: who keeps it for them can neither read it nor put something in its place.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};

/// The shortest secret, in characters.
pub const SHORTEST: usize = 32;

/// A key that all doors make of one secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey {
    key: [u8; 32],
    /// What it is called: it says nothing of the key.
    name: String,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SealingKey(…)")
    }
}

impl SealingKey {
    /// None for one that is too short.
    pub fn of(secret: &str) -> Option<SealingKey> {
        let derived = Salt::new(HKDF_SHA256, b"doorway: certificates of several doors").extract(secret.as_bytes());
        let bytes = |what: &'static [u8]| {
            let mut bytes = [0; 32];
            derived.expand(&[what], HKDF_SHA256).and_then(|made| made.fill(&mut bytes)).ok().map(|()| bytes)
        };
        let name = bytes(b"name")?.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let key = bytes(b"sealing")?;
        (secret.chars().count() >= SHORTEST).then_some(SealingKey { key, name })
    }

    /// What it is called, by whoever has it. Doors with another secret have nothing in common with these.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn key(&self) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.key).ok()
    }

    /// Seals `text`, which is `about` something: it is opened as that alone.
    pub fn seal(&self, about: &str, text: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = text.to_vec();
        let nonce = self.key()?.seal_in_place_append_tag(Aad::from(about.as_bytes()), &mut sealed).ok()?;
        Some([&nonce.as_ref()[..], &sealed].concat())
    }

    /// What was sealed; none where that was by another key, or about something else.
    pub fn open(&self, about: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = rest.to_vec();
        let length = self.key()?.open_in_place(nonce, Aad::from(about.as_bytes()), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_by_the_same_key_as_the_same() {
        let key = SealingKey::of(&"s".repeat(32)).unwrap();
        let sealed = key.seal("one.test", b"the key").unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"the key"));
        assert_eq!(key.open("one.test", &sealed).as_deref(), Some(&b"the key"[..]));
        assert_eq!(
            SealingKey::of(&"s".repeat(32)).unwrap().open("one.test", &sealed).as_deref(),
            Some(&b"the key"[..])
        );
        assert_ne!(key.seal("one.test", b"the key").unwrap(), sealed, "never twice the same");
        assert_eq!(key.open("two.test", &sealed), None);
        assert_eq!(SealingKey::of(&"t".repeat(32)).unwrap().open("one.test", &sealed), None);
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert_eq!(key.open("one.test", &other), None, "{at}");
            assert_eq!(key.open("one.test", &sealed[..at]), None, "{at}");
        }
        assert_eq!(SealingKey::of(&"s".repeat(31)), None);
        assert_ne!(SealingKey::of(&"t".repeat(32)).unwrap().name(), key.name());
        assert_eq!(format!("{key:?}"), "SealingKey(…)");
    }
}
