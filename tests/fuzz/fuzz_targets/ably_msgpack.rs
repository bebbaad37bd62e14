//! Any bytes as MessagePack: refused, or read and written the same; never a panic.

#![no_main]

#[path = "../laws/ably_msgpack.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|input: &[u8]| law::holds(input));
