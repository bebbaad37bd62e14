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
mod cache;
mod cluster;
mod command_line;
mod compress;
mod config;
mod deploys;
mod documents;
mod drain;
mod files;
mod first_process;
mod http;
mod http2;
mod idle;
mod init;
mod install;
mod instructions;
mod listen;
mod lists;
mod logs;
mod package;
mod pusher;
mod realtime;
mod releases;
mod reload;
mod running;
mod screen;
mod sections;
mod shares;
mod socketio;
mod systemd;
mod telemetry;
mod tls;
mod upstream;
