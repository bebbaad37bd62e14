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
mod listen_bind;
mod listen_config;
mod listen_inherited;
mod listen_limits;
mod listen_proxy_protocol;
mod logs;
mod realtime_plain;
mod reload;
mod systemd;
mod tls_certificates;
mod tls_handshake;
mod tls_reload;
mod tls_self_signed;
mod upstream_answers;
mod upstream_away;
mod upstream_next;
mod upstream_pool;
mod upstream_process;
mod upstream_rewrite;
mod upstream_streaming;
mod upstream_tunnel;
