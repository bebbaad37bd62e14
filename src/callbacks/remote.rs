//! An app elsewhere: asked, or told something, over TLS at an address of its own, on a few connections that are kept.
#![expect(clippy::disallowed_methods, reason = "a connection ends with its sender; those who ask by it hold guards")]

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use toml::de::DeValue;

use crate::http::Body;
use crate::http::authority::unbracketed;
use crate::settings::{Expected, Setting};

/// Connections that are kept while idle; further ones are closed after their answer.
const MOST_IDLE: usize = 16;

/// How long one may have been idle to be used again: less than any server waits.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of an answer that nobody reads is passed over, in bytes, and for how long.
const MOST_PASSED_OVER: usize = 64 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Where an app elsewhere answers.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Remote {
    is_secure: bool,
    host: String,
    port: u16,
    /// As in `Host`.
    authority: String,
    target: PathAndQuery,
}

impl fmt::Debug for Remote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(formatter, "{scheme}://{}{}", self.authority, self.target.path())
    }
}

impl Remote {
    /// Reads `scheme://host[:port][/path]`, with http or https.
    pub fn read(text: &str) -> Option<Remote> {
        let uri: Uri = text.parse().ok()?;
        let is_secure = *uri.scheme()? == Scheme::HTTPS;
        let authority = uri.authority().filter(|_| is_secure || *uri.scheme_str().unwrap_or_default() == *"http")?;
        let host = unbracketed(authority.host()).to_owned();
        if host.is_empty() || authority.as_str().contains('@') {
            return None;
        }
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str().ends_with(authority.host()) => {
                if is_secure {
                    443
                } else {
                    80
                }
            }
            None => return None,
        };
        let target = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Some(Remote { is_secure, host, port, authority: authority.to_string(), target })
    }
}

impl Setting for Remote {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        let words = "the address of a route, as in \"https://example.com/api/ws\"";
        let remote = value.as_str().and_then(Remote::read);
        remote.filter(|remote| remote.target.path().len() > 1).ok_or(Expected(words.into()))
    }
}

/// Connections to an app elsewhere.
#[derive(Default)]
pub struct Away {
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
    /// At most [`MOST_IDLE`]; the latest is used first.
    idle: Mutex<Vec<IdleRemote>>,
}

/// An address elsewhere and the connections there: for whoever posts what is no callback.
pub struct Elsewhere {
    remote: Remote,
    away: Away,
}

impl Elsewhere {
    /// Reads `scheme://host[:port][/path]`, with http or https.
    pub fn read(text: &str) -> Option<Elsewhere> {
        Some(Elsewhere { remote: Remote::read(text)?, away: Away::default() })
    }

    /// Posts `body`, and says with which status that was answered.
    ///
    /// # Errors
    /// Why there was no answer.
    pub async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<StatusCode, String> {
        let mut request = http::Request::new(Body::from(body));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = headers;
        self.away.tell(&self.remote, request).await
    }
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.remote.fmt(formatter)
    }
}

struct IdleRemote {
    remote: Remote,
    sender: SendRequest<Body>,
    since: Instant,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteError {
    /// Asking again may help.
    Broken(String),
    TooLong,
}

fn broken(error: impl fmt::Display) -> RemoteError {
    RemoteError::Broken(error.to_string())
}

impl Away {
    /// Asks, and reads at most `most` bytes of the answer. Where it ends, `Host` and target are `remote`'s.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn ask(
        &self,
        remote: &Remote,
        request: http::Request<Body>,
        most: usize,
    ) -> Result<(StatusCode, Bytes), RemoteError> {
        let (sender, answer) = self.send(remote, request).await?;
        let (head, body) = answer.into_parts();
        let body = match Limited::new(body, most).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(RemoteError::TooLong),
            Err(error) => return Err(broken(error)),
        };
        self.keep(remote, sender);
        Ok((head.status, body))
    }

    /// Tells, and wants to know no more than the status of the answer.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn tell(&self, remote: &Remote, request: http::Request<Body>) -> Result<StatusCode, String> {
        let (sender, answer) = self.send(remote, request).await.map_err(|unanswered| match unanswered {
            RemoteError::Broken(why) => why,
            RemoteError::TooLong => "its answer is too long".to_owned(),
        })?;
        let status = answer.status();
        // What is short is passed over, and its connection serves again; what goes on and on ends with it.
        let rest = Limited::new(answer.into_body(), MOST_PASSED_OVER).collect();
        if timeout(DRAIN_TIMEOUT, rest).await.is_ok_and(|rest| rest.is_ok()) {
            self.keep(remote, sender);
        }
        Ok(status)
    }

    async fn send(
        &self,
        remote: &Remote,
        mut request: http::Request<Body>,
    ) -> Result<(SendRequest<Body>, http::Response<Incoming>), RemoteError> {
        *request.uri_mut() = Uri::from(remote.target.clone());
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(&remote.authority).map_err(broken)?);
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("doorway/", env!("CARGO_PKG_VERSION"))));
        let mut sender = match self.take(remote) {
            Some(sender) => sender,
            None => self.connect(remote).await?,
        };
        sender.ready().await.map_err(broken)?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        Ok((sender, answer))
    }

    fn take(&self, remote: &Remote) -> Option<SendRequest<Body>> {
        let mut idle = self.idle.lock();
        idle.retain(|known| known.since.elapsed() < IDLE_TIMEOUT && !known.sender.is_closed());
        let latest = idle.iter().rposition(|known| known.remote == *remote)?;
        Some(idle.remove(latest).sender)
    }

    fn keep(&self, remote: &Remote, sender: SendRequest<Body>) {
        let mut idle = self.idle.lock();
        if idle.len() < MOST_IDLE && !sender.is_closed() {
            idle.push(IdleRemote { remote: remote.clone(), sender, since: Instant::now() });
        }
    }

    async fn connect(&self, remote: &Remote) -> Result<SendRequest<Body>, RemoteError> {
        let stream = TcpStream::connect((remote.host.as_str(), remote.port)).await.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        if !remote.is_secure {
            return speak(stream).await;
        }
        let config = self.tls.get_or_init(trust).clone().map_err(RemoteError::Broken)?;
        let name = ServerName::try_from(remote.host.clone()).map_err(broken)?;
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(broken)?;
        speak(stream).await
    }
}

async fn speak<S>(stream: S) -> Result<SendRequest<Body>, RemoteError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends when the sender is dropped, and holds no guard: those who ask do.
    tokio::spawn(connection);
    Ok(sender)
}

/// The authorities that this machine trusts (`SSL_CERT_FILE` names others), read when they are first needed.
fn trust() -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("this machine trusts no certificate authority: install ca-certificates".into());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_elsewhere_has_scheme_host_and_path() {
        let remote = Remote::read("https://app.test/api/ws?x=1").unwrap();
        assert_eq!((remote.host.as_str(), remote.port, remote.is_secure), ("app.test", 443, true));
        assert_eq!(remote.to_string(), "https://app.test/api/ws", "a query may hold a secret");
        assert_eq!(Remote::read("http://[::1]:3000/x").unwrap().host, "::1");
        for wrong in ["", "/api/ws", "app.test/api", "https://", "ftp://a/b", "https://a@b/c", "https://a:99999/"] {
            assert_eq!(Remote::read(wrong), None, "{wrong}");
        }
        for (route, is_one) in [("https://app.test/x", true), ("https://app.test/", false), ("https://app.test", false)]
        {
            assert!(Remote::read(route).is_some());
            assert_eq!(Remote::parse(&DeValue::String(route.into())).is_ok(), is_one, "{route}");
        }
    }
}
