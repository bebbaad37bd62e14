//! A request on its way to the app: its head, then its body, piece by piece as it comes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body as _;
use tokio::io::AsyncWrite;

use super::socket::Writer;
use crate::http::Body;
use crate::http::body::BodyError;
use crate::listen::Passage;
use crate::listen::passage::{before_blank, carried_by_nobody};

/// How the app is told where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    None,
    /// Bytes that are still to come from the client.
    Length(u64),
    Chunked,
}

/// Why a request did not get through.
#[derive(Debug)]
pub enum UploadError {
    /// The client stopped before its end, or sent another length than it announced.
    Client(BodyError),
    /// The app takes no more.
    App(io::Error),
}

/// At most two frames of the body are held: the one being written, and the head with the first.
pub struct Upload {
    head: Vec<u8>,
    head_sent: usize,
    /// What is to be written after the head: a chunk's size, its data, its end.
    pieces: [Bytes; 3],
    body: Body,
    /// Something was asked of the body.
    is_begun: bool,
    /// Where the body is, as far as it is carried.
    passage: Option<Arc<Passage>>,
    encoding: Encoding,
    /// Nothing more comes from the body.
    is_read: bool,
    /// Everything is written.
    is_sent: bool,
    /// How many bytes the kernel took, head included.
    pub sent: u64,
    /// What is missing now is the client's to send, so the app is not to blame for silence.
    pub awaits_client: bool,
}

impl Upload {
    pub fn new(head: Vec<u8>, body: Body, encoding: Encoding) -> Upload {
        let is_read = encoding == Encoding::None;
        Upload {
            head,
            head_sent: 0,
            pieces: Default::default(),
            body,
            is_begun: false,
            passage: None,
            encoding,
            is_read,
            is_sent: false,
            sent: 0,
            awaits_client: false,
        }
    }

    /// How `body` will be framed: by its length where it is known.
    pub fn encoding_of(body: &Body) -> Encoding {
        match (body.is_end_stream(), body.size_hint().exact()) {
            (true, _) => Encoding::None,
            (false, Some(length)) => Encoding::Length(length),
            (false, None) => Encoding::Chunked,
        }
    }

    pub fn has_body(&self) -> bool {
        self.encoding != Encoding::None
    }

    pub fn is_sent(&self) -> bool {
        self.is_sent
    }

    /// Begins again on another connection; only while the body is untouched or nothing was sent of it.
    pub fn rewind(&mut self) {
        self.head_sent = 0;
        self.sent = 0;
        self.is_sent = false;
    }

    /// Writes what can be written; ready when everything is.
    pub fn poll(&mut self, writer: &mut Writer, context: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        loop {
            // The first piece of a body that is there already leaves in one packet with the head.
            if !self.is_read && self.pieces.iter().all(Bytes::is_empty) {
                match self.poll_body(context) {
                    Poll::Ready(read) => {
                        self.awaits_client = false;
                        read?;
                    }
                    Poll::Pending => {
                        self.awaits_client = true;
                        if self.head_sent == self.head.len() {
                            return Poll::Pending;
                        }
                    }
                }
            }
            ready!(self.poll_write(writer, context)).map_err(UploadError::App)?;
            if self.is_read && self.pieces.iter().all(Bytes::is_empty) {
                self.is_sent = true;
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Writes the rest while the answer is read. Gives the writer back: closing it now would look like a hang-up.
    pub async fn finish(mut self, mut writer: Writer) -> Writer {
        if let Err(error) = std::future::poll_fn(|context| self.poll(&mut writer, context)).await {
            tracing::debug!(?error, "an upload ended before its end");
        }
        writer
    }

    fn poll_write(&mut self, writer: &mut Writer, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let head = &self.head[self.head_sent..];
            let [first, second, third] = &self.pieces;
            let slices = [head, first, second, third].map(IoSlice::new);
            let from = slices.iter().position(|slice| !slice.is_empty());
            let Some(from) = from else { return Poll::Ready(Ok(())) };
            let until = 1 + slices.iter().rposition(|slice| !slice.is_empty()).unwrap_or(from);
            let mut written = match before_blank(&slices[from..until]) {
                [] => ready!(self.poll_drain(writer, context, slices[from].len()))?,
                [slice] => ready!(Pin::new(&mut *writer).poll_write(context, slice))?,
                slices => ready!(Pin::new(&mut *writer).poll_write_vectored(context, slices))?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written as u64;
            let of_head = written.min(self.head.len() - self.head_sent);
            self.head_sent += of_head;
            written -= of_head;
            for piece in &mut self.pieces {
                let part = written.min(piece.len());
                piece.advance(part);
                written -= part;
            }
        }
    }

    /// Gives the app what `length` blank bytes stand for.
    fn poll_drain(&self, writer: &Writer, context: &mut Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        match &self.passage {
            Some(passage) => writer.poll_drain(context, passage, length),
            None => Poll::Ready(Err(carried_by_nobody())),
        }
    }

    /// Takes the next frame of the body. Trailers of requests end here (http-safety: nothing reads them).
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        if !std::mem::replace(&mut self.is_begun, true) && matches!(self.encoding, Encoding::Length(_)) {
            self.passage = self.body.carry();
        }
        loop {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Err(UploadError::Client(error))),
                None => return Poll::Ready(self.end()),
            };
            let Ok(data) = frame.into_data() else { continue };
            if data.is_empty() {
                continue;
            }
            match &mut self.encoding {
                Encoding::Length(left) => match left.checked_sub(data.len() as u64) {
                    Some(rest) => {
                        *left = rest;
                        self.is_read = rest == 0;
                        self.pieces[1] = data;
                    }
                    None => return Poll::Ready(Err(UploadError::Client("the body is longer than announced".into()))),
                },
                Encoding::Chunked | Encoding::None => {
                    let size = format!("{:x}\r\n", data.len());
                    self.pieces = [size.into(), data, Bytes::from_static(b"\r\n")];
                }
            }
            return Poll::Ready(Ok(()));
        }
    }

    fn end(&mut self) -> Result<(), UploadError> {
        self.is_read = true;
        match self.encoding {
            Encoding::None | Encoding::Length(0) => Ok(()),
            Encoding::Length(_) => Err(UploadError::Client("the body is shorter than announced".into())),
            Encoding::Chunked => {
                self.pieces[0] = Bytes::from_static(b"0\r\n\r\n");
                Ok(())
            }
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // The client may still be sending.
        if let Some(passage) = &self.passage {
            passage.abandon();
        }
    }
}
