//! The section `[drain]`: how the door closes.

use std::time::Duration;

use crate::settings::Section;

/// The section `[drain]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// From SIGTERM to the end of whatever has not finished by itself. Default 25 s.
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { timeout: Duration::from_secs(25) }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        Config { timeout: section.value("timeout", Config::default().timeout) }
    }
}
