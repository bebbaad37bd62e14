//! A client that comes back and comes back, whatever breaks: each event once and in order. A byte is a step.

#![no_main]

#[path = "../laws/socketio_recovery.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|input: &[u8]| law::holds(input));
