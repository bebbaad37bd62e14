//! What apps of ours say by a pipe while they run: that something they had said is old. Each writes its line before it
//! answers, and who has an answer in hand reads the pipe before he passes it on. So nobody who was told that his change
//! is done is given what was before it. The app itself forgets it when it ends: it is remembered here, and on disk, and
//! the next process is told.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustix::io::{ioctl_fionbio, read};
use serde::Deserialize;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{info, warn};

use super::declarations::{Declaration, Declarations};
use super::ear::Ear;
use super::proof::Proof;
use crate::disk;

/// A line is shorter: an app writes no more than a pipe takes whole.
const MAX_LINE: usize = 4096;
/// Between two times that what is remembered is written to disk.
const WRITE_INTERVAL: Duration = Duration::from_millis(100);

/// What was declared old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Old {
    Tag(String),
    Everything,
}

/// What was declared old, and how long ago that was said, to the millisecond, where the app's process has told when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub old: Old,
    pub lag: Option<Duration>,
}

type Listener = Box<dyn Fn(Heard) + Send + Sync>;

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
    /// What the process that is asked has shown.
    pub proof: Proof,
    declarations: Mutex<Declarations>,
    /// Of the processes that run. Several only while one takes another's place.
    ears: Mutex<Vec<Weak<Ear>>>,
    /// Where what is remembered outlives the door; none where there is no place for it.
    file: OnceLock<PathBuf>,
    is_changed: Notify,
}

/// What a process that is to speak has of it.
pub struct Voice {
    /// The end of the pipe that it writes to, which is open for as long as the door runs.
    pub mouth: RawFd,
    /// What it reads: first what it has to know before it begins.
    pub ear: PipeReader,
    /// Held for as long as it runs.
    pub listening: Arc<Ear>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Old(OldLine),
    Word(Word),
}

#[derive(Debug, Deserialize)]
struct OldLine {
    /// In plain letters.
    old: String,
    /// As Next.js has it, where that is something else.
    raw: Option<Box<str>>,
    /// Times that Next.js forgets when it ends; without any there is nothing to be remembered.
    stale: Option<u64>,
    expired: Option<u64>,
    /// When it was said.
    said: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Everything,
    /// With the id of its process.
    Ready(i32),
    Fault(String),
    Forgets(String),
}

impl Hearing {
    /// # Errors
    /// Those of the system: there are no more files to be had.
    pub fn new() -> io::Result<Hearing> {
        let (reader, writer) = io::pipe()?;
        ioctl_fionbio(&reader, true)?;
        Ok(Hearing {
            reader,
            writer,
            rest: Mutex::default(),
            listener: OnceLock::new(),
            is_wanted: AtomicBool::new(false),
            is_used: AtomicBool::new(false),
            proof: Proof::default(),
            declarations: Mutex::default(),
            ears: Mutex::default(),
            file: OnceLock::new(),
            is_changed: Notify::new(),
        })
    }

    /// Remembers in `file`, and what is there already. Blocks.
    pub fn remember_in(&self, file: PathBuf) {
        match std::fs::read(&file) {
            Ok(text) => *self.declarations.lock() = Declarations::read(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(%error, file = %file.display(), "what the app declared old before is not known"),
        }
        let _ = self.file.set(file);
    }

    /// Who is told. The first to ask for it is.
    pub fn tell(&self, listener: impl Fn(Heard) + Send + Sync + 'static) {
        let _ = self.listener.set(Box::new(listener));
    }

    /// Whether processes that are started from now on are to speak.
    pub fn want(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Ordering::Relaxed);
    }

    /// What a process which is started now is to have, if it is to speak.
    pub fn voice(&self) -> Option<Voice> {
        if !self.is_wanted.load(Ordering::Relaxed) {
            return None;
        }
        // What the one before said last.
        self.catch_up();
        // Nothing is noted between: what is not among the first is told.
        let mut ears = self.ears.lock();
        let mut first = self.declarations.lock().text_for_process(now());
        first.extend_from_slice(b"\"go\"\n");
        let (listening, ear) =
            Ear::new(first).inspect_err(|error| warn!(%error, "nothing is heard of the app")).ok()?;
        ears.push(Arc::downgrade(&listening));
        self.is_used.store(true, Ordering::SeqCst);
        Some(Voice { mouth: self.writer.as_raw_fd(), ear, listening })
    }

