//! Connections to secure ones: handshake and certificates.
//!
//! TLS 1.2 and 1.3 with the cipher suites that rustls deems safe. Absent on purpose: client certificates, OCSP stapling
//! (authorities give it up), early data (it can be replayed).
//!
#![expect(clippy::disallowed_methods, reason = "certificates are followed until the drain's signal")]
#![doc = include_str!("README.md")]

pub mod acme;
pub mod challenges;

mod acceptor;
mod automatic;
mod certificates;
mod config;
mod files;
mod fingerprint;
mod handshake;
mod hello;
mod identity;
mod metrics;
mod sealing;
mod self_signed;
mod stream;

pub use acceptor::{Acceptor, TlsError};
pub use automatic::{AcmeConfig, ChallengeKind, Directory};
pub use config::{Config, MinVersion};
pub use handshake::Failed;
pub use identity::{IdentityError, Pair};
pub use self_signed::{SelfSignedError, trusted_file, trusted_with};
pub use stream::TlsStream;

use crate::drain::Signal;
use crate::telemetry::Registry;

/// Reads the certificates, and follows their files from then on until the door drains. Needs a runtime.
///
/// # Errors
/// [`TlsError`], naming the file at fault. An expired certificate is only logged: an old one is better than none.
pub fn start(config: &Config, drain: &Signal, registry: &mut Registry) -> Result<Acceptor, TlsError> {
    let acceptor = Acceptor::build(config, registry)?;
    tokio::spawn(files::follow(acceptor.clone(), drain.clone()));
    Ok(acceptor)
}

/// What the handshake agreed on.
#[derive(Debug, Clone)]
pub struct Session {
    /// The name the client asked for (SNI), in lower case.
    pub server_name: Option<String>,
    /// ALPN chose `h2`; otherwise HTTP/1.1.
    pub is_http2: bool,
}
