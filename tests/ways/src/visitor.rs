//! A client as a browser is one: HTTP/1.1 or HTTP/2 over TLS, with windows that are never what a download waits for.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What went wrong for a client.
pub type Wrong = Box<dyn Error + Send + Sync>;

/// How long a client waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of HTTP/2, for a stream and for a connection.
const WINDOWS: (u32, u32) = (6 << 20, 15 << 20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

/// Knows where the site is, what it is called, and whom to trust. What it opens is on the side it is used on.
#[derive(Clone)]
pub struct Visitor {
    pub https: SocketAddr,
    pub host: &'static str,
    http1: TlsConnector,
    http2: TlsConnector,
}

impl Visitor {
    pub fn new(https: SocketAddr, host: &'static str, roots: RootCertStore) -> Visitor {
        let connector = |protocol: &[u8]| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            let builder = builder.expect("the provider has them").with_root_certificates(roots.clone());
            let mut config = builder.with_no_client_auth();
            config.alpn_protocols = vec![protocol.to_vec()];
            // Each connection is a stranger's first.
            config.resumption = rustls::client::Resumption::disabled();
            TlsConnector::from(Arc::new(config))
        };
        Visitor { https, host, http1: connector(b"http/1.1"), http2: connector(b"h2") }
    }

    pub async fn tcp(&self) -> Result<TcpStream, Wrong> {
        let stream = timeout(PATIENCE, TcpStream::connect(self.https)).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A TLS connection on which nothing was said.
    pub async fn silent(&self, version: Version) -> Result<TlsStream<TcpStream>, Wrong> {
        let connector = if version == Version::Http1 { &self.http1 } else { &self.http2 };
        let connecting = connector.connect(ServerName::try_from(self.host)?, self.tcp().await?);
        Ok(timeout(PATIENCE, connecting).await??)
    }

    /// A connection of its own.
    pub async fn connect(&self, version: Version) -> Result<Connection, Wrong> {
        let stream = TokioIo::new(self.silent(version).await?);
        let sender = match version {
            Version::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Version::Http2 => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.initial_stream_window_size(WINDOWS.0).initial_connection_window_size(WINDOWS.1);
                let (sender, connection) = builder.handshake(stream).await?;
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        };
        Ok(Connection { host: self.host, sender })
    }
}

/// An open connection.
pub struct Connection {
    host: &'static str,
    sender: Sender,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Comes back with the head of a good answer; its body goes on coming.
    ///
    /// # Errors
    ///
    /// As there is no answer, or not a good one, or none in a minute.
    pub async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Incoming, Wrong> {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(body);
        let answer = match &mut self.sender {
            Sender::Http1(sender) => {
                let request = request.uri(path).header("host", self.host).body(body)?;
                timeout(PATIENCE, sender.send_request(request)).await??
            }
            Sender::Http2(sender) => {
                let request = request.uri(format!("https://{}{path}", self.host)).body(body)?;
                timeout(PATIENCE, sender.send_request(request)).await??
            }
        };
        if answer.status() == 200 { Ok(answer.into_body()) } else { Err(answer.status().to_string().into()) }
    }

    pub async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Incoming, Wrong> {
        self.ask(Method::GET, path, headers, Bytes::new()).await
    }
}

/// The whole body.
pub async fn whole(body: Incoming) -> Result<Bytes, Wrong> {
    Ok(timeout(PATIENCE, body.collect()).await??.to_bytes())
}

/// So much of the body, and a little more.
pub async fn some(body: &mut Incoming, bytes: usize) -> Result<(), Wrong> {
    let mut read = 0;
    while read < bytes {
        let frame = timeout(PATIENCE, body.frame()).await?.ok_or("it ended")??;
        read += frame.data_ref().map_or(0, Bytes::len);
    }
    Ok(())
}
