//! A channel's name.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The name of one channel, the same for every dialect. Cheap to clone.
///
/// Names that clients choose have no control characters; [`Channel::reserved`] makes names that none can choose.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel(Arc<str>);

/// A name that no channel can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("a channel's name is empty")]
    Empty,
    #[error("a channel's name is longer than {} bytes", Channel::LONGEST)]
    TooLong,
    #[error("a channel's name has a control character")]
    Control,
}

/// Keeps reserved names apart from those that clients choose.
const RESERVED: char = '\u{1f}';

impl Channel {
    /// The longest name, in bytes.
    pub const LONGEST: usize = 512;

    /// A name that a client or the app gave.
    ///
    /// # Errors
    /// [`BadName`], the client's fault: empty, longer than [`Channel::LONGEST`] bytes, or with control characters.
    pub fn new(name: &str) -> Result<Channel, BadName> {
        if name.is_empty() {
            return Err(BadName::Empty);
        }
        if name.len() > Channel::LONGEST {
            return Err(BadName::TooLong);
        }
        if name.chars().any(char::is_control) {
            return Err(BadName::Control);
        }
        Ok(Channel(name.into()))
    }

    /// A name within `owner`'s own space, which no client can reach by naming it: for a dialect's inner channels.
    pub fn reserved(owner: &str, name: &str) -> Channel {
        Channel(format!("{RESERVED}{owner}{RESERVED}{name}").into())
    }

    /// True for names made by [`Channel::reserved`].
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(RESERVED)
    }

    /// What is left of a reserved name without its owner.
    pub fn reserved_name(&self, owner: &str) -> Option<&str> {
        self.0.strip_prefix(RESERVED)?.strip_prefix(owner)?.strip_prefix(RESERVED)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Channel {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(Channel::new("room-1").unwrap().as_str(), "room-1");
        assert_eq!(Channel::new("zimmer-ä").unwrap().as_str(), "zimmer-ä");
        assert_eq!(Channel::new(""), Err(BadName::Empty));
        assert_eq!(Channel::new(&"x".repeat(513)), Err(BadName::TooLong));
        assert_eq!(Channel::new("a\nb"), Err(BadName::Control));
    }

    #[test]
    fn nobody_can_name_a_reserved_channel() {
        let reserved = Channel::reserved("owner", "7");
        assert_eq!(Channel::new(reserved.as_str()), Err(BadName::Control));
        assert_eq!(reserved.reserved_name("owner"), Some("7"));
        assert_eq!(reserved.reserved_name("own"), None);
        assert!(reserved.is_reserved() && !Channel::new("7").unwrap().is_reserved());
    }
}
