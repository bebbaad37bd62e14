//! Any token request: only what is signed is minted; never a panic.

#![no_main]

#[path = "../laws/ably_token_request.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|input: &[u8]| law::holds(input));
