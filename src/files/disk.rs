//! A file too large for memory, sent piece by piece; one piece is read ahead while another is sent.

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

/// Bytes a piece; a download holds two at most.
const READ_PIECE: u64 = 128 * 1024;

/// The bytes of a part of a file.
pub struct FilePart {
    file: Arc<File>,
    /// Not handed out yet; its first piece is being read.
    rest: Range<u64>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FilePart {
    /// # Errors
    /// When the file cannot be opened.
    pub async fn open(path: PathBuf, part: Range<u64>) -> io::Result<FilePart> {
        let file = spawn_blocking(move || File::open(path)).await.map_err(io::Error::other)??;
        let mut part = FilePart { file: Arc::new(file), rest: part, reading: None };
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
}

impl http_body::Body for FilePart {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let read = ready!(Pin::new(reading).poll(context)).map_err(io::Error::other).flatten();
        self.reading = None;
        let piece = read?;
        self.rest.start += piece.len() as u64;
        self.read_ahead();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.reading.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.end - self.rest.start)
    }
}
