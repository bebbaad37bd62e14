//! Tests from outside: the real binary, real sockets. One file a promise.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "what the house forbids itself is shorter here, and a test that panics says so"
)]

mod harness;

mod admin;
mod api;
mod command_line;
mod compress_codings;
mod compress_streaming;
mod config;
mod deploys;
mod deploys_next;
mod drain;
mod files_builds;
mod files_large;
mod files_next;
mod files_paths;
mod files_ranges;
mod files_static;
mod http2_floods;
mod http2_requests;
mod http2_websocket;
mod http_access;
mod http_bodies;
mod http_bytes;
mod http_canonical;
mod http_forwarded;
mod http_heads;
mod http_paths;
mod http_proxy;
mod http_timeouts;
mod http_upgrades;
mod listen_bind;
mod listen_config;
mod listen_inherited;
mod listen_limits;
mod listen_proxy_protocol;
mod lists;
mod logs;
mod pusher;
mod realtime_callbacks;
mod realtime_drain;
mod realtime_entrance;
mod realtime_jitter;
mod realtime_killed;
mod realtime_plain;
mod realtime_presence;
mod realtime_questions;
mod realtime_replay;
mod realtime_rooms;
mod realtime_slow;
mod realtime_storm;
mod realtime_streams;
mod realtime_survival;
mod realtime_websocket;
mod reload;
mod shares_callbacks;
mod shares_channels;
mod shares_http;
mod shares_realtime;
mod socketio;
mod systemd;
mod tls_certificates;
mod tls_handshake;
mod tls_reload;
mod tls_self_signed;
mod upstream_answers;
mod upstream_away;
mod upstream_next;
mod upstream_pages;
mod upstream_pool;
mod upstream_process;
mod upstream_rewrite;
mod upstream_streaming;
mod upstream_tunnel;
