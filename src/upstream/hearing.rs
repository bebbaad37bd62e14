//! What apps of ours say by a pipe while they run: that something they had said is old. Each writes its line before it
//! answers, and who has an answer in hand reads the pipe before he passes it on. So nobody who was told that his change
//! is done is given what was before it.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use parking_lot::Mutex;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::read;
use serde::Deserialize;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;
use tracing::{info, warn};

/// A line is shorter: an app writes no more than a pipe takes whole.
const MAX_LINE: usize = 4096;

/// More processes of the app are not side by side.
const MAX_READY: usize = 8;

/// What was declared old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Old {
    Tag(String),
    Everything,
}

type Listener = Box<dyn Fn(Old) + Send + Sync>;

/// One pipe for all processes of the app, one after another and side by side: the door has both of its ends.
pub struct Hearing {
    reader: PipeReader,
    writer: PipeWriter,
    /// What is read of a line that is not whole yet. Held until what was read is acted upon.
    rest: Mutex<Vec<u8>>,
    listener: OnceLock<Listener>,
    /// The next process is to speak.
    is_wanted: AtomicBool,
    /// One has been told to.
    is_used: AtomicBool,
    /// Processes that have said that they do, the newest last.
    ready: Mutex<Vec<i32>>,
    /// The process that is asked.
    asked: AtomicI32,
    /// It is one of those that have said so.
    is_heard: AtomicBool,
    /// Rung when that may be another, or another process is asked.
    news: Notify,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Old(String),
    Everything,
    /// With the id of its process.
    Ready(i32),
    Fault(String),
}

impl Hearing {
    /// # Errors
    /// Those of the system: there are no more files to be had.
    pub fn new() -> io::Result<Hearing> {
        let (reader, writer) = io::pipe()?;
        fcntl_setfl(&reader, fcntl_getfl(&reader)? | OFlags::NONBLOCK)?;
        Ok(Hearing {
            reader,
            writer,
            rest: Mutex::default(),
            listener: OnceLock::new(),
            is_wanted: AtomicBool::new(false),
            is_used: AtomicBool::new(false),
            ready: Mutex::default(),
            asked: AtomicI32::new(0),
            is_heard: AtomicBool::new(false),
            news: Notify::new(),
        })
    }

    /// Who is told. The first to ask for it is.
    pub fn tell(&self, listener: impl Fn(Old) + Send + Sync + 'static) {
        let _ = self.listener.set(Box::new(listener));
    }

    /// Whether processes that are started from now on are to speak.
    pub fn want(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Ordering::Relaxed);
    }

    /// The end that a process which is started now is to have, if it is to speak.
    pub fn voice(&self) -> Option<BorrowedFd<'_>> {
        let is_wanted = self.is_wanted.load(Ordering::Relaxed);
        self.is_used.fetch_or(is_wanted, Ordering::SeqCst);
        is_wanted.then(|| self.writer.as_fd())
    }

    /// It is `process` that is asked from now on.
    pub fn ask(&self, process: i32) {
        self.asked.store(process, Ordering::SeqCst);
        self.look();
        // It may have said so before its first answer.
        self.catch_up();
    }

    /// Everything about the process that is asked now is known.
    pub fn settle(&self) {
        self.news.notify_one();
    }

    /// Waits until another process is asked, or one says that it is to be heard. For one who waits.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    fn look(&self) {
        let asked = self.asked.load(Ordering::SeqCst);
        self.is_heard.store(self.ready.lock().contains(&asked), Ordering::SeqCst);
        self.news.notify_one();
    }

    /// True where the process that is asked says what it declares old.
    pub fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::SeqCst)
    }

    /// Reads what was written so far, and has it acted upon. One system call, and none where no process speaks.
    pub fn catch_up(&self) {
        if self.is_used.load(Ordering::SeqCst) {
            self.read(|chunk| rustix::io::retry_on_intr(|| read(&self.reader, &mut *chunk)).ok());
        }
    }

    fn read(&self, mut source: impl FnMut(&mut [u8]) -> Option<usize>) {
        // Whoever waits here goes on when what another has read is acted upon.
        let mut rest = self.rest.lock();
        let mut chunk = [0; MAX_LINE];
        while let Some(length) = source(&mut chunk) {
            rest.extend_from_slice(&chunk[..length]);
            while let Some(end) = memchr::memchr(b'\n', &rest) {
                self.hear(&rest[..end]);
                rest.drain(..=end);
            }
            if rest.len() > MAX_LINE {
                rest.clear();
                self.say(Old::Everything);
            }
            // The pipe was empty behind it.
            if length < chunk.len() {
                return;
            }
        }
    }

    fn hear(&self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(Line::Old(tag)) => self.say(Old::Tag(tag)),
            Ok(Line::Ready(process)) => {
                info!("the app says what it declares old: the cache hears it");
                let mut ready = self.ready.lock();
                if ready.len() == MAX_READY {
                    ready.remove(0);
                }
                ready.push(process);
                drop(ready);
                self.look();
            }
            Ok(Line::Fault(why)) => {
                warn!(why, "the app may not say all that it declares old: what is kept is let go of");
                self.say(Old::Everything);
            }
            // What cannot be read may have named anything.
            Ok(Line::Everything) | Err(_) => self.say(Old::Everything),
        }
    }

    fn say(&self, old: Old) {
        if let Some(listener) = self.listener.get() {
            listener(old);
        }
    }

    /// Reads what is said when nobody asks the app anything, so that it never waits for room in the pipe.
    pub async fn keep(&self) {
        let watched = self.reader.try_clone().and_then(|reader| Receiver::from_owned_fd_unchecked(reader.into()));
        let watched = match watched {
            Ok(watched) => watched,
            Err(error) => return warn!(%error, "what the app declares old is heard with its next answer only"),
        };
        // It is read until it is empty: only then is it told again that there is something.
        while watched.readable().await.is_ok() {
            self.read(|chunk| watched.try_read(chunk).ok().filter(|length| *length > 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn lines_are_heard_in_order_and_what_is_none_is_everything() {
        let hearing = Hearing::new().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&heard);
        hearing.tell(move |old| told.lock().push(old));
        hearing.catch_up();
        assert!(hearing.voice().is_none());
        hearing.want(true);
        assert!(hearing.voice().is_some());
        let tag = |tag: &str| Old::Tag(tag.to_owned());
        for (written, expected) in [
            ("{\"old\":\"a\"}\n{\"old\":\"b", vec![tag("a")]),
            ("c\"}\n{\"ready\":7}\n", vec![tag("bc")]),
            ("no JSON\n", vec![Old::Everything]),
            ("{\"fault\":\"x\"}\n\"everything\"\n", vec![Old::Everything, Old::Everything]),
            ("", vec![]),
        ] {
            (&hearing.writer).write_all(written.as_bytes()).unwrap();
            hearing.catch_up();
            assert_eq!(std::mem::take(&mut *heard.lock()), expected, "{written:?}");
        }
        assert!(!hearing.is_heard(), "nobody is asked");
        for (process, is_heard) in [(8, false), (7, true), (9, false)] {
            hearing.ask(process);
            assert_eq!(hearing.is_heard(), is_heard, "{process}");
        }
        (&hearing.writer).write_all(b"{\"ready\":9}\n").unwrap();
        hearing.catch_up();
        assert!(hearing.is_heard());
        for _ in 0..2 {
            (&hearing.writer).write_all(&[b'x'; MAX_LINE]).unwrap();
        }
        hearing.catch_up();
        assert_eq!(*heard.lock(), [Old::Everything]);
    }
}
