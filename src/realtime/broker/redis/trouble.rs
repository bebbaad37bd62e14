//! What may be wrong with Redis, each with a sentence of its own.

use std::sync::Arc;

use crate::realtime::broker::BrokerError;
use crate::realtime::vocabulary::Position;

/// Whether the door hears the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisState {
    /// It does: its own beat comes back.
    Up,
    /// Connected, but it has not heard its own beat yet, or no longer.
    Deaf,
    Down(RedisTrouble),
}

/// What is wrong with Redis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisTrouble {
    #[error("it has not been reached yet")]
    NotYet,
    #[error("{0}")]
    Unreachable(Arc<str>),
    #[error("it does not answer within {0} s")]
    Silent(u64),
    #[error("it refuses the password or the user ({0})")]
    WrongPassword(Arc<str>),
    #[error("its user may not do what Doorway needs ({0}): see the guide for the commands")]
    NotPermitted(Arc<str>),
    #[error("it is version {0}, and Doorway needs 6.2 or newer")]
    TooOld(Arc<str>),
    #[error("it is a replica and takes no writes: the URL names the primary, or Sentinels that know it")]
    ReadOnly,
    #[error("it is loading its data")]
    Loading,
    #[error("it is out of memory and takes no writes: raise maxmemory")]
    Full,
    #[error("it takes no writes because it cannot save them ({0})")]
    CannotSave(Arc<str>),
    #[error("no Sentinel knows a primary: {0}")]
    NoPrimary(Arc<str>),
    #[error("it is part of a Redis Cluster: the URL names it so, as in redis+cluster://host,host")]
    Cluster,
    #[error("it is no Redis Cluster: the URL names it as redis://host, or by Sentinels that know it")]
    NoCluster,
    #[error("it is version {0}, and Doorway needs 7.0 or newer of a Redis Cluster")]
    TooOldForCluster(Arc<str>),
    #[error("the cluster is down ({0})")]
    ClusterDown(Arc<str>),
    #[error("what is asked for is on its way to another server of the cluster")]
    Moving,
    /// One server of several.
    #[error("{0}: {1}")]
    OneOfCluster(Arc<str>, Box<RedisTrouble>),
    #[error("it says: {0}")]
    Says(Arc<str>),
}

impl RedisTrouble {
    /// The same, of one server of several. One that cannot be reached names it already.
    pub(super) fn of_one(self, host: &Arc<str>) -> RedisTrouble {
        match self {
            RedisTrouble::OneOfCluster(..) => self,
            RedisTrouble::Unreachable(text) if text.starts_with(&**host) => RedisTrouble::Unreachable(text),
            trouble => RedisTrouble::OneOfCluster(Arc::clone(host), Box::new(trouble)),
        }
    }
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    /// Within `message_patience`. Whether it was done is not known.
    #[error("Redis is away: {0}")]
    Away(RedisTrouble),
    /// More than [`MOST_WAITING`](super::MOST_WAITING) wait for it already.
    #[error("Redis is slow or away, and too many wait for it")]
    TooMany,
    /// It answers, and does not.
    #[error("Redis does not take it: {0}")]
    Refused(RedisTrouble),
    /// It has its place and was heard, but may be lost with this one server.
    #[error("{got} of {wanted} replicas have the message")]
    Replicas { position: Position, wanted: u32, got: u32 },
}

impl From<RedisError> for BrokerError {
    fn from(error: RedisError) -> BrokerError {
        match &error {
            RedisError::Away(trouble) => BrokerError::Away(trouble.to_string().into()),
            RedisError::TooMany => BrokerError::Away("too many wait for it already".into()),
            RedisError::Refused(trouble) => BrokerError::Refused(trouble.to_string().into()),
            RedisError::Replicas { .. } => BrokerError::Refused(error.to_string().into()),
        }
    }
}
