//! Tests from outside: the real binary, real sockets. One file a promise.

mod harness;

mod admin;
mod command_line;
mod compress_codings;
mod compress_streaming;
mod config;
mod drain;
mod files_builds;
mod files_large;
mod files_paths;
mod files_ranges;
mod files_static;
mod http_access;
mod http_proxy;
mod logs;
mod reload;
mod systemd;
mod upstream_answers;
mod upstream_away;
mod upstream_pool;
mod upstream_process;
mod upstream_streaming;
mod realtime_plain;
