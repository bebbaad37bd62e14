//! A session's id: 128 random bits that nobody can guess, since whoever has it is the client.

use std::fmt;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A session's id, of 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sid(u128);

impl Sid {
    /// A new one; `None` when the system has no randomness to give.
    pub fn random() -> Option<Sid> {
        let mut bytes = [0; 16];
        rand::fill(&mut bytes).ok()?;
        Some(Sid(u128::from_be_bytes(bytes)))
    }

    /// What a client sends back.
    pub fn parse(text: &str) -> Option<Sid> {
        let mut bytes = [0; 16];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (length == bytes.len()).then(|| Sid(u128::from_be_bytes(bytes)))
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 22];
        let length = URL_SAFE_NO_PAD.encode_slice(self.0.to_be_bytes(), &mut text).unwrap_or_default();
        formatter.write_str(std::str::from_utf8(&text[..length]).unwrap_or_default())
    }
}

/// It is a secret: whoever reads a log must not become the client.
impl fmt::Debug for Sid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sid(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_its_way_to_the_client_and_back() {
        let sid = Sid::random().unwrap();
        let text = sid.to_string();
        assert_eq!(text.len(), 22);
        assert_eq!(Sid::parse(&text), Some(sid));
        assert_ne!(Sid::random().unwrap(), sid);
        assert_eq!(format!("{sid:?}"), "Sid(…)");
    }

    #[test]
    fn anything_else_is_no_sid() {
        let text = Sid::random().unwrap().to_string();
        for text in ["", "a", &text[1..], &format!("{text}A"), &text.replace(&text[..1], "/"), &"x".repeat(10_000)] {
            assert_eq!(Sid::parse(text), None, "{text}");
        }
    }
}
