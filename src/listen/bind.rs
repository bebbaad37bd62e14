//! Opening the sockets that clients reach.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tracing::info;

/// An open socket, and what is spoken on it.
#[derive(Debug)]
pub struct Listener {
    pub socket: TcpListener,
    /// TLS first.
    pub is_secure: bool,
}

/// A socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    pub address: SocketAddr,
    pub source: io::Error,
}

/// Opens one socket; says so in the log with the port it really got.
///
/// # Errors
/// [`BindError`] when the port is in use or not ours to take.
pub async fn bind(address: SocketAddr, kind: &'static str) -> Result<Listener, BindError> {
    let socket = TcpListener::bind(address).await.map_err(|source| BindError { address, source })?;
    let address = socket.local_addr().map_err(|source| BindError { address, source })?;
    info!(kind, %address, "listening");
    Ok(Listener { socket, is_secure: kind == "https" })
}
