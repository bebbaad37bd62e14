//! Targets and names of hosts: each has one form, and the form of the form is itself.

#![no_main]

#[path = "../laws/canonical.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| law::holds(bytes));