    /// It is `process` that is asked from now on.
    pub fn ask(&self, process: i32) {
        self.proof.ask(process);
        // It may have said that it is to be heard before its first answer.
        self.catch_up();
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
                self.say(Heard { old: Old::Everything, lag: None });
            }
            // The pipe was empty behind it.
            if length < chunk.len() {
                return;
            }
        }
    }

    fn hear(&self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(Line::Old(OldLine { old, raw, stale, expired, said })) => {
                if let Some(at) = stale.or(expired) {
                    let tag = raw.unwrap_or_else(|| old.as_str().into());
                    self.remember(Declaration { tag, stale, expired, at });
                }
                let lag = said.map(|said| Duration::from_millis(now().saturating_sub(said)));
                self.say(Heard { old: Old::Tag(old), lag });
            }
            Ok(Line::Word(Word::Ready(process))) => {
                info!("the app says what it declares old: the cache hears it");
                self.proof.note(process);
            }
            Ok(Line::Word(Word::Forgets(why))) => {
                warn!(why, "the app cannot be told what it declared old before it was restarted");
            }
            Ok(Line::Word(Word::Fault(why))) => {
                warn!(why, "the app may not say all that it declares old: what is kept is let go of");
                self.proof.withdraw();
                self.say(Heard { old: Old::Everything, lag: None });
            }
            // What cannot be read may have named anything.
            Ok(Line::Word(Word::Everything)) | Err(_) => {
                self.remember(Declaration::everything(now()));
                self.say(Heard { old: Old::Everything, lag: None });
            }
        }
    }

    /// For the processes to come, and for others that run.
    fn remember(&self, declaration: Declaration) {
        let line = declaration.line();
        if !self.declarations.lock().note(declaration) {
            return;
        }
        self.is_changed.notify_one();
        let mut ears = self.ears.lock();
        ears.retain(|ear| ear.strong_count() > 0);
        if ears.len() > 1 {
            let instead = Declaration::everything(now()).line();
            ears.iter().filter_map(Weak::upgrade).for_each(|ear| ear.tell(&line, &instead));
        }
    }

    fn say(&self, heard: Heard) {
        if let Some(listener) = self.listener.get() {
            listener(heard);
        }
    }

    /// Reads what is said when nobody asks the app anything, so that it never waits for room in the pipe, and writes down
    /// what is to be remembered.
    pub async fn keep(self: &Arc<Self>) {
        tokio::join!(self.listen(), self.write_down());
    }

    async fn listen(&self) {
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

    async fn write_down(self: &Arc<Self>) {
        loop {
            self.is_changed.notified().await;
            self.write().await;
            sleep(WRITE_INTERVAL).await;
        }
    }

    /// Writes down what the app said to its very end. Called when it has ended.
    pub async fn close(self: &Arc<Self>) {
        self.catch_up();
        self.write().await;
    }

    async fn write(self: &Arc<Self>) {
        let hearing = Arc::clone(self);
        let _ = tokio::task::spawn_blocking(move || hearing.write_now()).await;
    }

    /// Blocks.
    fn write_now(&self) {
        let Some(file) = self.file.get() else { return };
        let text = self.declarations.lock().text();
        if text.is_empty() && !file.exists() {
            return;
        }
        let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = folder.and_then(|()| disk::replace(file, &text, 0o600)) {
            warn!(%error, file = %file.display(), "what the app declares old is forgotten when the door is restarted");
        }
    }
}

/// In ms since 1970, as Next.js counts.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
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
        hearing.tell(move |heard| told.lock().push(heard.old));
        hearing.catch_up();
        assert!(hearing.voice().is_none());
        hearing.want(true);
        let one = hearing.voice().unwrap();
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
        for _ in 0..2 {
            (&hearing.writer).write_all(&[b'x'; MAX_LINE]).unwrap();
        }
        hearing.catch_up();
        assert_eq!(*heard.lock(), [Old::Everything]);
        let Voice { ear, listening, .. } = one;
        drop(listening);
        assert_eq!(io::read_to_string(ear).unwrap(), "\"go\"\n", "alone, it is told nothing");
    }

    #[test]
    fn it_is_known_how_long_ago_it_was_said() {
        let hearing = Hearing::new().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&heard);
        hearing.tell(move |heard| told.lock().push(heard.lag));
        hearing.want(true);
        let _voice = hearing.voice().unwrap();
        let (before, ahead) = (now() - 5000, now() + 3_600_000);
        for (line, least) in [
            (format!("{{\"old\":\"a\",\"said\":{before}}}\n"), Some(Duration::from_secs(5))),
            // Somebody has set the clock back.
            (format!("{{\"old\":\"a\",\"said\":{ahead}}}\n"), Some(Duration::ZERO)),
            ("{\"old\":\"a\"}\n".to_owned(), None),
        ] {
            (&hearing.writer).write_all(line.as_bytes()).unwrap();
            hearing.catch_up();
            let lag = std::mem::take(&mut *heard.lock());
            assert!(matches!(lag[..], [lag] if lag.is_some() == least.is_some() && lag >= least), "{line}: {lag:?}");
        }
    }

    #[test]
    fn others_are_told_what_one_declared_old() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("of/app");
        let hearing = Hearing::new().unwrap();
        hearing.remember_in(file.clone());
        hearing.want(true);
        // Until one has a voice nothing is read.
        drop(hearing.voice().unwrap());
        let say = |line: &str| {
            (&hearing.writer).write_all(line.as_bytes()).unwrap();
            hearing.catch_up();
        };
        // Without a time it is nothing that Next.js would forget.
        say("{\"old\":\"key:/a\"}\n{\"old\":\"ä\",\"raw\":\"%C3%A4\",\"expired\":7}\n");
        // Later by a while: pages are written behind their answers.
        let first = "{\"tag\":\"%C3%A4\",\"expired\":10007,\"at\":10007}\n";
        let one = hearing.voice().unwrap();
        say("{\"old\":\"b\",\"stale\":8,\"expired\":99}\n");
        let second = "{\"tag\":\"b\",\"stale\":10008,\"expired\":99,\"at\":10008}\n";
        let other = hearing.voice().unwrap();
        say("{\"old\":\"c\",\"expired\":9}\n");
        let third = "{\"tag\":\"c\",\"expired\":9,\"at\":9}\n";
        let heard = |voice: Voice| {
            drop(voice.listening);
            io::read_to_string(voice.ear).unwrap()
        };
        assert_eq!(heard(one), format!("{first}\"go\"\n{third}"));
        assert_eq!(heard(other), format!("{first}{second}\"go\"\n{third}"));
        hearing.write_now();
        let again = Hearing::new().unwrap();
        again.remember_in(file);
        again.want(true);
        let third = third.replace(":9", ":10009");
        assert_eq!(heard(again.voice().unwrap()), format!("{first}{second}{third}\"go\"\n"));
    }
}
