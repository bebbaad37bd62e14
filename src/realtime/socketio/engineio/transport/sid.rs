//! A session's id: 128 random bits that nobody can guess, since whoever has it is the client, and where there are several
//! doors, which of them has the session.

use std::fmt;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::realtime::broker::NodeId;

/// The part that nobody can guess.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SidSecret(u128);

/// A session's id, of 128 random bits. The door is not secret, and need not be signed: whoever names another than that of the
/// session has it looked for where it is not.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sid {
    secret: SidSecret,
    home: Option<NodeId>,
}

impl Sid {
    /// A new one; `None` when the system has no randomness to give.
    pub fn random() -> Option<Sid> {
        let mut bytes = [0; 16];
        rand::fill(&mut bytes).ok()?;
        Some(Sid { secret: SidSecret(u128::from_be_bytes(bytes)), home: None })
    }

    pub(super) fn secret(self) -> SidSecret {
        self.secret
    }

    /// The same, of a door that the others can reach.
    pub fn at(self, home: Option<NodeId>) -> Sid {
        Sid { home, ..self }
    }

    /// The door that has its session; `None` where doors do not forward to each other.
    pub fn home(self) -> Option<NodeId> {
        self.home
    }

    /// What a client sends back.
    pub fn parse(text: &str) -> Option<Sid> {
        let (secret, home) = match text.split_once('.') {
            Some((secret, home)) => (secret, Some(NodeId::read(home)?)),
            None => (text, None),
        };
        let mut bytes = [0; 16];
        let length = URL_SAFE_NO_PAD.decode_slice(secret, &mut bytes).ok()?;
        (length == bytes.len()).then(|| Sid { secret: SidSecret(u128::from_be_bytes(bytes)), home })
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 22];
        let length = URL_SAFE_NO_PAD.encode_slice(self.secret.0.to_be_bytes(), &mut text).unwrap_or_default();
        formatter.write_str(std::str::from_utf8(&text[..length]).unwrap_or_default())?;
        self.home.map_or(Ok(()), |home| write!(formatter, ".{home}"))
    }
}

/// It is a secret: whoever reads a log must not become the client.
impl fmt::Debug for Sid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sid(…)")
    }
}

/// As of the whole.
impl fmt::Debug for SidSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SidSecret(…)")
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
        let sid = sid.at(Some(NodeId(7)));
        assert_eq!(sid.to_string(), format!("{text}.0000000000000007"));
        assert_eq!(Sid::parse(&sid.to_string()), Some(sid));
        assert_eq!(Sid::parse(&format!("{text}.7")), None);
    }

    #[test]
    fn anything_else_is_no_sid() {
        let text = Sid::random().unwrap().to_string();
        for text in ["", "a", &text[1..], &format!("{text}A"), &text.replace(&text[..1], "/"), &"x".repeat(10_000)] {
            assert_eq!(Sid::parse(text), None, "{text}");
        }
    }
}
