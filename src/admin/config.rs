//! The section `[admin]`.

use std::net::SocketAddr;

use crate::settings::Section;

#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where health and metrics are served; keep it on loopback. Default `127.0.0.1:9080`.
    pub listen: SocketAddr,
}

impl Default for Config {
    fn default() -> Self {
        Config { listen: SocketAddr::from(([127, 0, 0, 1], 9080)) }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        Config { listen: section.value("listen", Config::default().listen) }
    }
}
