//! Listeners and connections: what is promised, a file each.
//!
//! - `bind`: several addresses at once, IPv4 and IPv6; what cannot be had is said in one sentence.
//! - `config`: every wrong value of `[listen]` and `[tls]` is said, with what would be right.
//! - `inherited`: sockets handed over by the service manager are used in place of binding.
//! - `limits`: the number of connections is bounded, in all and for one address, and whoever leaves makes room.
//! - `ports`: who speaks TLS to the port of plain HTTP, or plain HTTP to that of TLS, is told so in his own words, and so
//!   is the operator, once a minute; it is no request in the log.
//! - `proxy_protocol`: trusted proxies, and nobody else, say by the PROXY protocol who the client is.  Who the door
//!   thinks it is shows in the limit per address: one connection a client.
//! - `unsent`: of an answer that its client does not take, or slowly, little waits in the kernel: it stays with the app.

mod bind;
mod config;
mod inherited;
mod limits;
mod ports;
mod proxy_protocol;
mod unsent;
