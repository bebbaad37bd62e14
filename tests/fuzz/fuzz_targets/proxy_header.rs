//! The PROXY header: it is judged by its own bytes alone, neither sooner nor otherwise when more follows.

#![no_main]

#[path = "../laws/proxy_header.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| law::holds(bytes));
