//! A way for bodies that nobody looks into: from one socket to another through a pipe, within the kernel, and copied nowhere
//! on the way.
//!
//! Who takes bytes from a socket puts them in, and hands on [`blank`] bytes in their place, as many as there are. Whoever
//! counts bodies, bounds them or waits for them has them as ever. Who writes to a socket knows a blank by where it lies in
//! memory, and takes as much out of the passage.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};
use tracing::debug;

use super::system;

/// What a passage holds at most, in bytes. The kernel counts it by pages, so that small packets fill it sooner.
pub const ROOM: usize = 256 * 1024;
/// Passages at the same time. Each is two open files, and holds up to [`ROOM`] of the kernel's memory.
const MOST: usize = 128;
/// Passages without anything in them that are kept for whoever needs one next.
const MOST_SPARE: usize = 32;
/// Below this, in bytes, copying a body costs less than the calls for a passage.
pub const WORTH_CARRYING: u64 = 64 * 1024;

/// What stands for bytes that are in a passage. Nobody writes to it, so that the system gives it no memory.
static BLANKS: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; ROOM]));
static OPEN: AtomicUsize = AtomicUsize::new(0);
static SPARE: Mutex<Vec<Pipe>> = Mutex::new(Vec::new());
/// The system has shown that it does not let us.
static IS_REFUSED: AtomicBool = AtomicBool::new(false);

/// So many bytes that stand for those in a passage; at most [`ROOM`].
pub fn blank(length: usize) -> Bytes {
    BLANKS.slice(..length.min(ROOM))
}

/// Whether `piece` stands for bytes that are in a passage.
pub fn is_blank(piece: &[u8]) -> bool {
    BLANKS.as_ptr_range().contains(&piece.as_ptr()) && !piece.is_empty()
}

/// What of `slices` comes before the first that stands for such bytes.
pub fn before_blank<'a, 'b>(slices: &'a [IoSlice<'b>]) -> &'a [IoSlice<'b>] {
    let blank = slices.iter().position(|slice| is_blank(slice));
    &slices[..blank.unwrap_or(slices.len())]
}

/// Blank bytes came, and there is no passage that they stand for: a fault of ours.
pub fn carried_by_nobody() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a body is carried by nobody")
}

/// A socket that passages come from or lead to.
pub trait End: AsFd {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Does `work` where the runtime takes the socket for ready, and notes where it is not.
    fn attempt(&self, interest: Interest, work: &mut dyn FnMut() -> io::Result<usize>) -> io::Result<usize>;
}

macro_rules! end {
    ($stream:ty) => {
        impl End for $stream {
            fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_read_ready(context)
            }

            fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_write_ready(context)
            }

            fn attempt(&self, interest: Interest, work: &mut dyn FnMut() -> io::Result<usize>) -> io::Result<usize> {
                self.try_io(interest, work)
            }
        }
    };
}

end!(TcpStream);
end!(UnixStream);

#[derive(Debug)]
struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

/// A pipe between two sockets, for the body of one message.
#[derive(Debug)]
pub struct Passage {
    /// Away only while it is dropped.
    pipe: Option<Pipe>,
    /// Bytes that were put in, and not taken out.
    inside: AtomicUsize,
    /// Who waits until there are none.
    waiting: Mutex<Option<Waker>>,
    is_abandoned: AtomicBool,
}

