//! Answers of an app, right and wrong, cut anywhere: the same comes out, and chunks mean to us what they mean at the

#![no_main]

#[path = "../laws/upstream_answer.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| law::holds(bytes));
