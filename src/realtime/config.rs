//! The section `[realtime]`.

use super::door::ProtocolConfig;
use super::protocols::Protocols;
use super::webhooks::documents as document_webhooks;
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
    pub document_webhooks: document_webhooks::Config,
    pub protocols: Protocols,
}

impl Default for Config {
    fn default() -> Self {
        let entrance = entrance::Config::default();
        let (hub, document_webhooks) = Default::default();
        Config { restarts: false, hub, document_webhooks, protocols: Protocols::at(&entrance.path), entrance }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let entrance = entrance::Config::read(section);
        let protocols = Protocols::read(section, &entrance.path);
        let documents = section.section("documents");
        Config {
            restarts: section.value("restarts", false),
            document_webhooks: document_webhooks::Config::read(&documents),
            hub: hub::Config {
                demands: protocols.demands(),
                parts: protocols.parts(),
                ..hub::Config::read(section, &documents)
            },
            protocols,
            entrance,
        }
    }
}
