//! TLS clients, as particular as the test wants them.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
pub use tokio_rustls::client::TlsStream;

use super::certificate::Authority;
use super::door::PATIENCE;

/// One client: what it trusts and offers, and the sessions it remembers.
#[derive(Clone)]
pub struct Client(Arc<ClientConfig>);

impl Client {
    /// Trusts `authority`; offers every version and no ALPN.
    pub fn new(authority: &Authority) -> Client {
        Client::with(authority, &[], rustls::ALL_VERSIONS)
    }

    pub fn with(authority: &Authority, alpn: &[&str], versions: &[&'static SupportedProtocolVersion]) -> Client {
        Client::trusting(authority.roots(), alpn, versions)
    }

    pub fn trusting(roots: RootCertStore, alpn: &[&str], versions: &[&'static SupportedProtocolVersion]) -> Client {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Client(Arc::new(config))
    }

    /// Would send early data where a ticket allows it.
    pub fn eager(authority: &Authority) -> Client {
        let mut config = Arc::unwrap_or_clone(Client::new(authority).0);
        config.enable_early_data = true;
        Client(Arc::new(config))
    }

    /// Does a ticket for `name` allow early data?
    pub fn may_send_early(&self, name: &str) -> bool {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name).expect("a client");
        connection.early_data().is_some()
    }

    /// Shakes hands over a connection that exists.
    pub async fn over(&self, stream: TcpStream, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let connecting = TlsConnector::from(Arc::clone(&self.0)).connect(name, stream);
        timeout(PATIENCE, connecting).await.expect("a handshake in time")
    }

    pub async fn try_connect(&self, address: SocketAddr, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        self.over(TcpStream::connect(address).await.expect("a connection"), name).await
    }

    pub async fn connect(&self, address: SocketAddr, name: &str) -> TlsStream<TcpStream> {
        self.try_connect(address, name).await.expect("a handshake")
    }
}

/// The first message of a client, in one record.
pub fn hello() -> Vec<u8> {
    let client = Client::trusting(RootCertStore::empty(), &[], rustls::ALL_VERSIONS);
    let name = ServerName::try_from("site.test").expect("a name");
    let mut bytes = Vec::new();
    ClientConnection::new(client.0, name).expect("a client").write_tls(&mut bytes).expect("written");
    bytes
}

/// The leaf that the door showed.
pub fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().expect("certificates")[0].clone()
}

/// Sends a GET on a connection that stays open, and reads its answer with a short body of known length.
pub async fn get(stream: &mut TlsStream<TcpStream>, host: &str) -> String {
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    let whole = |answer: &[u8]| {
        let text = String::from_utf8_lossy(answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        (body.len() >= length.unwrap_or(0)).then_some(text.clone())
    };
    loop {
        if let Some(text) = whole(&answer) {
            return text;
        }
        let mut piece = [0; 4096];
        let read = timeout(PATIENCE, stream.read(&mut piece)).await.expect("an answer in time").expect("an answer");
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
    }
}
