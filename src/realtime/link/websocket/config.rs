//! The section `[realtime.websocket]`.

use std::time::Duration;

use super::extension::Offerable;
use crate::settings::{Section, Size};

/// The section `[realtime.websocket]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// The longest message taken; a longer one closes its socket with 1009, compressed or not. Default 1 MiB.
    pub max_message: Size,
    /// The longest frame taken, as it travels; a longer one closes its socket with 1009. Default 1 MiB.
    pub max_frame: Size,
    /// How long before the connection is cut: for a closing handshake, and for a client whose end is decided while it
    /// takes nothing. Default 5 s.
    pub close_timeout: Duration,
    /// True to agree to permessage-deflate (RFC 7692). Default false.
    pub deflate: bool,
    /// True to let both sides keep their window from message to message. Default false.
    pub deflate_context: bool,
    /// The largest window of either side, as a power of two, 9 to 15. Default 15.
    pub deflate_window: u16,
    /// Messages shorter than this are sent as they are. Default 256 B.
    pub deflate_threshold: Size,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_message: Size::mib(1),
            max_frame: Size::mib(1),
            close_timeout: Duration::from_secs(5),
            deflate: false,
            deflate_context: false,
            deflate_window: 15,
            deflate_threshold: Size(256),
        }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let deflate_window = section.value("deflate_window", default.deflate_window);
        if !(9..=15).contains(&deflate_window) {
            section.problem("deflate_window", "realtime.websocket.deflate_window must be from 9 to 15", None);
        }
        Config {
            max_message: section.value("max_message", default.max_message),
            max_frame: section.value("max_frame", default.max_frame),
            close_timeout: section.value("close_timeout", default.close_timeout),
            deflate: section.value("deflate", default.deflate),
            deflate_context: section.value("deflate_context", default.deflate_context),
            deflate_window,
            deflate_threshold: section.value("deflate_threshold", default.deflate_threshold),
        }
    }

    /// The parameters of permessage-deflate that may be agreed to.
    pub(super) fn offerable(&self) -> Option<Offerable> {
        self.deflate.then(|| Offerable {
            context: self.deflate_context,
            window: u8::try_from(self.deflate_window.clamp(9, 15)).unwrap_or(15),
        })
    }
}
