//! Documents of Yjs: bad bytes change nothing, and what is taken is on disk.

#![no_main]

#[path = "../laws/yjs_updates.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| law::holds(bytes));
