//! How doors hear each other, and what is kept of what was said.
//!
//! What any broker promises the hub, for each channel on its own:
//! 1. Every accepted message has one offset; offsets count up by one within an epoch.
//! 2. Every door hands messages to its subscribers in the order of their offsets.
//! 3. What is asked for by position is given whole, in order and once, or not at all, and that is said.
//!
//! A single door hears itself: [`memory`] numbers, keeps and hands back in one step, under the channel's own lock. Several
//! doors share a [`Broker`], which orders and keeps for all of them; each mirrors the channels that it has somebody in.

pub mod memory;
pub mod redis;

mod shared;

pub use shared::{
    Appended, Broker, BrokerError, BrokerListener, ChannelEvent, LogEntry, Marked, NodeId, Recipient, Snapshot, Top,
    Waiting,
};
