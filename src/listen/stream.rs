//! The one stream type: plain or inside TLS, and with it the permit to be here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::SendFlags;
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop;

use super::passage::Passage;
use super::permits::Permit;
use super::system::{AT_ONCE, BEFORE_MORE};
use super::unsent::Unsent;
use crate::tls::TlsStream;

/// A client's connection. It counts against the limits of `[listen]` until it is dropped, upgrades included.
#[derive(Debug)]
pub struct Stream {
    transport: Transport,
    unsent: Unsent,
    _permit: Option<Permit>,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    /// Boxed: a connection without TLS need not be as large as one with it.
    Tls(Box<TlsStream>),
}

impl Stream {
    pub(super) fn plain(stream: TcpStream, permit: Permit) -> Stream {
        Stream { transport: Transport::Plain(stream), unsent: Unsent::default(), _permit: Some(permit) }
    }

    pub(super) fn secure(stream: TlsStream, permit: Permit) -> Stream {
        Stream { transport: Transport::Tls(Box::new(stream)), unsent: Unsent::default(), _permit: Some(permit) }
    }

    /// Is what is read and written here encrypted on the wire?
    pub fn is_secure(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// The socket itself, for its options and addresses; with TLS its bytes are not those of the client.
    pub fn tcp(&self) -> &TcpStream {
        self.transport.tcp()
    }

    /// Several answers share it from now on: little of one may wait in the kernel before another.
    pub fn share(&mut self) {
        self.unsent.share(self.transport.tcp());
    }

    /// Sends at most `most` bytes of what is in `passage`.
    ///
    /// # Errors
    /// Those of the socket; with TLS, that nothing can be sent which was not encrypted.
    pub fn poll_drain(&mut self, context: &mut Context<'_>, passage: &Passage, most: usize) -> Poll<io::Result<usize>> {
        let Transport::Plain(socket) = &self.transport else {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        };
        let moved = passage.poll_drain(context, socket, most);
        self.note(moved.is_pending());
        moved
    }

    /// Writes `bytes`, behind which more comes at once.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_write_before_more(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.transport {
            Transport::Plain(stream) => send_with(BEFORE_MORE, Pin::new(stream), context, bytes),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        };
        self.note(written.is_pending());
        written
    }

    /// Heeds whether the socket had room.
    fn note(&mut self, is_pending: bool) {
        // Who only gives way to other tasks does not wait for his client.
        if !is_pending || coop::has_budget_remaining() {
            self.unsent.note(is_pending, self.transport.tcp());
        }
    }
}

impl Transport {
    fn tcp(&self) -> &TcpStream {
        match self {
            Transport::Plain(stream) => stream,
            Transport::Tls(stream) => stream.tcp(),
        }
    }
}

/// Outside of the limits of `[listen]`.
impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Stream { transport: Transport::Plain(stream), unsent: Unsent::default(), _permit: None }
    }
}

macro_rules! forward {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().transport {
            Transport::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Transport::Tls($stream) => {
                let $stream = Pin::new($stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        forward!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let written = match &mut stream.transport {
            Transport::Plain(stream) => write_at_once(Pin::new(stream), context, bytes),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        };
        stream.note(written.is_pending());
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let written = match &mut stream.transport {
            Transport::Plain(stream) => write_gathered(Pin::new(stream), context, slices),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(context, slices),
        };
        stream.note(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        match &mut stream.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(context),
            // What is encrypted waits there.
            Transport::Tls(tls) => {
                let flushed = Pin::new(tls.as_mut()).poll_flush(context);
                stream.note(flushed.is_pending());
                flushed
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, stream => stream.poll_shutdown(context))
    }
}

/// Asks the kernel before the runtime: nearly always there is room. What the runtime knows of it is elsewhere in memory,
/// and for one message to thousands of sockets it is fetched in vain.
fn write_at_once(stream: Pin<&mut TcpStream>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    send_with(AT_ONCE, stream, context, bytes)
}

fn send_with(
    flags: SendFlags,
    stream: Pin<&mut TcpStream>,
    context: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    // A task that always finds room would never give way.
    let progress = ready!(coop::poll_proceed(context));
    match rustix::net::send(&*stream, bytes, flags) {
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => stream.poll_write(context, bytes),
        written => {
            progress.made_progress();
            Poll::Ready(Ok(written?))
        }
    }
}

/// What is gathered into one piece, in bytes.
const MAX_GATHERED: usize = 4 * 1024;

/// Writes small pieces as one: copying them takes less time than the kernel needs to walk a list of them.
fn write_gathered(
    stream: Pin<&mut TcpStream>,
    context: &mut Context<'_>,
    slices: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [slice] = slices {
        return write_at_once(stream, context, slice);
    }
    let length: usize = slices.iter().map(|slice| slice.len()).sum();
    if length > MAX_GATHERED {
        return stream.poll_write_vectored(context, slices);
    }
    let mut buffer = SmallVec::<[u8; MAX_GATHERED]>::new();
    slices.iter().for_each(|slice| buffer.extend_from_slice(slice));
    write_at_once(stream, context, &buffer)
}
