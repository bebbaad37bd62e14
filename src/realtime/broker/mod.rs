//! How nodes hear each other, and what is kept of what was said.
//!
//! What any broker promises the hub, for each channel on its own:
//! 1. Every accepted message has one offset; offsets count up by one within an epoch.
//! 2. Every node hands messages to its subscribers in the order of their offsets.
//! 3. What is asked for by position is given whole, in order and once, or not at all, and that is said.
//!
//! A single node hears itself: [`memory`] numbers, keeps and hands back in one step, under the channel's own lock.

pub mod memory;
