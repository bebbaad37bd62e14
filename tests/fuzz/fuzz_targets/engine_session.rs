//! A session of Engine.IO and requests that do as they like: reads, posts, broken-off ones, second transports, time.

#![no_main]

#[path = "../laws/engine_session.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|input: &[u8]| law::holds(input));
