//! A door's link to Redis, as the hub sees it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::{Config, Metrics, RedisError, RedisState, RedisTrouble};
use crate::realtime::broker::{Appended, Broker, BrokerListener, LogEntry, NodeId, Recipient, Snapshot, Waiting};
use crate::realtime::vocabulary::{Channel, Position};

/// A door's link to Redis. Cheap to clone; it ends with its last clone.
#[derive(Clone)]
pub struct RedisLink {
    node: NodeId,
    state: Arc<watch::Sender<RedisState>>,
}

/// Where a channel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelTop {
    pub position: Position,
    /// The number of the latest change of the roster.
    pub sequence: u64,
}

/// A channel at one moment, and whether a position that was asked for still counts.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelCopy {
    pub snapshot: Snapshot,
    /// What is after the position is in the snapshot, whole, though the epoch may be another: the entries begin with the
    /// offset after it. Redis that was restarted or failed over without losing a message goes on like that.
    pub follows: bool,
}

impl RedisLink {
    /// Never fails: while Redis is away the link goes on trying, and says so in its [`state`](RedisLink::state).
    pub fn open(config: Config, node: NodeId, listener: Arc<dyn BrokerListener>, metrics: Metrics) -> RedisLink {
        let _ = (config, listener, metrics);
        RedisLink { node, state: Arc::new(watch::Sender::new(RedisState::Down(RedisTrouble::NotYet))) }
    }

    /// Whether the door hears the others, for readiness and the log.
    pub fn state(&self) -> watch::Receiver<RedisState> {
        self.state.subscribe()
    }

    /// Where channels stand, in their order. It renews the time for which Redis keeps them: to be asked of all that
    /// somebody is in, some times a minute.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn tops(&self, _channels: &[Channel]) -> Result<Vec<ChannelTop>, RedisError> {
        Err(RedisError::Away(RedisTrouble::NotYet))
    }

    /// As [`Broker::snapshot`], with more to know.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn copy(
        &self,
        _channel: &Channel,
        _after: Option<Position>,
        _most: usize,
    ) -> Result<ChannelCopy, RedisError> {
        Err(RedisError::Away(RedisTrouble::NotYet))
    }

    /// Leaves the others in good order: what this door put is taken out at once. Nothing is to be put after it.
    ///
    /// # Errors
    /// [`RedisError`]: then they find out by `node_timeout`.
    pub async fn close(&self) -> Result<(), RedisError> {
        Err(RedisError::Away(RedisTrouble::NotYet))
    }
}

fn waiting<T: Send + 'static>() -> Waiting<T> {
    Box::pin(async { Err(RedisError::Away(RedisTrouble::NotYet).into()) })
}

impl Broker for RedisLink {
    fn node(&self) -> NodeId {
        self.node
    }

    fn append(&self, _channel: &Channel, _entry: LogEntry) -> Waiting<Appended> {
        waiting()
    }

    fn pass(&self, _channel: &Channel, _body: Bytes) -> Waiting<()> {
        waiting()
    }

    fn put(&self, _channel: &Channel, _field: &str, _value: Bytes) -> Waiting<()> {
        waiting()
    }

    fn remove(&self, _channel: &Channel, _field: &str) -> Waiting<()> {
        waiting()
    }

    fn subscribe(&self, _channel: &Channel) -> Waiting<()> {
        waiting()
    }

    fn unsubscribe(&self, _channel: &Channel) -> Waiting<()> {
        waiting()
    }

    fn snapshot(&self, _channel: &Channel, _after: Option<Position>, _most: usize) -> Waiting<Snapshot> {
        waiting()
    }

    fn tell(&self, _to: Recipient, _body: Bytes) -> Waiting<()> {
        waiting()
    }

    fn nodes(&self) -> Waiting<Vec<NodeId>> {
        waiting()
    }
}
