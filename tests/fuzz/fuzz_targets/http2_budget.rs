//! Frames of a client of HTTP/2, cut anywhere: the same ones are seen, and a flood is never free.

#![no_main]

#[path = "../laws/http2_budget.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| law::holds(bytes));
