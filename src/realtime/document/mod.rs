//! Kinds of documents that several edit at once, each a state machine by itself.

pub mod tree;
pub mod ydoc;
