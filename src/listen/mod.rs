//! Sockets to connections: bind, accept, PROXY protocol, permits, inherited sockets.

mod accept;
mod bind;
mod config;
mod stream;

use std::net::SocketAddr;

pub use accept::accept;
pub use bind::{BindError, Listener, bind};
pub use config::Config;
pub use stream::Stream;

use crate::tls::Session;

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it comes from; with PROXY protocol, where the load balancer says.
    pub address: SocketAddr,
    /// The address of ours it reached.
    pub local: SocketAddr,
    /// What TLS agreed on; `None` on a plain socket.
    pub tls: Option<Session>,
}
