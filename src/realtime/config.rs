//! The section `[realtime]`.

use super::broker::redis::{self, RedisAddress};
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
    /// The Redis that several doors share; none by default.
    pub redis: Option<redis::Config>,
}

impl Default for Config {
    fn default() -> Self {
        let entrance = entrance::Config::default();
        let (hub, document_webhooks) = Default::default();
        let protocols = Protocols::at(&entrance.path);
        Config { restarts: false, hub, document_webhooks, protocols, entrance, redis: None }
    }
}

impl Config {
    /// The keys that only a restart can change, of those that have changed since `started`.
    pub fn needs_restart(&self, started: &Config) -> Vec<&'static str> {
        let none = redis::Config::at(RedisAddress::nowhere());
        let (now, before) = (self.redis.as_ref().unwrap_or(&none), started.redis.as_ref().unwrap_or(&none));
        let changed = [
            ("realtime.redis.url", now.url != before.url),
            ("realtime.redis.prefix", now.prefix != before.prefix),
            ("realtime.redis.node_timeout", now.node_timeout != before.node_timeout),
            ("realtime.redis.replicas", now.replicas != before.replicas),
            ("realtime.redis.message_patience", now.message_patience != before.message_patience),
            ("realtime.redis.ca_file", now.ca_file != before.ca_file),
            ("realtime.redis.peer", now.peer != before.peer),
            ("realtime.redis.peer_listen", now.peer_listen != before.peer_listen),
        ];
        changed.into_iter().filter_map(|(key, is_new)| is_new.then_some(key)).collect()
    }

    /// Whether other doors reach this one, so that documents may be theirs.
    pub fn has_peers(&self) -> bool {
        self.redis.as_ref().is_some_and(|redis| redis.peer.is_some())
    }

    /// Whether clients edit documents.
    pub fn edits_documents(&self) -> bool {
        self.protocols.edits_documents()
    }

    pub fn read(section: &Section) -> Config {
        let entrance = entrance::Config::read(section);
        let protocols = Protocols::read(section, &entrance.path);
        let documents = section.section("documents");
        let redis = redis::Config::read(&section.section("redis"));
        Config {
            restarts: section.value("restarts", false),
            redis,
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
