//! What must hold for the parsers that are ours (tests/fuzz/laws), held against the inputs that fuzzing found worth
//! keeping (tests/fuzz/seeds).
#![allow(clippy::disallowed_types, clippy::unwrap_used, reason = "a test that panics says so")]

use std::path::Path;

#[path = "fuzz/laws/ably_capability.rs"]
mod ably_capability;
#[path = "fuzz/laws/ably_frames.rs"]
mod ably_frames;
#[path = "fuzz/laws/ably_msgpack.rs"]
mod ably_msgpack;
#[path = "fuzz/laws/ably_token_request.rs"]
mod ably_token_request;
#[path = "fuzz/laws/canonical.rs"]
mod canonical;
#[path = "fuzz/laws/engine_payload.rs"]
mod engine_payload;
#[path = "fuzz/laws/engine_session.rs"]
mod engine_session;
#[path = "fuzz/laws/http1_guard.rs"]
mod http1_guard;
#[path = "fuzz/laws/http2_budget.rs"]
mod http2_budget;
#[path = "fuzz/laws/proxy_header.rs"]
mod proxy_header;
#[path = "fuzz/laws/pusher_message.rs"]
mod pusher_message;
#[path = "fuzz/laws/socketio_packets.rs"]
mod socketio_packets;
#[path = "fuzz/laws/socketio_recovery.rs"]
mod socketio_recovery;
#[path = "fuzz/laws/tree_ops.rs"]
mod tree_ops;
#[path = "fuzz/laws/upstream_answer.rs"]
mod upstream_answer;
#[path = "fuzz/laws/yjs_frames.rs"]
mod yjs_frames;
#[path = "fuzz/laws/yjs_updates.rs"]
mod yjs_updates;

fn hold(target: &str, holds: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
    let mut seeds = 0;
    for entry in std::fs::read_dir(&folder).expect("a folder of seeds") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a seed");
        let held = std::panic::catch_unwind(|| holds(&bytes));
        assert!(held.is_ok(), "{}", path.display());
        seeds += 1;
    }
    assert!(seeds >= 10, "only {seeds} seeds in {}", folder.display());
}

#[test]
fn capabilities() {
    hold("ably_capability", ably_capability::holds);
}

#[test]
fn messagepack_of_ably() {
    hold("ably_msgpack", ably_msgpack::holds);
}

#[test]
fn token_requests() {
    hold("ably_token_request", ably_token_request::holds);
}

#[test]
fn frames_of_ably() {
    hold("ably_frames", ably_frames::holds);
}

#[test]
fn targets_and_hosts() {
    hold("canonical", canonical::holds);
}

#[test]
fn requests() {
    hold("http1_guard", http1_guard::holds);
}

#[test]
fn frames_of_http2() {
    hold("http2_budget", http2_budget::holds);
}

#[test]
fn proxy_headers() {
    hold("proxy_header", proxy_header::holds);
}

#[test]
fn answers() {
    hold("upstream_answer", upstream_answer::holds);
}

#[test]
fn bodies_of_packets() {
    hold("engine_payload", engine_payload::holds);
}

#[test]
fn sessions_and_their_requests() {
    hold("engine_session", engine_session::holds);
}

#[test]
fn frames_of_socketio() {
    hold("socketio_packets", socketio_packets::holds);
}

#[test]
fn frames_of_pusher() {
    hold("pusher_message", pusher_message::holds);
}

#[test]
fn clients_that_come_back() {
    hold("socketio_recovery", socketio_recovery::holds);
}

#[test]
fn operations_on_a_tree() {
    hold("tree_ops", tree_ops::holds);
}

#[test]
fn updates_of_yjs() {
    hold("yjs_updates", yjs_updates::holds);
}

#[test]
fn frames_of_yjs() {
    hold("yjs_frames", yjs_frames::holds);
}
