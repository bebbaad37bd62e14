//! The section `[http]`: limits and time-outs of requests.

use std::time::Duration;

use crate::settings::Section;

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// From the first byte of a head to its end, and between requests of a kept connection. Default 30 s.
    pub head_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { head_timeout: Duration::from_secs(30) }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        Config { head_timeout: section.value("head_timeout", default.head_timeout) }
    }
}
