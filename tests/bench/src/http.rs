//! HTTP load: connections that ask again as soon as they are answered, over plain sockets, TLS and HTTP/2.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tally::Tally;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Plain,
    Tls,
    Http2,
}

pub trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// What is asked for, again and again.
#[derive(Debug, Clone)]
pub struct Ask {
    pub wire: Wire,
    pub connections: usize,
    pub path: String,
    pub headers: String,
    /// Bytes sent with every request (`POST`), if any.
    pub upload: usize,
    /// Count bytes of bodies in place of requests.
    pub count_bytes: bool,
    /// Of so many requests one is for an address that nobody has asked for before; 0: none.
    pub new_of: usize,
}

impl Ask {
    pub fn get(wire: Wire, connections: usize) -> Ask {
        Ask { wire, connections, path: "/".into(), headers: String::new(), upload: 0, count_bytes: false, new_of: 0 }
    }
}

static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

/// Asks until `end`.
pub async fn run(address: SocketAddr, ask: &Ask, end: Instant) -> Result<Tally> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let mut tasks = tokio::task::JoinSet::new();
    let tls = connector(ask.wire == Wire::Http2, false);
    for _ in 0..ask.connections {
        let (ask, tally, tls) = (ask.clone(), Rc::clone(&tally), tls.clone());
        tasks.spawn_local(async move {
            let stream = TcpStream::connect(address).await.context("connect")?;
            stream.set_nodelay(true)?;
            match ask.wire {
                Wire::Plain => http1(stream, address, &ask, &tally, end).await,
                Wire::Tls => {
                    http1(tls.connect(name(), stream).await.context("handshake")?, address, &ask, &tally, end).await
                }
                Wire::Http2 => {
                    http2(tls.connect(name(), stream).await.context("handshake")?, address, &ask, &tally, end).await
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(Rc::into_inner(tally).expect("every task has ended").into_inner())
}

/// Opens so many connections, at most 64 at a time.
pub async fn open(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    let mut opening = tokio::task::JoinSet::new();
    while streams.len() + opening.len() < count || !opening.is_empty() {
        while opening.len() < 64 && streams.len() + opening.len() < count {
            opening.spawn_local(TcpStream::connect(address));
        }
        let stream = opening.join_next().await.expect("not empty")?.context("connect")?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    Ok(streams)
}

/// Asks on connections that are open until `end`, and gives them back.
pub async fn keep_asking(
    streams: Vec<TcpStream>,
    address: SocketAddr,
    ask: &Ask,
    end: Instant,
) -> Result<(Tally, Vec<TcpStream>)> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let mut tasks = tokio::task::JoinSet::new();
    for mut stream in streams {
        let (ask, tally) = (ask.clone(), Rc::clone(&tally));
        tasks.spawn_local(async move {
            http1(&mut stream, address, &ask, &tally, end).await?;
            Ok::<_, anyhow::Error>(stream)
        });
    }
    let mut streams = Vec::with_capacity(tasks.len());
    while let Some(done) = tasks.join_next().await {
        streams.push(done??);
    }
    Ok((Rc::into_inner(tally).expect("every task has ended").into_inner(), streams))
}

/// The same where so many ask at once, each on one of its connections after another.
pub async fn keep_asking_in_turn(
    streams: Vec<TcpStream>,
    address: SocketAddr,
    lanes: usize,
    end: Instant,
) -> Result<(Tally, Vec<TcpStream>)> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let head: Rc<str> = format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").into();
    let mut shares: Vec<Vec<TcpStream>> = (0..lanes).map(|_| Vec::new()).collect();
    for (number, stream) in streams.into_iter().enumerate() {
        shares[number % lanes].push(stream);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for mut share in shares {
        let (head, tally) = (Rc::clone(&head), Rc::clone(&tally));
        tasks.spawn_local(async move {
            let (mut buffer, mut turn) = (vec![0; 4 * 1024], 0);
            while Instant::now() < end {
                let start = Instant::now();
                let count = share.len();
                let stream = &mut share[turn % count];
                turn += 1;
                stream.write_all(head.as_bytes()).await?;
                response(stream, &mut buffer).await?;
                tally.borrow_mut().add(start.elapsed(), 1);
            }
            Ok::<_, anyhow::Error>(share)
        });
    }
    let mut streams = Vec::new();
    while let Some(done) = tasks.join_next().await {
        streams.extend(done??);
    }
    Ok((Rc::into_inner(tally).expect("every task has ended").into_inner(), streams))
}

async fn http1(mut io: impl Io, address: SocketAddr, ask: &Ask, tally: &RefCell<Tally>, end: Instant) -> Result<()> {
    let method = if ask.upload > 0 { "POST" } else { "GET" };
    let length = if ask.upload > 0 { format!("Content-Length: {}\r\n", ask.upload) } else { String::new() };
    let head = format!("{method} {} HTTP/1.1\r\nHost: {address}\r\n{}{length}\r\n", ask.path, ask.headers);
    // Addresses of this connection alone.
    let (own, mut number) = (CONNECTIONS.fetch_add(1, Ordering::Relaxed), 0);
    let chunk = vec![b'u'; ask.upload.min(64 * 1024)];
    let mut buffer = vec![0; 64 * 1024];
    while Instant::now() < end {
        let start = Instant::now();
        number += 1;
        if ask.new_of > 0 && number % ask.new_of == 0 {
            let new = head.replacen(" HTTP/1.1", &format!("?{own}-{number} HTTP/1.1"), 1);
            io.write_all(new.as_bytes()).await?;
        } else {
            io.write_all(head.as_bytes()).await?;
        }
        let mut sent = 0;
        while sent < ask.upload {
            let part = chunk.len().min(ask.upload - sent);
            io.write_all(&chunk[..part]).await?;
            sent += part;
        }
        io.flush().await?;
        let received = response(&mut io, &mut buffer).await?;
        tally.borrow_mut().add(start.elapsed(), if ask.count_bytes { (received + sent) as u64 } else { 1 });
    }
    Ok(())
}

/// Reads one answer; gives the length of its body.
pub async fn response(io: &mut impl Io, buffer: &mut [u8]) -> Result<usize> {
    let mut have = 0;
    let end = loop {
        let read = io.read(&mut buffer[have..]).await?;
        if read == 0 {
            bail!("closed before an answer");
        }
        have += read;
        if let Some(end) = memchr::memmem::find(&buffer[..have], b"\r\n\r\n") {
            break end + 4;
        }
    };
    if !buffer.starts_with(b"HTTP/1.1 200") {
        bail!("{}", String::from_utf8_lossy(&buffer[..have.min(300)]));
    }
    let head = &buffer[..end];
    let field = |name: &[u8]| {
        let lower = head.to_ascii_lowercase();
        let at = memchr::memmem::find(&lower, name)? + name.len();
        let line = lower[at..].split(|byte| *byte == b'\r').next()?;
        std::str::from_utf8(line).ok().map(|text| text.trim().to_owned())
    };
    if let Some(length) = field(b"\r\ncontent-length:") {
        let length: usize = length.parse()?;
        let mut got = have - end;
        while got < length {
            let read = io.read(buffer).await?;
            if read == 0 {
                bail!("cut short");
            }
            got += read;
        }
        return Ok(length);
    }
    // Chunked: whole when its last bytes are those of the last chunk.
    let mut got = have - end;
    let mut tail = buffer[end..have].to_vec();
    while !tail.ends_with(b"0\r\n\r\n") {
        let read = io.read(buffer).await?;
        if read == 0 {
            bail!("cut short");
        }
        got += read;
        tail.extend_from_slice(&buffer[..read]);
        let keep = tail.len().saturating_sub(5);
        tail.drain(..keep);
    }
    Ok(got)
}

/// Eight streams at once on each connection.
const STREAMS: usize = 8;

async fn http2(
    io: impl Io + 'static,
    address: SocketAddr,
    ask: &Ask,
    tally: &RefCell<Tally>,
    end: Instant,
) -> Result<()> {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 24);
    let (sender, connection) = builder.handshake::<_, Bytes>(io).await?;
    let driver = tokio::task::spawn_local(connection);
    let stream = |mut sender: h2::client::SendRequest<Bytes>| async move {
        while Instant::now() < end {
            let start = Instant::now();
            futures_ready(&mut sender).await?;
            let received = http2_answer(&mut sender, address, &ask.path).await?;
            tally.borrow_mut().add(start.elapsed(), if ask.count_bytes { received as u64 } else { 1 });
        }
        Ok::<_, anyhow::Error>(())
    };
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(Box::pin(stream(sender.clone())));
    }
    for outcome in join_all(streams).await {
        outcome?;
    }
    drop(sender);
    driver.abort();
    Ok(())
}

/// Asks once over HTTP/2; gives the length of the answer's body. The host is that of the connection: another one is refused.
pub async fn http2_answer(
    sender: &mut h2::client::SendRequest<Bytes>,
    address: SocketAddr,
    path: &str,
) -> Result<usize> {
    let request = http::Request::get(format!("https://localhost:{}{path}", address.port())).body(())?;
    let (answer, _) = sender.send_request(request, true)?;
    let answer = answer.await?;
    if answer.status() != http::StatusCode::OK {
        bail!("{}", answer.status());
    }
    let mut body = answer.into_body();
    let mut received = 0;
    while let Some(chunk) = body.data().await {
        let length = chunk?.len();
        received += length;
        body.flow_control().release_capacity(length)?;
    }
    Ok(received)
}

async fn futures_ready(sender: &mut h2::client::SendRequest<Bytes>) -> Result<()> {
    std::future::poll_fn(|context| sender.poll_ready(context)).await?;
    Ok(())
}

async fn join_all<F: Future + Unpin>(mut futures: Vec<F>) -> Vec<F::Output> {
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (future, slot) in futures.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(output) = std::pin::Pin::new(future).poll(context)
            {
                *slot = Some(output);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(done.iter_mut().map(|slot| slot.take().expect("checked")).collect())
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}

/// Handshakes, one after the other on each of `lanes`, until `end`.
pub async fn handshakes(address: SocketAddr, lanes: usize, resumed: bool, end: Instant) -> Result<Tally> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..lanes {
        let tally = Rc::clone(&tally);
        let tls = connector(false, resumed);
        tasks.spawn_local(async move {
            while Instant::now() < end {
                let start = Instant::now();
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let mut stream = tls.connect(name(), stream).await?;
                // One request, so that tickets (which come after the handshake) are received.
                let head = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                let mut buffer = vec![0; 4096];
                response(&mut stream, &mut buffer).await?;
                tally.borrow_mut().add(start.elapsed(), 1);
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(Rc::into_inner(tally).expect("every task has ended").into_inner())
}

pub fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a name")
}

/// A client that believes any certificate: what is measured is the server. It offers TLS 1.3 alone, and the one key exchange
/// that all contenders have, so that none does more work than another.
pub fn connector(is_http2: bool, resumes: bool) -> TlsConnector {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    let builder =
        ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&rustls::version::TLS13]);
    let mut config = builder
        .expect("the provider has them")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believer))
        .with_no_client_auth();
    config.alpn_protocols = vec![if is_http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    if !resumes {
        config.resumption = rustls::client::Resumption::disabled();
    }
    TlsConnector::from(Arc::new(config))
}

#[derive(Debug)]
struct Believer;

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Between the start of the load and the first measurement.
pub const WARM_UP: Duration = Duration::from_millis(500);
