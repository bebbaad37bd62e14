//! Tests from outside: the real binary, real sockets. One file a promise.

mod harness;

mod config;
mod http_proxy;
