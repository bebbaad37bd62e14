//! MessagePack (its specification, "Formats"): one item at a time in, one out. Who reads walks the items itself, with
//! its own bounds on depth and count; nothing is taken on a length's word.

pub mod json;
pub mod read;
pub mod write;

pub use read::{Malformed, MsgpackItem, MsgpackReader};
