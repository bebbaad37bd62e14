//! Any two capabilities: what both allow, and no more; never a panic.

#![no_main]

#[path = "../laws/ably_capability.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|input: &[u8]| law::holds(input));
