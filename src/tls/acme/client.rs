//! How the authority is asked: HTTP/1.1 over TLS, in bounded time, with an eye on what it says of coming back.
#![expect(clippy::disallowed_methods, reason = "a connection ends with its one answer, which is waited for")]

use std::fmt;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONNECTION, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use parking_lot::Mutex;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::tls::automatic::AcmeConfig;

/// For one request, from the connection to the last byte of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer, in bytes; a chain of certificates has some 10 KiB.
const MAX_ANSWER: usize = 1 << 20;

/// Why it could not be asked.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A certificate does not hold now, by the clock here: so it is with all of them where that clock is wrong.
#[derive(Debug, thiserror::Error)]
#[error(
    "{what} by the clock here, which says {}: if that is wrong, set it (timedatectl set-ntp true)",
    humantime::format_rfc3339_seconds(*says)
)]
pub struct ClockError {
    /// As in "the certificate of example.com has expired".
    what: String,
    says: SystemTime,
}

impl ClockError {
    pub fn new(what: impl Into<String>) -> ClockError {
        ClockError { what: what.into(), says: SystemTime::now() }
    }

    /// Where that is why the handshake with `host` failed.
    fn of(host: &str, error: &io::Error) -> Option<ClockError> {
        use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
        let rustls::Error::InvalidCertificate(why) = error.get_ref()?.downcast_ref()? else { return None };
        match why {
            Expired | ExpiredContext { .. } => Some(ClockError::new(format!("the certificate of {host} has expired"))),
            NotValidYet | NotValidYetContext { .. } => {
                Some(ClockError::new(format!("the certificate of {host} is not valid yet")))
            }
            _ => None,
        }
    }
}

/// Asks the authority. Clones share what it said last.
#[derive(Clone)]
pub struct AcmeClient {
    tls: Arc<ClientConfig>,
    /// When it may be asked again, by the last refusal that said so (`Retry-After`, RFC 8555 section 6.6).
    retry_after: Arc<Mutex<Option<SystemTime>>>,
}

impl fmt::Debug for AcmeClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcmeClient").finish_non_exhaustive()
    }
}

impl AcmeClient {
    /// Reads whom to trust. Blocks.
    ///
    /// # Errors
    /// A sentence: the file cannot be read, or nobody is trusted.
    pub fn new(config: &AcmeConfig) -> Result<AcmeClient, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = &config.ca_file {
            add_file(&mut roots, file)?;
        }
        if roots.is_empty() {
            return Err("this machine trusts no certificate authority: install ca-certificates".to_owned());
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(AcmeClient { tls: Arc::new(tls), retry_after: Arc::default() })
    }

    /// For instant-acme.
    pub fn boxed(&self) -> Box<dyn HttpClient> {
        Box::new(self.clone())
    }

    /// How long the authority wants to be left alone, from `now`, in seconds.
    pub fn retry_after(&self, now: SystemTime) -> Option<u64> {
        let until = (*self.retry_after.lock())?;
        Some(until.duration_since(now).unwrap_or_default().as_secs())
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Cause> {
        let (mut head, body) = request.into_parts();
        let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
        let uri = std::mem::take(&mut head.uri);
        let host = uri.host().ok_or("an address of the authority has no host")?.to_owned();
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        if uri.scheme_str() != Some("https") {
            return Err(format!("the authority names an address without https: {uri}").into());
        }
        head.uri = uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
        head.headers.insert(HOST, HeaderValue::try_from(authority).map_err(|error| error.to_string())?);
        head.headers.insert(USER_AGENT, HeaderValue::from_static(concat!("doorway/", env!("CARGO_PKG_VERSION"))));
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let plain = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let broken = |error: &dyn fmt::Display| format!("cannot speak with {host}: {error}");
        let stream = TcpStream::connect((plain.as_str(), uri.port_u16().unwrap_or(443))).await;
        let stream = stream.map_err(|error| broken(&error))?;
        let name = ServerName::try_from(plain).map_err(|error| broken(&error))?;
        let stream = TlsConnector::from(self.tls).connect(name, stream).await;
        let stream = stream.map_err(|error| match ClockError::of(&host, &error) {
            Some(clock) => clock.into(),
            None => Cause::from(broken(&error)),
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        tokio::spawn(connection);
        let answer = sender.send_request(Request::from_parts(head, Full::new(body))).await;
        let (head, body) = answer.map_err(|error| broken(&error))?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| broken(&error))?.to_bytes();
        if head.status.is_client_error() || head.status.is_server_error() {
            *self.retry_after.lock() = head.headers.get(RETRY_AFTER).and_then(read_retry_after);
        }
        Ok(BytesResponse::from(Response::from_parts(head, Full::new(body))))
    }
}

impl HttpClient for AcmeClient {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (client, host) = (self.clone(), request.uri().host().unwrap_or_default().to_owned());
        Box::pin(async move {
            match timeout(REQUEST_TIMEOUT, client.send(request)).await {
                Ok(outcome) => outcome.map_err(Error::Other),
                Err(_) => Err(Error::Other(format!("{host} did not answer within {REQUEST_TIMEOUT:?}").into())),
            }
        })
    }
}

fn add_file(roots: &mut RootCertStore, file: &Path) -> Result<(), String> {
    let failed = |error: &dyn fmt::Display| format!("tls.acme.ca_file {}: {error}", file.display());
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| failed(&error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| failed(&error))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Seconds, or a date (RFC 9110 section 10.2.3).
fn read_retry_after(value: &HeaderValue) -> Option<SystemTime> {
    let text = value.to_str().ok()?.trim();
    match text.parse::<u32>() {
        Ok(seconds) => Some(SystemTime::now() + Duration::from_secs(seconds.into())),
        Err(_) => httpdate::parse_http_date(text).ok(),
    }
}
