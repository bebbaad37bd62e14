//! Standard error, written by a thread of its own: a log that nobody reads never holds a request back.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Lines that wait to be written, in bytes. When it is full, further lines are dropped and counted; the log says how
/// many as soon as it moves again.
const CAPACITY: usize = 1 << 20;

/// After the first line the thread waits this long for more, so that many leave in one write.
const FLUSH_INTERVAL: Duration = Duration::from_millis(20);

/// What a buffer keeps of its memory between bursts.
const KEPT_CAPACITY: usize = 64 << 10;

static QUEUE: Queue = Queue::new();
static LOST: AtomicU64 = AtomicU64::new(0);

struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    written: Condvar,
}

struct Waiting {
    bytes: Vec<u8>,
    lost: u64,
    /// The thread sleeps and must be woken.
    asleep: bool,
    /// Taken from `bytes`, not yet written.
    in_hand: bool,
}

impl Queue {
    const fn new() -> Queue {
        let waiting = Waiting { bytes: Vec::new(), lost: 0, asleep: false, in_hand: false };
        Queue { waiting: Mutex::new(waiting), arrived: Condvar::new(), written: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }
}

/// Starts the thread. `lines_lost` renders the line that says how many were.
pub fn start(lines_lost: fn(u64) -> Vec<u8>) -> io::Result<()> {
    std::thread::Builder::new().name("log".into()).spawn(move || work(lines_lost)).map(drop)
}

/// Hands over one line, with its end.
pub fn push(line: &[u8]) {
    let mut waiting = QUEUE.lock();
    if waiting.bytes.len() + line.len() > CAPACITY {
        waiting.lost += 1;
        LOST.fetch_add(1, Ordering::Relaxed);
        return;
    }
    waiting.bytes.extend_from_slice(line);
    if std::mem::take(&mut waiting.asleep) {
        QUEUE.arrived.notify_one();
    }
}

/// How many lines were dropped since the start.
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Waits until everything is written, at most for `timeout`: nobody may be reading.
pub fn flush(timeout: Duration) {
    let unfinished = |waiting: &mut Waiting| !waiting.bytes.is_empty() || waiting.in_hand;
    let _ = QUEUE.written.wait_while_for(&mut QUEUE.lock(), unfinished, timeout);
}

fn work(lines_lost: fn(u64) -> Vec<u8>) {
    let mut hand = Vec::new();
    loop {
        let mut waiting = QUEUE.lock();
        while waiting.bytes.is_empty() {
            waiting.asleep = true;
            QUEUE.arrived.wait(&mut waiting);
        }
        waiting.asleep = false;
        drop(waiting);
        std::thread::sleep(FLUSH_INTERVAL);
        let mut waiting = QUEUE.lock();
        std::mem::swap(&mut waiting.bytes, &mut hand);
        let lost = std::mem::take(&mut waiting.lost);
        waiting.in_hand = true;
        drop(waiting);
        write(&hand);
        if lost > 0 {
            write(&lines_lost(lost));
        }
        hand.clear();
        hand.shrink_to(KEPT_CAPACITY);
        QUEUE.lock().in_hand = false;
        QUEUE.written.notify_all();
    }
}

fn write(mut bytes: &[u8]) {
    let mut stderr = io::stderr().lock();
    while !bytes.is_empty() {
        match stderr.write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Another process may have made a shared pipe or terminal non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(FLUSH_INTERVAL),
            // Closed: there is nobody left to tell.
            Err(_) => return,
        }
    }
}
