//! The section `[realtime]`.

use super::door::ProtocolConfig;
use super::protocols::Protocols;
use super::{entrance, hub};
use crate::settings::Section;

/// The section `[realtime]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Sockets that are closed when Doorway stops are told 1012 (service restart) in place of 1001 (going away).
    /// Default false.
    pub restarts: bool,
    pub entrance: entrance::Config,
    pub hub: hub::Config,
    pub protocols: Protocols,
}

impl Default for Config {
    fn default() -> Self {
        let entrance = entrance::Config::default();
        Config { restarts: false, hub: hub::Config::default(), protocols: Protocols::at(&entrance.path), entrance }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let entrance = entrance::Config::read(section);
        let protocols = Protocols::read(section, &entrance.path);
        Config {
            restarts: section.value("restarts", false),
            hub: hub::Config { demands: protocols.demands(), parts: protocols.parts(), ..hub::Config::read(section) },
            protocols,
            entrance,
        }
    }
}
