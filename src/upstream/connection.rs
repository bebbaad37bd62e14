//! One connection to the app, and its place among those that may be open.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio_util::io::poll_read_buf;

use super::slot::Slot;
use super::socket::{Reader, Writer};
use crate::http::connection::lazy_timer::LazyTimer;
use crate::shares::Share;

/// What is asked of the kernel at once: enough for most answers whole.
const READ_BUFFER: usize = 8 * 1024;
/// And while a long body streams through; about the most memory that one answer holds here.
const BLOCK_MAX: usize = 64 * 1024;

/// A connection to the app, its two halves, and its place among those that may be open.
#[derive(Debug)]
pub struct Connection {
    pub reader: Reader,
    /// Away while an upload goes on beside its answer.
    pub writer: Option<Writer>,
    /// Read, but not yet understood.
    pub input: BytesMut,
    /// Set for each request; setting a timer anew each time would take the runtime's timer lock twice a request.
    pub timer: LazyTimer,
    /// How long the app says that it keeps it, idle.
    pub keep_alive: Option<Duration>,
    /// How much is asked for next.
    block: usize,
    /// Dropped behind the socket: whoever gets the place finds it free.
    slot: Slot,
    /// Whose request it carries; none while it is idle.
    pub share: Option<Share>,
}

impl Connection {
    pub fn new((reader, writer): (Reader, Writer), slot: Slot, share: Share) -> Connection {
        let input = BytesMut::new();
        let (timer, block) = (LazyTimer::default(), READ_BUFFER);
        let (writer, share) = (Some(writer), Some(share));
        Connection { reader, writer, input, timer, keep_alive: None, block, slot, share }
    }

    /// True while it is open and the app has said nothing unasked.
    pub fn is_quiet(&self) -> bool {
        self.input.is_empty() && self.writer.is_some() && self.reader.is_quiet()
    }

    pub fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Below half of it, a new block beats ever smaller reads into the rest of the old one.
        if self.input.capacity() - self.input.len() < self.block / 2 {
            self.input.reserve(self.block);
        }
        let space = self.input.capacity() - self.input.len();
        let read = ready!(poll_read_buf(Pin::new(&mut self.reader), context, &mut self.input))?;
        if read == space {
            self.block = (self.block * 2).min(BLOCK_MAX);
        } else if read < READ_BUFFER / 4 {
            self.block = READ_BUFFER;
        }
        Poll::Ready(Ok(read))
    }

    /// Keeps no more memory than the next request is likely to need.
    pub fn rest(&mut self) {
        if self.input.capacity() > READ_BUFFER {
            self.input = BytesMut::new();
        }
        self.block = READ_BUFFER;
    }

    /// The last is its place, to be kept for as long as the halves are.
    pub fn into_parts(self) -> (Reader, Option<Writer>, BytesMut, impl Sized) {
        (self.reader, self.writer, self.input, (self.slot, self.share))
    }
}
