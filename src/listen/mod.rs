//! Sockets to connections: bind, accept, PROXY protocol, permits, inherited sockets.
//!
#![doc = include_str!("README.md")]

pub mod passage;
pub mod proxy_protocol;

mod accept;
mod bind;
mod config;
mod descriptors;
mod connection_setup;
mod inherited;
mod metrics;
mod offprint;
mod port_owner;
mod permits;
mod stream;
mod system;
mod tcp_info;
mod unsent;

use std::net::SocketAddr;

pub use accept::accept;
pub use bind::{BindError, Listener, open, open_one};
pub use config::{Config, ProxyProtocol};
pub use connection_setup::ConnectionSetup;
pub use inherited::{Inherited, InheritedError};
pub use offprint::Offprint;
pub use passage::Passage;
pub use stream::Stream;
pub use system::is_refusal;
pub use tcp_info::TcpInfo;

use crate::tls::Session;

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it comes from; with PROXY protocol, where the load balancer says. IPv4 addresses are never mapped ones.
    pub address: SocketAddr,
    /// The address of ours it reached.
    pub local: SocketAddr,
    /// What TLS agreed on; `None` on a plain socket.
    pub tls: Option<Session>,
}
