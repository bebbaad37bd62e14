//! A client's TLS connection, on rustls's interface without buffers: one that is idle keeps its keys and nothing else.
//! The buffers are the thread's, lent for as long as one record or a few are worked on.

mod lent;
mod page_offset;
mod record_size;

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::certificates;
pub(super) use lent::inbound;
use lent::{AT_ONCE, MAX_RECORD_LEN, RECORD_OVERHEAD, outbound};
use record_size::RecordSize;

/// A connection whose handshake is done.
pub struct TlsStream {
    tcp: TcpStream,
    connection: UnbufferedServerConnection,
    /// Records that are not worked on yet, or not whole. At most [`INBOUND`].
    received: Vec<u8>,
    /// Nothing more comes of `received` unless more is read.
    is_starved: bool,
    /// Decrypted, and not yet taken by the reader from `taken` on. At most what comes of `received`.
    decrypted: Vec<u8>,
    taken: usize,
    /// Encrypted, and not yet sent from `sent` on. Bounded by what is encrypted at a time: more is only taken once it is
    /// gone.
    unsent: Vec<u8>,
    sent: usize,
    record_size: RecordSize,
    /// The client said that it says no more.
    has_ended: bool,
    said_close: bool,
    has_failed: bool,
}

/// What is done with the connection as soon as it can be.
enum Work<'a, 'b> {
    Read(&'a mut ReadBuf<'b>),
    Encrypt { plain: &'a [u8], into: &'a mut [u8] },
    Close { into: &'a mut [u8] },
}

/// What was done.
enum Done {
    /// Something else, which had to be done before.
    Other,
    /// The client's bytes were decrypted.
    Read,
    /// Nothing, until more is read.
    Starved,
    /// This many bytes were encrypted into the buffer.
    Encrypted(usize),
    /// The client says no more, but may still listen.
    Ended,
    /// Nor do we.
    Closed,
}

impl TlsStream {
    /// Does the handshake. Also says what name the client asked for (SNI), in lower case.
    ///
    /// # Errors
    /// Those of the socket, `UnexpectedEof` where the client leaves, and `InvalidData` around a [`rustls::Error`].
    pub(super) async fn accept(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<(TlsStream, Option<String>)> {
        let connection = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        let mut stream = TlsStream {
            tcp,
            connection,
            received: Vec::new(),
            is_starved: true,
            decrypted: Vec::new(),
            taken: 0,
            unsent: Vec::new(),
            sent: 0,
            record_size: RecordSize::default(),
            has_ended: false,
            said_close: false,
            has_failed: false,
        };
        let mut name = None;
        std::future::poll_fn(|context| stream.poll_handshake(context, &mut name)).await?;
        Ok((stream, name))
    }

    /// The socket itself; its bytes are not those of the client.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// What was agreed.
    pub fn agreed(&self) -> &rustls::CommonState {
        &self.connection
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>, name: &mut Option<String>) -> Poll<io::Result<()>> {
        loop {
            let sent = self.poll_send(context)?;
            if !self.connection.is_handshaking() {
                return sent.map(Ok);
            }
            let received = self.poll_receive(context, &mut ReadBuf::new(&mut []));
            // Who is asked for the certificate is told the name, within the call above or not at all.
            if let Some(asked) = certificates::name_asked_for() {
                *name = Some(asked);
            }
            if ready!(received)? == 0 {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the client left the handshake")));
            }
        }
    }

    /// Works on what was received, and receives more where that is needed. Decrypted bytes go to `buffer`, and where it
    /// is full, wait. Says how many bytes were worked on, new ones and those that waited: none at the end.
    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        inbound(|scratch| {
            let mut filled = self.received.len();
            if self.is_starved {
                // No more than the reader takes: what is left over would be copied back and forth.
                let room = scratch.len().min(filled + buffer.remaining().max(MAX_RECORD_LEN) + RECORD_OVERHEAD);
                if filled == room {
                    self.has_failed = true;
                    let error = rustls::Error::from(rustls::InvalidMessage::HandshakePayloadTooLarge);
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
                let mut more = ReadBuf::new(&mut scratch[filled..room]);
                ready!(Pin::new(&mut self.tcp).poll_read(context, &mut more))?;
                if more.filled().is_empty() {
                    return Poll::Ready(Ok(0));
                }
                filled += more.filled().len();
            }
            scratch[..self.received.len()].copy_from_slice(&self.received);
            let mut done = 0;
            let outcome = loop {
                let (discard, outcome) = self.work(&mut scratch[done..filled], &mut Work::Read(buffer));
                done += discard;
                match outcome {
                    Ok(Done::Read) if buffer.remaining() > 0 => {}
                    Ok(Done::Other) => {}
                    outcome => break outcome,
                }
            };
            self.is_starved = matches!(outcome, Ok(Done::Starved)) || done == filled;
            self.received.clear();
            self.received.extend_from_slice(&scratch[done..filled]);
            if self.received.is_empty() {
                self.received = Vec::new();
            }
            match outcome {
                Ok(_) => Poll::Ready(Ok(filled)),
                Err(error) => {
                    // The client is told what is wrong with it, if there is room for that.
                    let _ = self.poll_send(context);
                    Poll::Ready(Err(error))
                }
            }
        })
    }

    /// Does the next thing that can be done, if possible `work`. Says how many bytes of `records` are done with.
    fn work(&mut self, records: &mut [u8], work: &mut Work<'_, '_>) -> (usize, io::Result<Done>) {
        let UnbufferedStatus { discard, state } = self.connection.process_tls_records(records);
        let done = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let payload = match record {
                        Ok(record) => record.payload,
                        Err(error) => return (discard, Err(self.fail(&mut records[discard..], error))),
                    };
                    let mut waits = payload;
                    if let Work::Read(buffer) = work
                        && self.decrypted.is_empty()
                    {
                        let (fits, rest) = payload.split_at(payload.len().min(buffer.remaining()));
                        buffer.put_slice(fits);
                        waits = rest;
                    }
                    self.decrypted.extend_from_slice(waits);
                }
                Done::Read
            }
            Ok(ConnectionState::EncodeTlsData(mut encode)) => {
                append(&mut self.unsent, |room| encode.encode(room));
                Done::Other
            }
            // What is to be sent is in `unsent`.
            Ok(ConnectionState::TransmitTlsData(transmit)) => {
                transmit.done();
                Done::Other
            }
            Ok(ConnectionState::PeerClosed) => {
                self.has_ended = true;
                Done::Ended
            }
            Ok(ConnectionState::Closed) => {
                self.has_ended = true;
                Done::Closed
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let encrypted = match work {
                    Work::Read(_) => return (discard, Ok(Done::Starved)),
                    Work::Encrypt { plain, into } => {
                        self.record_size.wake(Instant::now());
                        let (mut rest, mut length) = (*plain, Ok(0));
                        while let (Ok(before), false) = (&length, rest.is_empty()) {
                            let (piece, behind) = rest.split_at(self.record_size.next(rest.len()));
                            let before = *before;
                            length = traffic.encrypt(piece, &mut into[before..]).map(|more| before + more);
                            rest = behind;
                        }
                        length
                    }
                    Work::Close { into } => traffic.queue_close_notify(into),
                };
                match encrypted {
                    Ok(length) => Done::Encrypted(length),
                    Err(error) => return (discard, Err(io::Error::other(error))),
                }
            }
            Ok(ConnectionState::BlockedHandshake) => Done::Starved,
            // Early data, which is never accepted, and what later versions may have.
            Ok(_) => return (discard, Err(io::ErrorKind::Unsupported.into())),
            Err(error) => return (discard, Err(self.fail(&mut records[discard..], error))),
        };
        (discard, Ok(done))
    }

    /// No more can come of the connection but an alert that says so.
    fn fail(&mut self, records: &mut [u8], error: rustls::Error) -> io::Error {
        self.has_failed = true;
        while self.connection.wants_write() {
            match self.connection.process_tls_records(records).state {
                Ok(ConnectionState::EncodeTlsData(mut encode)) => append(&mut self.unsent, |room| encode.encode(room)),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => while traffic.next_record().is_some() {},
                _ => break,
            }
        }
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    /// Sends what is encrypted.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.unsent.len() {
            match ready!(Pin::new(&mut self.tcp).poll_write(context, &self.unsent[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                length => self.sent += length,
            }
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Takes the bytes, at most [`AT_ONCE`], once all before them are sent.
    fn poll_encrypt(&mut self, context: &mut Context<'_>, plain: &[u8]) -> Poll<io::Result<usize>> {
        if self.said_close || self.has_failed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.poll_send(context))?;
        if !plain.is_empty() {
            self.send(context, Some(plain))?;
        }
        Poll::Ready(Ok(plain.len()))
    }

    /// Encrypts the bytes, or where there are none the good-bye, and sends that, or what of it can be sent now.
    fn send(&mut self, context: &mut Context<'_>, plain: Option<&[u8]>) -> io::Result<()> {
        outbound(|scratch| {
            let mut received = std::mem::take(&mut self.received);
            let mut done = 0;
            let outcome = loop {
                let mut work = match plain {
                    Some(plain) => Work::Encrypt { plain, into: scratch },
                    None => Work::Close { into: scratch },
                };
                let (discard, outcome) = self.work(&mut received[done..], &mut work);
                done += discard;
                match outcome {
                    Ok(Done::Encrypted(length)) => break Ok(length),
                    Ok(Done::Starved) => break Err(io::ErrorKind::NotConnected.into()),
                    Ok(Done::Closed) => break Err(io::ErrorKind::BrokenPipe.into()),
                    Ok(Done::Ended | Done::Other | Done::Read) => {}
                    Err(error) => break Err(error),
                }
            };
            received.drain(..done);
            self.received = received;
            // What is left is not whole: the connection does what was received first.
            self.is_starved = true;
            let encrypted = &scratch[..outcome?];
            // What was queued while that was worked on goes first.
            let sent = match self.poll_send(context)? {
                Poll::Ready(()) => Pin::new(&mut self.tcp).poll_write(context, encrypted)?,
                Poll::Pending => Poll::Pending,
            };
            let sent = if let Poll::Ready(length) = sent { length } else { 0 };
            self.unsent.extend_from_slice(&encrypted[sent..]);
            Ok(())
        })
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let before = buffer.filled().len();
        while buffer.remaining() > 0 && buffer.filled().len() == before {
            let waiting = &stream.decrypted[stream.taken..];
            if !waiting.is_empty() {
                let length = waiting.len().min(buffer.remaining());
                buffer.put_slice(&waiting[..length]);
                stream.taken += length;
                if stream.taken == stream.decrypted.len() {
                    (stream.decrypted, stream.taken) = (Vec::new(), 0);
                }
                break;
            }
            if stream.has_ended {
                break;
            }
            if stream.has_failed {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let received = ready!(stream.poll_receive(context, buffer))?;
            // Where the client changes its keys, it hears of ours.
            if let Poll::Ready(Err(error)) = stream.poll_send(context) {
                return Poll::Ready(Err(error));
            }
            if received == 0 {
                let why = "the client left without TLS's good-bye (close_notify)";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, why)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let plain = &bytes[..bytes.len().min(AT_ONCE)];
        if !page_offset::is_slow(plain) {
            return self.get_mut().poll_encrypt(context, plain);
        }
        // Nothing is being received meanwhile.
        inbound(|scratch| {
            let quick = page_offset::quick(scratch, plain.len());
            quick.copy_from_slice(plain);
            self.get_mut().poll_encrypt(context, quick)
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(first) = slices.iter().find(|slice| !slice.is_empty()) else { return Poll::Ready(Ok(0)) };
        if first.len() >= MAX_RECORD_LEN || slices.len() == 1 {
            return self.poll_write(context, first);
        }
        // A record of many small pieces instead of many small records. Nothing is being received meanwhile.
        inbound(|scratch| {
            let scratch = page_offset::quick(scratch, MAX_RECORD_LEN);
            let mut filled = 0;
            for slice in slices {
                let length = slice.len().min(MAX_RECORD_LEN - filled);
                scratch[filled..filled + length].copy_from_slice(&slice[..length]);
                filled += length;
            }
            self.get_mut().poll_encrypt(context, &scratch[..filled])
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(context)
    }

    /// Says TLS's good-bye, and then TCP's.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if !std::mem::replace(&mut stream.said_close, true) && !stream.has_failed {
            // What waits is sent before: the queue keeps its order.
            stream.send(context, None)?;
        }
        ready!(stream.poll_send(context))?;
        match ready!(Pin::new(&mut stream.tcp).poll_shutdown(context)) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TlsStream").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

/// Lets `encode` write behind what is there, with as much room as it asks for.
fn append(bytes: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let end = bytes.len();
    let length = loop {
        match encode(&mut bytes[end..]) {
            Ok(length) => break length,
            Err(EncodeError::InsufficientSize(error)) => bytes.resize(end + error.required_size, 0),
            Err(EncodeError::AlreadyEncoded) => break 0,
        }
    };
    bytes.truncate(end + length);
}

#[cfg(test)]
mod tests;
