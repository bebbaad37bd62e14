//! A file too large for memory, sent piece by piece; one piece is read ahead while another is sent. Where it goes to a socket
//! without TLS its pieces are moved there within the kernel, as they lie in the system's memory.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::http::body::{BodyError, Carried};
use crate::listen::passage::{ROOM, WORTH_CARRYING, blank};
use crate::listen::{Passage, is_refusal};

/// Bytes a piece; a download holds two at most.
const READ_PIECE: u64 = 128 * 1024;

/// The bytes of a part of a file.
pub struct FilePart {
    file: Arc<File>,
    /// Not handed out yet; its first piece is being read.
    rest: Range<u64>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    /// Where what is behind that piece goes.
    passage: Option<Arc<Passage>>,
    /// A thread that may be held up puts the next piece in there.
    filling: Option<JoinHandle<io::Result<usize>>>,
}

impl FilePart {
    /// # Errors
    /// When the file cannot be opened.
    pub async fn open(path: PathBuf, part: Range<u64>) -> io::Result<FilePart> {
        let file = spawn_blocking(move || File::open(path)).await.map_err(io::Error::other)??;
        let mut part = FilePart { file: Arc::new(file), rest: part, reading: None, passage: None, filling: None };
        part.read_ahead();
        Ok(part)
    }

    fn read_ahead(&mut self) {
        let length = READ_PIECE.min(self.rest.end - self.rest.start) as usize;
        self.reading = (length > 0).then(|| {
            let (file, at) = (Arc::clone(&self.file), self.rest.start);
            // Made here: each of the many blocking threads would keep memory of its own for it.
            let mut piece = vec![0; length];
            spawn_blocking(move || {
                // An error too where the file has become shorter: half of it must not look like all of it.
                file.read_exact_at(&mut piece, at)?;
                Ok(Bytes::from(piece))
            })
        });
    }

    /// The next piece that was read; `None` at the end.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let Some(reading) = &mut self.reading else { return Poll::Ready(Ok(None)) };
        let read = ready!(Pin::new(reading).poll(context)).map_err(io::Error::other).flatten();
        self.reading = None;
        let piece = read?;
        self.rest.start += piece.len() as u64;
        if self.passage.is_none() {
            self.read_ahead();
        }
        Poll::Ready(Ok(Some(piece)))
    }

    /// Puts the next piece into `passage`: its length.
    fn poll_fill(&mut self, passage: &Arc<Passage>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.filling.is_none() {
            ready!(passage.poll_empty(context));
            let (at, most) = (self.rest.start, (self.rest.end - self.rest.start).min(ROOM as u64) as usize);
            if is_at_hand(&self.file, at, most) {
                return Poll::Ready(passage.take_in(&*self.file, at, most));
            }
            let (file, passage) = (Arc::clone(&self.file), Arc::clone(passage));
            self.filling = Some(spawn_blocking(move || passage.take_in(&*file, at, most)));
        }
        let Some(filling) = &mut self.filling else { return Poll::Pending };
        let filled = ready!(Pin::new(filling).poll(context)).map_err(io::Error::other).flatten();
        self.filling = None;
        Poll::Ready(filled)
    }

    /// The next piece, in the passage or read; `None` at the end.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let Some(passage) = self.passage.clone().filter(|_| self.reading.is_none() && !self.rest.is_empty()) else {
            return self.poll_read(context);
        };
        let filled = match ready!(self.poll_fill(&passage, context)) {
            // The system moves nothing out of such a file.
            Err(error) if is_refusal(&error) => {
                self.passage = None;
                self.read_ahead();
                return self.poll_read(context);
            }
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            filled => filled?,
        };
        self.rest.start += filled as u64;
        if self.rest.is_empty() {
            self.passage = None;
        }
        Poll::Ready(Ok(Some(blank(filled))))
    }
}

/// Whether a piece of `file` can be had without waiting for the disk, by its ends.
#[cfg(target_os = "linux")]
fn is_at_hand(file: &File, at: u64, length: usize) -> bool {
    use rustix::io::{ReadWriteFlags, preadv2};
    let is_here = |at| {
        let mut byte = [0];
        preadv2(file, &mut [io::IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT) == Ok(1)
    };
    is_here(at) && is_here(at + length as u64 - 1)
}

/// Nobody knows.
#[cfg(not(target_os = "linux"))]
fn is_at_hand(_file: &File, _at: u64, _length: usize) -> bool {
    false
}

impl Carried for FilePart {
    fn carry(self: Pin<&mut Self>) -> Option<Arc<Passage>> {
        let this = self.get_mut();
        let being_read = if this.reading.is_some() { READ_PIECE } else { 0 };
        if (this.rest.end - this.rest.start).saturating_sub(being_read) < WORTH_CARRYING {
            return None;
        }
        this.passage = Passage::open();
        this.passage.clone()
    }
}

impl http_body::Body for FilePart {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = ready!(self.get_mut().poll_next(context))?;
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.end - self.rest.start)
    }
}
