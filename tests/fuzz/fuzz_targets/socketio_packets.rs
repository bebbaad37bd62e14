//! Any frames at all from a Socket.IO client: commands or a violation, never a panic; and what goes to others is whole.
//! A line is a frame, `t` and a text or `b` and bytes; the first line has `m` for MessagePack, `a` for an app that is asked.

#![no_main]

#[path = "../laws/socketio_packets.rs"]
mod law;

libfuzzer_sys::fuzz_target!(|input: &[u8]| law::holds(input));