impl Passage {
    /// A new one; `None` where there are as many as may be, or the system does not let us.
    pub fn open() -> Option<Arc<Passage>> {
        if IS_REFUSED.load(Ordering::Relaxed) {
            return None;
        }
        let grant = |open: usize| (open < MOST).then_some(open + 1);
        OPEN.try_update(Ordering::Relaxed, Ordering::Relaxed, grant).ok()?;
        let spare = SPARE.lock().pop();
        let pipe = spare.map_or_else(|| system::pipe(ROOM).map(|(reader, writer)| Pipe { reader, writer }), Ok);
        let pipe = pipe.inspect_err(|error| debug!(%error, "no pipe is to be had: bodies are copied")).ok();
        if pipe.is_none() {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
        let inside = AtomicUsize::new(0);
        Some(Arc::new(Passage {
            pipe: Some(pipe?),
            inside,
            waiting: Mutex::default(),
            is_abandoned: AtomicBool::new(false),
        }))
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.inside.load(Ordering::Acquire) == 0
    }

    /// Puts in what `source` has received, `most` bytes of it and once all before them were taken out; 0 at its end.
    /// `None` where that cannot be done with such a socket: nothing was taken from it, and nothing can be put in any more.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_fill(
        &self,
        context: &mut Context<'_>,
        source: &impl End,
        most: usize,
    ) -> Poll<io::Result<Option<usize>>> {
        ready!(self.poll_empty(context));
        loop {
            ready!(source.poll_readable(context))?;
            let Some(pipe) = &self.pipe else { return Poll::Ready(Ok(None)) };
            let mut work = || system::splice(source, None, &pipe.writer, most.min(ROOM));
            match source.attempt(Interest::READABLE, &mut work) {
                Ok(length) => {
                    self.inside.fetch_add(length, Ordering::Release);
                    return Poll::Ready(Ok(Some(length)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if system::is_refusal(&error) => {
                    if !IS_REFUSED.swap(true, Ordering::Relaxed) {
                        debug!(%error, "the system moves nothing from socket to socket: bodies are copied");
                    }
                    return Poll::Ready(Ok(None));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Puts in what is in `other`, which stays there: as much of its `length` bytes as there is room for. `None` where that is
    /// nothing.
    pub fn copy_in(&self, other: &OwnedFd, length: usize) -> Option<usize> {
        let pipe = self.pipe.as_ref()?;
        let length = system::tee(other, &pipe.writer, length).ok().filter(|length| *length > 0)?;
        self.inside.fetch_add(length, Ordering::Release);
        Some(length)
    }

    /// Puts in `most` bytes of `file`, those from `at` on, or fewer; 0 where it has none. May wait for the disk.
    ///
    /// # Errors
    /// Those of the system; as [`is_refusal`](system::is_refusal) knows them, where that cannot be done with such a file.
    pub fn take_in(&self, file: &impl AsFd, at: u64, most: usize) -> io::Result<usize> {
        let pipe = self.pipe.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let length = system::splice(file, Some(at), &pipe.writer, most.min(ROOM))?;
        self.inside.fetch_add(length, Ordering::Release);
        Ok(length)
    }

    /// Gives `target` at most `most` bytes of what is inside.
    ///
    /// # Errors
    /// Those of the socket, or that there is nothing inside.
    pub fn poll_drain(&self, context: &mut Context<'_>, target: &impl End, most: usize) -> Poll<io::Result<usize>> {
        let inside = self.inside.load(Ordering::Acquire);
        let Some(pipe) = self.pipe.as_ref().filter(|_| inside > 0) else {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "nothing is in the passage")));
        };
        loop {
            ready!(target.poll_writable(context))?;
            let mut work = || system::splice(&pipe.reader, None, target, most.min(inside));
            match target.attempt(Interest::WRITABLE, &mut work) {
                Ok(length) => {
                    if self.inside.fetch_sub(length, Ordering::AcqRel) == length {
                        self.wake();
                    }
                    return Poll::Ready(Ok(length));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Nobody takes anything out any more.
    pub fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Release);
        self.wake();
    }

    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::Acquire)
    }

    /// Ready when nothing is inside, or it is left as it is.
    pub fn poll_empty(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_empty() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock();
        // What was inside may have been taken out, and its waiter woken, before this one could be.
        if self.is_empty() || self.is_abandoned() {
            return Poll::Ready(());
        }
        *waiting = Some(context.waker().clone());
        Poll::Pending
    }

    fn wake(&self) {
        let waiting = self.waiting.lock().take();
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
        // With anything in it, the next one would send what was another's.
        if let Some(pipe) = self.pipe.take().filter(|_| self.is_empty()) {
            let mut spare = SPARE.lock();
            if spare.len() < MOST_SPARE {
                spare.push(pipe);
            }
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn bytes_come_out_as_they_went_in() {
        let ((mut sender, source), (target, mut receiver)) = (pair().await, pair().await);
        let passage = Passage::open().unwrap();
        for words in [&b"one"[..], b"two, three"] {
            sender.write_all(words).await.unwrap();
            let filled = poll_fn(|context| passage.poll_fill(context, &source, words.len())).await.unwrap();
            assert_eq!(filled, Some(words.len()));
            let mut drained = 0;
            while !passage.is_empty() {
                drained += poll_fn(|context| passage.poll_drain(context, &target, 4)).await.unwrap();
            }
            let mut read = vec![0; drained];
            receiver.read_exact(&mut read).await.unwrap();
            assert_eq!(read, words);
        }
        assert!(poll_fn(|context| passage.poll_drain(context, &target, 1)).await.is_err(), "there is nothing in it");
        drop(sender);
        assert_eq!(poll_fn(|context| passage.poll_fill(context, &source, 9)).await.unwrap(), Some(0));
    }

    #[tokio::test]
    async fn what_one_leaves_inside_no_other_gets() {
        let (mut sender, source) = pair().await;
        for _ in 0..2 * MOST_SPARE {
            let (target, _receiver) = pair().await;
            let passage = Passage::open().unwrap();
            sender.write_all(b"secret").await.unwrap();
            poll_fn(|context| passage.poll_fill(context, &source, 6)).await.unwrap();
            drop(passage);
            let other = Passage::open().unwrap();
            assert!(poll_fn(|context| other.poll_drain(context, &target, 6)).await.is_err());
            let pipe = other.pipe.as_ref().unwrap();
            let moved = system::splice(&pipe.reader, None, &target, 6).map_err(|error| error.kind());
            assert_eq!(moved, Err(io::ErrorKind::WouldBlock));
        }
    }

    #[tokio::test]
    async fn who_fills_it_waits_until_it_is_empty_or_left() {
        let ((mut sender, source), (target, _receiver)) = (pair().await, pair().await);
        let passage = Passage::open().unwrap();
        sender.write_all(b"onetwo").await.unwrap();
        poll_fn(|context| passage.poll_fill(context, &source, 3)).await.unwrap();
        let filler = Arc::clone(&passage);
        let waiting = tokio::spawn(async move {
            let filled = poll_fn(|context| filler.poll_fill(context, &source, 3)).await.unwrap();
            (filled, source)
        });
        while passage.waiting.lock().is_none() {
            tokio::task::yield_now().await;
        }
        poll_fn(|context| passage.poll_drain(context, &target, 3)).await.unwrap();
        let (filled, _source) = waiting.await.unwrap();
        assert_eq!(filled, Some(3));
        let context = Context::from_waker(Waker::noop());
        assert!(passage.poll_empty(&context).is_pending());
        passage.abandon();
        assert!(passage.poll_empty(&context).is_ready() && passage.is_abandoned());
    }

    #[test]
    fn a_blank_is_known_by_where_it_lies() {
        for length in [1, 1000, ROOM] {
            assert!(is_blank(&blank(length)) && blank(length).len() == length);
            assert!(!is_blank(&vec![0; length]));
        }
        assert!(is_blank(&blank(1000).slice(999..)) && !is_blank(&[]));
        assert_eq!(blank(ROOM + 1).len(), ROOM);
    }
}
