//! Operations on a tree: what is on disk, and what others are told, is the tree.

#![no_main]

#[path = "../laws/tree_ops.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| law::holds(bytes));
