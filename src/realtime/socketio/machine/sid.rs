//! What clients are called.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::realtime::broker::NodeId;
use crate::realtime::vocabulary::ConnectionId;

/// Hides how connections are numbered; another in each run.
static MASK: LazyLock<u64> = LazyLock::new(|| u64::from_le_bytes(random()));

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system has random bytes");
    bytes
}

/// A new id of a client on `connection`: 20 characters, of which 9 are random and the others say where it is.
pub fn sid(connection: ConnectionId) -> Arc<str> {
    let mut bytes = [0; 15];
    bytes[..8].copy_from_slice(&(connection.0 ^ *MASK).to_le_bytes());
    bytes[8..].copy_from_slice(&random::<7>());
    URL_SAFE_NO_PAD.encode(bytes).into()
}

/// What a client comes back with: the key of its connection, which nobody can guess, which of its clients it is, and where
/// there are several doors, on which of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pid {
    pub key: u128,
    pub number: u32,
    pub home: Option<NodeId>,
}

impl Pid {
    /// A key for a new connection.
    pub fn key() -> u128 {
        u128::from_le_bytes(random())
    }

    pub fn parse(text: &str) -> Option<Pid> {
        let (text, home) = match text.split_once('.') {
            Some((text, home)) => (text, Some(NodeId::read(home)?)),
            None => (text, None),
        };
        let mut bytes = [0; 20];
        let length = (text.len() == 27).then(|| URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok())??;
        let (key, number) = (u128::from_le_bytes(*bytes.first_chunk()?), u32::from_le_bytes(*bytes.last_chunk()?));
        (length == bytes.len()).then_some(Pid { key, number, home })
    }
}

impl std::fmt::Display for Pid {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = [0; 20];
        bytes[..16].copy_from_slice(&self.key.to_le_bytes());
        bytes[16..].copy_from_slice(&self.number.to_le_bytes());
        formatter.write_str(&URL_SAFE_NO_PAD.encode(bytes))?;
        self.home.map_or(Ok(()), |home| write!(formatter, ".{home}"))
    }
}

/// It is a secret: whoever reads a log must not become the client.
impl std::fmt::Debug for Pid {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Pid(…)")
    }
}

/// The connection of a client by its id. Also of what only looks like an id: then nobody is there.
pub fn connection(sid: &str) -> Option<ConnectionId> {
    if sid.len() != 20 {
        return None;
    }
    let mut bytes = [0; 15];
    let length = URL_SAFE_NO_PAD.decode_slice(sid, &mut bytes).ok()?;
    let id = bytes.first_chunk::<8>().filter(|_| length == 15)?;
    Some(ConnectionId(u64::from_le_bytes(*id) ^ *MASK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_where_its_client_is_and_comes_once() {
        let (first, second) = (sid(ConnectionId(7)), sid(ConnectionId(7)));
        assert_ne!(first, second);
        assert_eq!((connection(&first), connection(&second)), (Some(ConnectionId(7)), Some(ConnectionId(7))));
        assert_eq!(first.len(), 20);
        for home in [None, Some(NodeId(7))] {
            let pid = Pid { key: Pid::key(), number: 3, home };
            let text = pid.to_string();
            assert_eq!(Pid::parse(&text), Some(pid));
            assert!(!format!("{pid:?}").contains(&text));
            assert_eq!(Pid::parse(&format!("{text}.7")), None);
        }
        for other in ["", "lobby", "a-room-of-20-letter!", &"x".repeat(21)] {
            assert_eq!(connection(other), None, "{other}");
            assert_eq!(Pid::parse(other), None, "{other}");
        }
    }
}
