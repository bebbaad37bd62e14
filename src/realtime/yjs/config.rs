//! The section `[realtime.yjs]`: which rooms are offered.

use crate::realtime::door::ProtocolConfig;
use crate::settings::{Pattern, Section, Size};

/// Which rooms are offered, and what bounds a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Rooms that clients may edit, by patterns of names. Default none: the protocol is not spoken.
    pub rooms: Vec<Pattern>,
    /// The longest frame of a client. Default 16 MiB.
    pub max_frame: Size,
}

impl Default for Config {
    fn default() -> Self {
        Config { rooms: Vec::new(), max_frame: Size::mib(16) }
    }
}

impl ProtocolConfig for Config {
    fn edits_documents(&self) -> bool {
        !self.rooms.is_empty()
    }

    fn at(_hub: &str) -> Config {
        Config::default()
    }

    fn read(realtime: &Section, _hub: &str) -> Config {
        let (section, default) = (realtime.section("yjs"), Config::default());
        Config {
            rooms: section.value("rooms", default.rooms),
            max_frame: section.value("max_frame", default.max_frame),
        }
    }
}
