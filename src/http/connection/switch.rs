//! From a request to what takes its place: the connection itself over HTTP/1.1, a stream of it over HTTP/2 (RFC 8441), which
//! takes its turn among the others.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::http1::{Guarded, Promised};
use super::turns::Turn;
use super::{Connected, Io};
use crate::http::Request;
use crate::listen::Stream;

/// Resolves once the answer that grants the upgrade is sent.
#[derive(Debug)]
pub struct Switching {
    way: Way,
    /// The connection of a stream.
    connected: Option<Arc<Connected>>,
}

/// How a connection comes back.
#[derive(Debug)]
enum Way {
    Library(OnUpgrade),
    /// hyper never had it.
    Beneath(oneshot::Receiver<Box<Guarded>>),
}

/// Nothing takes the place of the request.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    #[error(transparent)]
    Library(#[from] hyper::Error),
    #[error("the client went before its upgrade was granted, or it was refused")]
    Gone,
}

/// Whether `request` asks for an upgrade that can be granted.
pub fn is_asked(request: &Request) -> bool {
    request.extensions().get::<OnUpgrade>().is_some() || request.extensions().get::<Promised>().is_some()
}

/// What comes of `request` when it is granted.
pub fn on(request: &mut Request) -> Switching {
    let is_stream = request.version() == http::Version::HTTP_2;
    let connected = request.extensions().get::<Arc<Connected>>().filter(|_| is_stream).cloned();
    let promised = request.extensions().get::<Promised>().and_then(Promised::take);
    let way = promised.map_or_else(|| Way::Library(hyper::upgrade::on(request)), Way::Beneath);
    Switching { way, connected }
}

impl Future for Switching {
    type Output = Result<Switched, SwitchError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let raw = match &mut self.way {
            Way::Library(upgrade) => Raw::Library(TokioIo::new(ready!(Pin::new(upgrade).poll(context))?)),
            Way::Beneath(promised) => {
                Raw::Beneath(ready!(Pin::new(promised).poll(context)).map_err(|_| SwitchError::Gone)?)
            }
        };
        Poll::Ready(Ok(Switched { raw, connected: self.connected.take() }))
    }
}

/// What the client and who answered it now speak over, whatever that is.
#[derive(Debug)]
pub struct Switched {
    raw: Raw,
    connected: Option<Arc<Connected>>,
}

#[derive(Debug)]
enum Raw {
    Library(TokioIo<Upgraded>),
    Beneath(Box<Guarded>),
}

impl Switched {
    /// The connection itself over HTTP/1.1, and what was read of it already.
    ///
    /// # Errors
    /// The stream over HTTP/2.
    pub fn whole(self) -> Result<(Stream, Bytes), SwitchedIo> {
        let Switched { raw, connected } = self;
        match raw {
            Raw::Beneath(guarded) => Ok(guarded.into_parts()),
            Raw::Library(upgraded) => match upgraded.into_inner().downcast::<Io>() {
                Ok(parts) => {
                    let (stream, rest) = parts.io.into_inner().into_parts();
                    // What hyper has read comes first; what the guard still holds (hardly ever anything) after it.
                    let read = if rest.is_empty() { parts.read_buf } else { [parts.read_buf, rest].concat().into() };
                    Ok((stream, read))
                }
                Err(upgraded) => Err(Switched { raw: Raw::Library(TokioIo::new(upgraded)), connected }.io()),
            },
        }
    }

    /// Either of them, as bytes.
    pub fn io(self) -> SwitchedIo {
        let turn = self.connected.map(|connected| (connected, Turn::of_socket()));
        SwitchedIo { io: self.raw, turn, granted: 0 }
    }
}

/// Reads and writes.
#[derive(Debug)]
pub struct SwitchedIo {
    io: Raw,
    /// A stream's.
    turn: Option<(Arc<Connected>, Turn)>,
    /// Bytes that it is the stream's turn to write.
    granted: usize,
}

macro_rules! forward {
    ($self:expr, $io:ident => $call:expr) => {
        match $self {
            Raw::Library($io) => {
                let $io = Pin::new($io);
                $call
            }
            Raw::Beneath($io) => {
                let $io = Pin::new($io.as_mut());
                $call
            }
        }
    };
}

impl Drop for SwitchedIo {
    fn drop(&mut self) {
        if let Some((connected, turn)) = &self.turn {
            connected.turns.leave(turn);
        }
    }
}

impl AsyncRead for SwitchedIo {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        forward!(&mut self.get_mut().io, io => io.poll_read(context, buffer))
    }
}

impl AsyncWrite for SwitchedIo {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some((connected, turn)) = &mut this.turn else {
            return forward!(&mut this.io, io => io.poll_write(context, bytes));
        };
        if this.granted == 0 && !bytes.is_empty() {
            this.granted = ready!(connected.turns.poll_take(turn, bytes.len(), context));
            // The next one need not wait until this is written: that may be long, where the client takes nothing of it.
            connected.turns.pass(turn);
        }
        let bytes = &bytes[..this.granted.min(bytes.len())];
        let written = ready!(forward!(&mut this.io, io => io.poll_write(context, bytes)));
        this.granted = 0;
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(&mut self.get_mut().io, io => io.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(&mut self.get_mut().io, io => io.poll_shutdown(context))
    }
}
