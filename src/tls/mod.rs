//! Connections to secure ones: handshake and certificates.

mod config;

pub use config::Config;

/// What the handshake agreed on.
#[derive(Debug, Clone)]
pub struct Session {
    /// The name the client asked for (SNI), in lower case.
    pub server_name: Option<String>,
    /// ALPN chose `h2`; otherwise HTTP/1.1.
    pub is_http2: bool,
}
