//! Any frames at all from a client of Ably: an answer in the protocol's form or a close, never a panic.

#![no_main]

#[path = "../laws/ably_frames.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|input: &[u8]| law::holds(input));
