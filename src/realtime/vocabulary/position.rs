//! Where a client stands in a channel: the offset of a message, and the epoch in which offsets mean anything.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// One life of a channel. Offsets of different epochs cannot be compared.
///
/// A channel that is forgotten and made again, or a restart of Doorway, begins a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// The place of one message in its channel: offsets count from 1 without gaps; 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    pub epoch: Epoch,
    pub offset: u64,
}

/// Not a position: `EPOCH-OFFSET`, the epoch in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a position looks like 1f00c3-42")]
pub struct BadPosition;

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:x}-{}", self.epoch.0, self.offset)
    }
}

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Position, BadPosition> {
        let (epoch, offset) = text.split_once('-').ok_or(BadPosition)?;
        let plain = |part: &str, longest: usize, radix: u32| {
            (1..=longest).contains(&part.len()) && part.chars().all(|c| c.is_digit(radix))
        };
        if !plain(epoch, 16, 16) || !plain(offset, 20, 10) {
            return Err(BadPosition);
        }
        Ok(Position {
            epoch: Epoch(u64::from_str_radix(epoch, 16).map_err(|_| BadPosition)?),
            offset: offset.parse().map_err(|_| BadPosition)?,
        })
    }
}

/// From where a subscriber wants to hear a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Since {
    /// What comes from now on.
    #[default]
    Now,
    /// All that is kept, then what comes.
    Start,
    /// Exactly what came after this position, then what comes; or to be told that it cannot be had.
    After(Position),
    /// The latest few that are kept, then what comes.
    Last(usize),
    /// What is kept and not older than this, then what comes.
    Within(Duration),
}

impl Since {
    /// The position that it is from.
    pub fn position(self) -> Option<Position> {
        if let Since::After(position) = self { Some(position) } else { None }
    }
}

/// A part of a channel's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Only what came after this.
    pub after: Option<Position>,
    /// Only what came before this.
    pub before: Option<Position>,
    /// Milliseconds since the Unix epoch, both ends too.
    pub from_ms: u64,
    pub to_ms: u64,
    /// The latest first.
    pub backwards: bool,
}

impl Default for Span {
    fn default() -> Self {
        Span { after: None, before: None, from_ms: 0, to_ms: u64::MAX, backwards: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_back_as_written() {
        let position = Position { epoch: Epoch(0xfeed_0001), offset: 42 };
        assert_eq!(position.to_string(), "feed0001-42");
        assert_eq!("feed0001-42".parse(), Ok(position));
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in
            ["", "-", "1-", "-1", "1-+1", "g-1", "1--1", "10000000000000000-1", "1-99999999999999999999", "1- 1"]
        {
            assert_eq!(text.parse::<Position>(), Err(BadPosition), "{text}");
        }
    }
}
