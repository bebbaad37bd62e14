//! One handshake: from a connection's first byte to an agreement, or a reason why there is none.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Session;
use super::stream::TlsStream;

/// No handshake, and whose fault that is: mostly the client's.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error("the client took too long")]
    Timeout,
    #[error("the client left")]
    Gone,
    #[error("the client speaks plain HTTP on the port of https")]
    PlainHttp,
    #[error("the client does not speak TLS")]
    NotTls,
    #[error("the client refuses: {0:?}")]
    Refused(rustls::AlertDescription),
    #[error("no agreement: {0}")]
    Disagreement(rustls::Error),
    #[error("the connection broke: {0}")]
    Broken(io::Error),
}

impl Failed {
    /// Every [`reason`](Failed::reason) there is.
    pub const REASONS: [&'static str; 7] =
        ["timeout", "gone", "plain_http", "not_tls", "refused_by_client", "disagreement", "broken"];

    /// For metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Failed::Timeout => "timeout",
            Failed::Gone => "gone",
            Failed::PlainHttp => "plain_http",
            Failed::NotTls => "not_tls",
            Failed::Refused(_) => "refused_by_client",
            Failed::Disagreement(_) => "disagreement",
            Failed::Broken(_) => "broken",
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) => Failed::Refused(*alert),
            Some(disagreement) => Failed::Disagreement(disagreement.clone()),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Failed::Gone,
            None if error.kind() == io::ErrorKind::ConnectionReset => Failed::Gone,
            None => Failed::Broken(error),
        }
    }
}

/// The type of a TLS record that carries a handshake (RFC 8446 section 5.1): the first byte of every client that
/// speaks TLS.
const HANDSHAKE: u8 = 22;

/// Waits until the client begins; nothing is held for one that only connects.
///
/// # Errors
/// [`Failed::Gone`], [`Failed::NotTls`], and [`Failed::PlainHttp`], which has been answered.
pub async fn begin(stream: &mut TcpStream) -> Result<(), Failed> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(Failed::Gone);
    }
    match first[0] {
        HANDSHAKE => Ok(()),
        b'A'..=b'Z' => {
            // The outcome is the same whether the client stays to read the answer or not.
            let _ = tokio::time::timeout(Duration::from_secs(1), say_https(stream)).await;
            Err(Failed::PlainHttp)
        }
        _ => Err(Failed::NotTls),
    }
}

/// Tells a client that speaks plain HTTP where it is, and reads what it had to say: to close with bytes unread would
/// reset the connection and take the answer with it.
async fn say_https(stream: &mut TcpStream) -> io::Result<()> {
    let sentence = "This port speaks https: ask for https:// instead of http://.\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{sentence}",
        sentence.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut sink = [0; 4096];
    for _ in 0..64 {
        if stream.read(&mut sink).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// Does the handshake.
///
/// # Errors
/// [`Failed`].
pub async fn complete(stream: TcpStream, config: Arc<ServerConfig>) -> Result<(TlsStream, Session), Failed> {
    let (stream, server_name) = TlsStream::accept(stream, config).await?;
    let is_http2 = stream.agreed().alpn_protocol() == Some(b"h2");
    Ok((stream, Session { server_name, is_http2 }))
}
