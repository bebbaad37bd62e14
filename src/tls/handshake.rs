//! One handshake: from a connection's first byte to an agreement, or a reason why there is none.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::RecvFlags;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use super::Session;
use super::challenges::Challenges;
use super::hello::{self, HelloVerdict, Objection};
use super::stream::{TlsStream, inbound};

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
    /// No failure: an authority has seen what it came for.
    #[error("an authority looked at the certificate of a challenge")]
    Challenge,
}

impl Failed {
    /// Every [`label`](Failed::label) of a failure.
    pub const REASONS: [&'static str; 7] =
        ["timeout", "gone", "plain_http", "not_tls", "refused_by_client", "disagreement", "broken"];

    /// For metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Failed::Timeout => "timeout",
            Failed::Gone => "gone",
            Failed::PlainHttp => "plain_http",
            Failed::NotTls => "not_tls",
            Failed::Refused(_) => "refused_by_client",
            Failed::Disagreement(_) => "disagreement",
            Failed::Broken(_) => "broken",
            Failed::Challenge => "challenge",
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

/// Waits until the client's first message is whole, and leaves it in the socket; nothing is held for one that only
/// connects, or that begins and does not go on. Bound it in time.
///
/// # Errors
/// [`Failed::Gone`], [`Failed::NotTls`], [`Failed::PlainHttp`] and [`Failed::Disagreement`], which have been answered.
pub async fn begin(stream: &mut TcpStream) -> Result<(), Failed> {
    let (first, verdict) = look(stream).await?;
    match (first, verdict) {
        (None, _) => Err(Failed::Gone),
        (Some(hello::HANDSHAKE), HelloVerdict::Never(Objection { reason, alert })) => {
            // A fatal alert; there is room for it, nothing else has been sent.
            let _ = stream.try_write(&[21, 3, 3, 0, 2, 2, alert]);
            Err(Failed::Disagreement(rustls::Error::InvalidMessage(reason)))
        }
        (Some(hello::HANDSHAKE), HelloVerdict::Unfinished) => Err(Failed::Gone),
        (Some(hello::HANDSHAKE), HelloVerdict::Whole) => Ok(()),
        (Some(b'A'..=b'Z'), _) => {
            // The outcome is the same whether the client stays to read the answer or not.
            let _ = tokio::time::timeout(Duration::from_secs(1), say_https(stream)).await;
            Err(Failed::PlainHttp)
        }
        _ => Err(Failed::NotTls),
    }
}

/// The first byte, and what is to be thought of all; unfinished only when no more comes.
async fn look(stream: &TcpStream) -> io::Result<(Option<u8>, HelloVerdict)> {
    loop {
        let ready = stream.ready(Interest::READABLE).await?;
        let mut unfinished = (None, HelloVerdict::Unfinished);
        let looked = stream.try_io(Interest::READABLE, || {
            let seen = inbound(|scratch| {
                let room = &mut scratch[..hello::LOOKED_AT];
                let (length, _) = rustix::net::recv(stream, &mut *room, RecvFlags::PEEK)?;
                Ok::<_, io::Error>((room[..length].first().copied(), hello::judge(&room[..length])))
            })?;
            match seen {
                // As long as nothing more comes there is no use in being woken.
                (Some(hello::HANDSHAKE), HelloVerdict::Unfinished) => {
                    unfinished = seen;
                    Err(io::ErrorKind::WouldBlock.into())
                }
                _ => Ok(seen),
            }
        });
        match looked {
            // Readiness for reading stays set for good once the other side has closed.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && ready.is_read_closed() => return Ok(unfinished),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            looked => return looked,
        }
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

/// What to show to a client that is an authority, by its first message, which [`begin`] has seen whole.
pub fn challenge(stream: &TcpStream, challenges: &Challenges) -> Option<Arc<ServerConfig>> {
    inbound(|scratch| {
        let room = &mut scratch[..hello::LOOKED_AT];
        let (length, _) = rustix::net::recv(stream, &mut *room, RecvFlags::PEEK).ok()?;
        challenges.certificate_for(&room[..length])
    })
}

/// Does the handshake of a challenge, after which there is nothing to say (RFC 8737 section 3).
///
/// # Errors
/// [`Failed::Challenge`] when it is done, others when it is not.
pub async fn show(stream: TcpStream, config: Arc<ServerConfig>) -> Result<(TlsStream, Session), Failed> {
    let mut stream = tokio_rustls::TlsAcceptor::from(config).accept(stream).await?;
    let _ = stream.shutdown().await;
    Err(Failed::Challenge)
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
