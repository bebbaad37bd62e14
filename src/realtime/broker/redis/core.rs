//! What all clones of a link share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::commands::Commands;
use super::health::Health;
use super::lease::Lease;
use super::names::Names;
use super::own_fields::OwnFields;
use super::replicas::Replicas;
use super::shards::Shards;
use super::{Config, Metrics};
use crate::realtime::broker::{BrokerListener, NodeId};

/// What all clones of a link share.
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) node: NodeId,
    pub(super) names: Names,
    pub(super) shards: Arc<Shards>,
    pub(super) commands: Commands,
    pub(super) health: Arc<Health>,
    pub(super) lease: Lease,
    pub(super) replicas: Replicas,
    pub(super) own_fields: OwnFields,
    pub(super) listener: Arc<dyn BrokerListener>,
    pub(super) metrics: Metrics,
    /// It renews its lease no more.
    pub(super) is_leaving: AtomicBool,
}
