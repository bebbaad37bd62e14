//! A body of packets: whatever it is, it is read to its end; and what was read is written as it was.

#![no_main]

#[path = "../laws/engine_payload.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|input: &[u8]| law::holds(input));
