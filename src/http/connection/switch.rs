//! From a request to what takes its place: the connection itself over HTTP/1.1, a stream of it over HTTP/2 (RFC 8441), which
//! takes its turn among the others.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::turns::Turn;
use super::{Connected, Io};
use crate::http::Request;

/// Resolves once the answer that grants the upgrade is sent.
#[derive(Debug)]
pub struct Switching {
    upgrade: OnUpgrade,
    /// The connection of a stream.
    connected: Option<Arc<Connected>>,
}

/// What comes of `request` when it is granted.
pub fn on(request: &mut Request) -> Switching {
    let is_stream = request.version() == http::Version::HTTP_2;
    let connected = request.extensions().get::<Arc<Connected>>().filter(|_| is_stream).cloned();
    Switching { upgrade: hyper::upgrade::on(request), connected }
}

impl Future for Switching {
    type Output = hyper::Result<Switched>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let upgraded = ready!(Pin::new(&mut self.upgrade).poll(context))?;
        Poll::Ready(Ok(Switched { upgraded, connected: self.connected.take() }))
    }
}

/// What the client and who answered it now speak over, whatever that is.
#[derive(Debug)]
pub struct Switched {
    upgraded: Upgraded,
    connected: Option<Arc<Connected>>,
}

impl Switched {
    /// The connection itself over HTTP/1.1.
    ///
    /// # Errors
    /// The stream over HTTP/2.
    pub fn whole(self) -> Result<Parts<Io>, SwitchedIo> {
        let Switched { upgraded, connected } = self;
        upgraded.downcast::<Io>().map_err(|upgraded| Switched { upgraded, connected }.io())
    }

    /// Either of them, as bytes.
    pub fn io(self) -> SwitchedIo {
        let turn = self.connected.map(|connected| (connected, Turn::of_socket()));
        SwitchedIo { io: TokioIo::new(self.upgraded), turn, granted: 0 }
    }
}

/// Reads and writes.
#[derive(Debug)]
pub struct SwitchedIo {
    io: TokioIo<Upgraded>,
    /// A stream's.
    turn: Option<(Arc<Connected>, Turn)>,
    /// Bytes that it is the stream's turn to write.
    granted: usize,
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
        Pin::new(&mut self.get_mut().io).poll_read(context, buffer)
    }
}

impl AsyncWrite for SwitchedIo {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some((connected, turn)) = &mut this.turn else { return Pin::new(&mut this.io).poll_write(context, bytes) };
        if this.granted == 0 && !bytes.is_empty() {
            this.granted = ready!(connected.turns.poll_take(turn, bytes.len(), context));
            // The next one need not wait until this is written: that may be long, where the client takes nothing of it.
            connected.turns.pass(turn);
        }
        let written = ready!(Pin::new(&mut this.io).poll_write(context, &bytes[..this.granted.min(bytes.len())]));
        this.granted = 0;
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}
