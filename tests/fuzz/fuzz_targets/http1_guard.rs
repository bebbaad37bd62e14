//! Bytes of a client of HTTP/1: however they are cut the same passes, and what passes is what other parsers see too.

#![no_main]

#[path = "../laws/http1_guard.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| law::holds(bytes));
