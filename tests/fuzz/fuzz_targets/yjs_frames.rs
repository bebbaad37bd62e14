//! Frames of y-protocols: what can be read is written the same.

#![no_main]

#[path = "../laws/yjs_frames.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| law::holds(bytes));
