//! The way to a server: TCP or a socket of this machine, with TLS or without.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::Config;
use super::address::RedisHost;
use super::trouble::RedisTrouble;

/// Either way.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// Opens streams, and knows whom to trust.
pub(super) struct Dialer {
    is_secure: bool,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
    ca_file: Option<std::path::PathBuf>,
}

impl Dialer {
    pub(super) fn new(config: &Config) -> Dialer {
        let ca_file = config.ca_file.clone();
        Dialer { is_secure: config.url.is_secure, config: OnceLock::new(), ca_file }
    }

    /// # Errors
    /// Why there is no stream.
    pub(super) async fn open(&self, host: &RedisHost) -> Result<Box<dyn Duplex>, RedisTrouble> {
        let failed = |error: &dyn std::fmt::Display| RedisTrouble::Unreachable(format!("{host}: {error}").into());
        let (name, port) = match host {
            RedisHost::Unix(path) => {
                return Ok(Box::new(UnixStream::connect(path).await.map_err(|error| failed(&error))?));
            }
            RedisHost::Tcp { host, port } => (host.as_str(), *port),
        };
        let stream = TcpStream::connect((name, port)).await.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        if !self.is_secure {
            return Ok(Box::new(stream));
        }
        let config = self.config.get_or_init(|| trust(self.ca_file.as_deref())).clone();
        let config = config.map_err(|error| failed(&error))?;
        let server = ServerName::try_from(name.to_owned()).map_err(|error| failed(&error))?;
        let stream = TlsConnector::from(config).connect(server, stream).await.map_err(|error| failed(&error))?;
        Ok(Box::new(stream))
    }
}

/// The authorities in `ca_file`, else those that this machine trusts. Read when they are first needed, once.
fn trust(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            let failed = |error: &dyn std::fmt::Display| format!("realtime.redis.ca_file {}: {error}", file.display());
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| failed(&error))? {
                let certificate = certificate.map_err(|error| failed(&error))?;
                roots.add(certificate).map_err(|error| failed(&error))?;
            }
            if roots.is_empty() {
                return Err(failed(&"there is no certificate in it"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err("this machine trusts no certificate authority: install ca-certificates".to_owned());
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
