//! Redis as the broker of several doors: it orders, keeps and carries; nothing of it is home-made consensus.
//!
//! Two things a channel: a log (epoch and offset, opaque bodies) and a roster (named values, and a number that counts their
//! changes). All that must be whole is a script; all keys of a channel lie in one slot, so that in a Redis Cluster each channel
//! is one server's.

mod address;
mod answers;
mod commands;
mod config;
mod connection;
mod core;
mod documents;
mod doors;
mod finding;
mod health;
mod hearing;
mod lease;
mod link;
mod mapping;
mod metrics;
mod names;
mod own_fields;
mod peer_address;
mod queues;
mod replicas;
mod scripts;
mod shard;
mod shards;
mod slots;
mod speaking;
mod stream;
mod trouble;
mod wanted;
mod wire;

pub use address::{Deployment, RedisAddress, RedisHost, RedisLogin};
pub use config::Config;
pub use link::RedisLink;
pub use metrics::Metrics;
pub use peer_address::PeerAddress;
pub use trouble::{RedisError, RedisState, RedisTrouble};

/// What waits for Redis at once; what is more is refused.
pub const MOST_WAITING: usize = 10_000;

#[cfg(test)]
mod tests;
