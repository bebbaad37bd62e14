//! The two halves of a connection to the app, over TCP or a path in the file system.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, tcp, unix};

use crate::listen::{Passage, TcpInfo};

/// What an app that is near may send ahead of its reader, in bytes. Left to itself the kernel takes up to 6 MiB for each
/// answer whose client is slow.
const RECEIVE_BUFFER: usize = 256 * 1024;
/// An app is near up to this round trip: the buffer is good for 2 Gbit/s there. A longer way needs more, and gets what the
/// kernel finds right.
const NEAR: Duration = Duration::from_millis(1);

/// Bounds what waits in the kernel of what the app sends: an answer waits in the app, where it can still be stopped.
///
/// # Errors
/// Those of the socket.
pub fn bound_what_waits(stream: &TcpStream) -> io::Result<()> {
    let is_here = stream.peer_addr()?.ip().to_canonical().is_loopback();
    if is_here || TcpInfo::of(stream).is_ok_and(|info| info.round_trip < NEAR) {
        SockRef::from(stream).set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    Ok(())
}

/// The half of a connection to the app that is read.
#[derive(Debug)]
pub enum Reader {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
}

/// The half of a connection to the app that is written.
#[derive(Debug)]
pub enum Writer {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
}

impl Reader {
    /// True while the other side has neither closed nor sent anything. Costs a system call only when something happened.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let read = match self {
            Reader::Tcp(half) => half.try_read(&mut byte),
            Reader::Unix(half) => half.try_read(&mut byte),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Reader {
    /// Puts what the app sends into `passage`, as [`Passage::poll_fill`] does.
    pub fn poll_fill(
        &self,
        context: &mut Context<'_>,
        passage: &Passage,
        most: usize,
    ) -> Poll<io::Result<Option<usize>>> {
        match self {
            Reader::Tcp(half) => passage.poll_fill(context, half.as_ref(), most),
            Reader::Unix(half) => passage.poll_fill(context, half.as_ref(), most),
        }
    }
}

impl Writer {
    /// Gives the app what is in `passage`, as [`Passage::poll_drain`] does.
    pub fn poll_drain(&self, context: &mut Context<'_>, passage: &Passage, most: usize) -> Poll<io::Result<usize>> {
        match self {
            Writer::Tcp(half) => passage.poll_drain(context, half.as_ref(), most),
            Writer::Unix(half) => passage.poll_drain(context, half.as_ref(), most),
        }
    }
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Reader::Tcp(half) => Pin::new(half).poll_read(context, buffer),
            Reader::Unix(half) => Pin::new(half).poll_read(context, buffer),
        }
    }
}

macro_rules! forward {
    ($self:ident, $half:ident => $call:expr) => {
        match $self.get_mut() {
            Writer::Tcp($half) => {
                let $half = Pin::new($half);
                $call
            }
            Writer::Unix($half) => {
                let $half = Pin::new($half);
                $call
            }
        }
    };
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        forward!(self, half => half.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self, half => half.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, half => half.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, half => half.poll_shutdown(context))
    }
}
