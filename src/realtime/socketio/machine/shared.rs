//! What all clients of one endpoint share.

use std::sync::Arc;

use super::config::{Config, RecoveryMode};
use super::encode::SocketIoEncoder;
use super::recovery::Metrics;
use super::{Machine, rooms};
use crate::realtime::broker::NodeId;
use crate::realtime::dialect::Encoding;
use crate::realtime::vocabulary::{ConnectionId, Moment};

/// What all clients of one config share: its settings and its encoding.
#[derive(Debug)]
pub struct SocketIo {
    pub(super) config: Config,
    pub(super) encoder: SocketIoEncoder,
    pub(super) encoding: Encoding,
    /// The name of the usual namespace, which most clients are in.
    root: Arc<str>,
    pub(super) metrics: Metrics,
    /// This door, where the others bring its clients back.
    pub(super) home: Option<NodeId>,
}

impl SocketIo {
    pub fn new(config: Config) -> Arc<SocketIo> {
        SocketIo::counted(config, Metrics::default(), None)
    }

    /// One that counts what it does, on a door that others can reach as `home`.
    pub fn counted(config: Config, metrics: Metrics, home: Option<NodeId>) -> Arc<SocketIo> {
        let encoder = SocketIoEncoder { parser: config.parser, recovers: config.recovery != RecoveryMode::Off };
        let encoding = Encoding::new(encoder);
        Arc::new(SocketIo { config, encoder, encoding, root: rooms::ROOT.into(), metrics, home })
    }

    /// The machine of one client. `asked` where the app is asked about messages: then nothing is relayed without it.
    pub fn machine(self: &Arc<Self>, connection: ConnectionId, asked: bool, now: Moment) -> Machine {
        Machine::new(Arc::clone(self), connection, asked, now)
    }

    pub(super) fn scope(&self, name: &str) -> Arc<str> {
        if name == rooms::ROOT { Arc::clone(&self.root) } else { name.into() }
    }
}
